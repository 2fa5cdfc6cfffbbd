import Foundation
import Wallclock

/// `tune --record FILE`: a Problem's whole knob space, measured, in Kernel Tuner's cache format.
struct SpaceRecording: Encodable {
  var file: String
  var problem: String
  var points: Int
  var measuredNow: Int
  var failures: Int
  var best: [String: String]
  var bestMilliseconds: Double?
  var seconds: Double

  /// Saved at least this often: what a crash can cost.
  private static let savesEvery: Duration = .seconds(10)

  static func run(_ path: String, problem: Problem, threads: Int) throws -> SpaceRecording {
    let machine = Machine.host.fingerprint
    let knobs = try KnobSpace(for: problem, threads: threads, machine: machine)
    var fresh = KernelTunerCache(
      deviceName: machine.cpuModel, kernelName: problem.description + " threads=\(threads)",
      problemSize: problem.shape.sizes.sorted { $0.key < $1.key }.map(\.value),
      parameters: knobs.parameters.map { .init(name: $0.name, values: $0.values) })
    fresh.start = knobs.start
    var cache = try going(on: fresh, path)
    var known = Set(cache.entries.map(\.coordinates))
    let before = known.count
    let progress = Progress("measuring")
    defer { progress.clear() }
    let start = ContinuousClock.now
    var saved = start

    func save() throws {
      let data = Data(try cache.encoded(compressed: path.hasSuffix(".gz")))
      try DurableFile.write(data, to: URL(filePath: path))
      saved = .now
    }
    do {
      try SpaceRecorder(
        space: knobs, machine: machine,
        worker: TuneWorkerCommand.invocation(machine, tune: ProcessInfo.processInfo.processIdentifier)
      ).record(
        isKnown: known.contains, isCancelled: { Interruption.isRequested }
      ) { block in
        for (coordinates, outcome) in block {
          let result: KernelTunerCache.Outcome =
            switch outcome {
            case .samples(let samples):
              .time(SpaceRecorder.milliseconds(samples), samples: samples.map(SpaceRecorder.milliseconds))
            case .rejected: .failure("InvalidConfig")
            case .failed: .failure("RuntimeFailedConfig")
            }
          cache.entries.append(.init(coordinates: coordinates, outcome: result))
          known.insert(coordinates)
        }
        progress.update(done: known.count, total: knobs.points.count, detail: "\(problem)")
        if .now - saved > savesEvery { try save() }
      }
    } catch let error as TuneError where error.code == .interrupted {
      try save()
      throw error
    }
    try save()
    return SpaceRecording(
      file: path, problem: cache.kernelName, points: cache.entries.count, measuredNow: known.count - before,
      failures: cache.entries.count { if case .failure = $0.outcome { true } else { false } },
      best: best(of: cache)?.configuration ?? [:], bestMilliseconds: best(of: cache)?.time,
      seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  /// What `path` holds already, when it is a recording of the same space.
  private static func going(on fresh: KernelTunerCache, _ path: String) throws -> KernelTunerCache {
    guard FileManager.default.fileExists(atPath: path) else { return fresh }
    let found = try KernelTunerCache.read(path)
    guard found.kernelName == fresh.kernelName, found.deviceName == fresh.deviceName, found.parameters == fresh.parameters
    else {
      throw InputError(
        .badData,
        "\(path) holds \(found.kernelName) on \(found.deviceName), not \(fresh.kernelName) on \(fresh.deviceName) with this build's kernels; name another file")
    }
    var going = fresh
    going.entries = found.entries
    return going
  }

  private static func best(of cache: KernelTunerCache) -> (configuration: [String: String], time: Double)? {
    var best: (entry: KernelTunerCache.Entry, time: Double)?
    for entry in cache.entries {
      if case .time(let time, _) = entry.outcome, time < best?.time ?? .infinity { best = (entry, time) }
    }
    return best.map { best in
      let pairs = zip(cache.parameters, best.entry.coordinates).map { ($0.name, $0.values[$1].description) }
      return (Dictionary(uniqueKeysWithValues: pairs), best.time)
    }
  }

  var text: String {
    let configuration = best.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    return """
      \(problem): \(points) points in \(file), \(measuredNow) of them measured now in \(String(format: "%.0f", seconds)) s, \(failures) failed.
      Best: \(bestMilliseconds.map { Units.time($0 * 1e6) } ?? "none") by \(configuration)
      """
  }
}
