import Foundation
import Testing
import WallclockCore

@testable import WallclockProfiles

@Suite struct QualityStoreTests {
  private func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(component: "quality-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  private func quality(_ loss: Double) -> MeasuredQuality { MeasuredQuality(loss: loss, source: "a test") }

  @Test func keepsWhatWasMeasuredOfEachSetOfWeights() throws {
    try withFolder { folder in
      let store = try QualityStore(folder: folder)
      #expect(try store.measured(weights: "aa").isEmpty)
      try store.record([.w8a8: quality(0.001), .bf16: quality(0)], weights: "aa", model: "m")
      try store.record([.w8a8: quality(0.002)], weights: "aa", model: "m")
      try store.record([.w4a8g32: quality(0.05)], weights: "bb", model: "n")
      #expect(try store.measured(weights: "aa") == [.w8a8: quality(0.002), .bf16: quality(0)])
      #expect(try store.measured(weights: "bb") == [.w4a8g32: quality(0.05)])
      try store.record([:], weights: "cc", model: "m")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path(percentEncoded: false)).count == 2)
    }
  }

  @Test(arguments: [
    (#"{"schemaVersion": 2, "model": "m", "measured": {}}"#, ProfileError.Code.newerSchema),
    (#"{"schemaVersion": 1, "model": "m"}"#, .invalid),
    (#"{"schemaVersion": 1, "model": "m", "measured": {"w8a8": {"loss": -1, "source": "s"}}}"#, .invalid),
    ("not json", .invalid),
  ])
  func refusesADamagedFileAndLeavesIt(_ text: String, _ code: ProfileError.Code) throws {
    try withFolder { folder in
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let file = folder.appending(component: "aa.json")
      try Data(text.utf8).write(to: file)
      let store = try QualityStore(folder: folder)
      let read = try #require(throws: ProfileError.self) { try store.measured(weights: "aa") }
      #expect(read.code == code && read.message.contains("aa.json"), "\(read.message)")
      #expect(throws: ProfileError.self) { try store.record([.w8a8: quality(0)], weights: "aa", model: "m") }
      #expect(try Data(contentsOf: file) == Data(text.utf8))
    }
  }

  @Test func leavesOutFormatsItDoesNotKnow() throws {
    try withFolder { folder in
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let text = #"{"schemaVersion": 1, "model": "m", "measured": {"w2a8": {"loss": 0.5, "source": "s"}}}"#
      try Data(text.utf8).write(to: folder.appending(component: "aa.json"))
      #expect(try QualityStore(folder: folder).measured(weights: "aa").isEmpty)
    }
  }
}
