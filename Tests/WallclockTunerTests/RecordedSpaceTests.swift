import Foundation
import Testing
import Wallclock
import WallclockFormats
import WallclockTuner

/// The spaces that are committed: each loads, and strategies need on it what is claimed for them.
@Suite struct RecordedSpaceTests {
  static let files: [URL] = {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../profiles/spaces").standardized
    let all = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    return all.filter { $0.pathExtension == "gz" }.sorted { $0.path < $1.path }
  }()

  @Test func thereAreFourOrMore() { #expect(Self.files.count >= 4) }

  @Test(arguments: files) func aRecordedSpaceServesItsPurpose(file: URL) async throws {
    let cache = try KernelTunerCache.read(file.path(percentEncoded: false))
    #expect(!cache.isOpen)
    #expect(cache.entries.count >= 2000)
    let measured = try MeasuredSpace(name: file.lastPathComponent, cache)
    #expect(measured.start.count == cache.start.count && !measured.start.isEmpty)
    let random = try #require(Replay.median(
      await Replay.evaluationsToGoal(.random, on: measured, seeds: 50, budget: measured.space.count)))
    let own = try #require(Replay.median(
      await Replay.evaluationsToGoal(.standard, on: measured, seeds: 20, budget: 300)))
    #expect(own <= random / 3, "default \(own), random \(random)")
    let analytical = try #require(Replay.median(
      await Replay.evaluationsToGoal(SearchMethod.named("analytical")!, on: measured, seeds: 20, budget: 300)))
    #expect(analytical <= random / 10, "analytical \(analytical), random \(random)")
  }
}
