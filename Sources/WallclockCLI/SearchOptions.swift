import ArgumentParser
import Foundation
import Wallclock

/// `tune`'s flags that compare search strategies on spaces that were measured whole.
struct SearchOptions: ParsableArguments {
  @Option(name: .long, help: "Replay a strategy on a measured space: a file in Kernel Tuner's cache format, plain or gzip, or synthetic:KIND?seed=N.")
  var replay: String?
  @Option(name: .long, help: "Write the synthetic space that --replay names to this file, in Kernel Tuner's cache format (.gz: compressed), and replay nothing.")
  var export: String?
  @Option(name: .long, help: "Measure every point of one problem's knob space into this file, in Kernel Tuner's cache format (.gz: compressed); goes on with what the file has.")
  var record: String?
  @Option(name: .long, help: "The strategy: a name of --list-strategies, or default.")
  var strategy = "default"
  @Option(name: .long, help: "Runs of the replay, each with its own seed.")
  var seeds = 50
  @Option(name: .customLong("max-evaluations"), help: "Evaluations a run of the replay may take. Default: 2000, or the whole space.")
  var maximumEvaluations: Int?
  @Flag(name: .customLong("list-strategies"), help: "Name the strategies.")
  var listStrategies = false

  private struct Strategy: Encodable {
    var name: String
    var summary: String
    var isDefault: Bool
  }

  private struct Export: Encodable {
    var file: String
    var space: String
    var points: Int
    var failures: Int
    var optimum: Double
  }

  func validate() throws {
    guard SearchMethod.named(strategy) != nil else {
      let names = SearchMethod.all.map(\.name).joined(separator: ", ")
      throw ValidationError("--strategy \(strategy): no strategy has that name; expected default, \(names)")
    }
    if export != nil, replay?.hasPrefix(SyntheticSpace.prefix) != true {
      throw ValidationError("--export writes a synthetic space; name one by --replay synthetic:KIND?seed=N")
    }
    guard (1...100_000).contains(seeds) else { throw ValidationError("--seeds \(seeds): expected 1 to 100000") }
    if let maximumEvaluations, maximumEvaluations < 1 {
      throw ValidationError("--max-evaluations \(maximumEvaluations): expected 1 or more")
    }
  }

  /// Does what these flags ask for; false when they ask for nothing.
  ///
  /// - Parameters:
  ///   - problems: what the problem flags name.
  ///   - threads: thread counts asked for; one when none is.
  func run(_ output: OutputOptions, problems: () throws -> [Problem], threads: [Int]) async throws -> Bool {
    if let record {
      let problems = try problems()
      guard problems.count == 1, threads.count <= 1 else {
        throw ValidationError("--record takes one problem and one thread count, found \(problems.count) and \(threads.count)")
      }
      let recording = try SpaceRecording.run(record, problem: problems[0], threads: threads.first ?? 1)
      try output.print(recording, text: recording.text)
      return true
    }
    if listStrategies {
      let strategies = SearchMethod.all.map {
        Strategy(name: $0.name, summary: $0.summary, isDefault: $0.name == SearchMethod.standard.name)
      }
      try output.print(
        strategies,
        text: strategies.map { "\($0.name)\($0.isDefault ? " (default)" : ""): \($0.summary)" }.joined(separator: "\n"))
      return true
    }
    guard let replay else { return false }
    if let export {
      let written = try write(replay, to: export)
      try output.print(written, text: "\(written.space): \(written.points) points in \(written.file), \(written.failures) of them fail")
      return true
    }
    let report = try await ReplayReport.run(
      replay, method: SearchMethod.named(strategy)!, seeds: seeds, budget: maximumEvaluations)
    try output.print(report, text: report.text)
    return true
  }

  private func write(_ source: String, to path: String) throws -> Export {
    let measured = try ReplayReport.measuredSpace(source)
    let data = Data(try KernelTunerCache(measured).encoded(compressed: path.hasSuffix(".gz")))
    try DurableFile.write(data, to: URL(filePath: path))
    return Export(
      file: path, space: measured.name, points: measured.space.count, failures: measured.failures,
      optimum: measured.optimum.time)
  }
}
