import Foundation
import Wallclock

/// `tune --replay`: what a strategy needs on a space that was measured whole, beside random search.
struct ReplayReport: Encodable {
  struct Runs: Encodable {
    var evaluationsTo97: [Int?]
    var median: Double?

    init(_ counts: [Int?]) {
      evaluationsTo97 = counts
      median = Replay.median(counts)
    }

    enum CodingKeys: String, CodingKey { case evaluationsTo97, median, found }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(evaluationsTo97, forKey: .evaluationsTo97)
      try container.encode(median, forKey: .median)
      try container.encode(evaluationsTo97.count { $0 != nil }, forKey: .found)
    }
  }

  var file: String
  var parameters: Int
  var points: Int
  var failures: Int
  var optimum: Double
  var optimumConfiguration: [String: String]
  var strategy: String
  var seeds: Int
  /// Evaluations a run may take; null in `evaluationsTo97` says that they did not do.
  var budget: Int
  var runs: Runs
  var random: Runs
  var seconds: Double

  enum CodingKeys: String, CodingKey {
    case file, parameters, points, failures, optimum, optimumConfiguration, strategy, seeds, budget
    case evaluationsTo97, median, found, random, ratio, seconds
  }

  /// The strategy's median over random search's; nil where either has none.
  var ratio: Double? {
    guard let own = runs.median, let other = random.median else { return nil }
    return own / other
  }

  func encode(to encoder: any Encoder) throws {
    try runs.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(file, forKey: .file)
    try container.encode(parameters, forKey: .parameters)
    try container.encode(points, forKey: .points)
    try container.encode(failures, forKey: .failures)
    try container.encode(optimum, forKey: .optimum)
    try container.encode(optimumConfiguration, forKey: .optimumConfiguration)
    try container.encode(strategy, forKey: .strategy)
    try container.encode(seeds, forKey: .seeds)
    try container.encode(budget, forKey: .budget)
    try container.encode(random, forKey: .random)
    try container.encode(ratio, forKey: .ratio)
    try container.encode(seconds, forKey: .seconds)
  }

  /// - Parameter source: a file in Kernel Tuner's cache format, or `synthetic:KIND?seed=N`.
  static func run(
    _ source: String, method: SearchMethod, seeds: Int, budget: Int?
  ) async throws -> ReplayReport {
    let measured = try measuredSpace(source)
    guard !method.usesStart || !measured.start.isEmpty else {
      throw InputError(
        .badData,
        "\(source) has no wallclock_start, which the strategy \(method.name) begins at; use another strategy, or a file of `wallclock tune --record`")
    }
    let start = ContinuousClock.now
    let budget = min(budget ?? 2_000, measured.space.count)
    let isCancelled: @Sendable () -> Bool = { Interruption.isRequested }
    let runs = await Replay.evaluationsToGoal(
      method, on: measured, seeds: seeds, budget: budget, isCancelled: isCancelled)
    let random = await Replay.evaluationsToGoal(
      .random, on: measured, seeds: seeds, budget: measured.space.count, isCancelled: isCancelled)
    if Interruption.isRequested { throw TuneError(.interrupted, "interrupted; nothing was kept of the replay") }
    let names = measured.space.parameters.map(\.name)
    let values = measured.space.values(of: measured.optimum.point).map(\.description)
    return ReplayReport(
      file: source, parameters: names.count, points: measured.space.count, failures: measured.failures,
      optimum: measured.optimum.time,
      optimumConfiguration: Dictionary(uniqueKeysWithValues: zip(names, values)), strategy: method.name,
      seeds: seeds, budget: budget, runs: Runs(runs), random: Runs(random),
      seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  static func measuredSpace(_ source: String) throws -> MeasuredSpace {
    guard source.hasPrefix(SyntheticSpace.prefix) else {
      let cache = try KernelTunerCache.read(source)
      if cache.isOpen {
        Output.note("\(source) was not closed: its measuring may have been stopped. Replaying the \(cache.entries.count) configurations it has.")
      }
      return try MeasuredSpace(name: source, cache)
    }
    guard let synthetic = SyntheticSpace(source) else {
      let kinds = SyntheticSpace.Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw InputError(.noInput, "no synthetic space is named \"\(source)\"; expected synthetic:KIND?seed=N with KIND one of \(kinds)")
    }
    return try synthetic.measured()
  }

  var text: String {
    func number(_ value: Double?) -> String { value.map { String(format: "%g", $0) } ?? "not found by half of the seeds" }
    let found = runs.evaluationsTo97.count { $0 != nil }
    return """
      \(file): \(points) legal points of \(parameters) parameters, \(failures) of them fail; the best takes \(String(format: "%.6g", optimum))
      evaluations until 97 % of the best, median of \(seeds) seeds:
        \(strategy): \(number(runs.median))\(found < seeds ? " (\(seeds - found) seeds did not get there in \(budget))" : "")
        random: \(number(random.median))
        ratio: \(ratio.map { String(format: "%.3f", $0) } ?? "–")
      """
  }
}
