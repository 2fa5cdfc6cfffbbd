import Foundation
import WallclockCore
import WallclockModels
import WallclockProfiles

/// A predicted time and how sure it is.
public struct Prediction: Hashable, Sendable, Codable {
  public var milliseconds: Double
  /// `[lower, upper]`.
  public var interval: ClosedRange<Double>
  public var evidence: CostEvidence

  public init(milliseconds: Double, interval: ClosedRange<Double>, evidence: CostEvidence) {
    self.milliseconds = milliseconds
    self.interval = interval
    self.evidence = evidence
  }
}

/// What to run and how: a format and a Schedule for each node of a model, with what is expected of it.
public struct Plan: Hashable, Sendable, Codable {
  public static let currentSchemaVersion = 1

  /// One node of the graph.
  public struct Setting: Hashable, Sendable, Codable {
    public var node: String
    /// Occurrences in the model.
    public var count: Int
    public var problem: Problem
    /// How the weights are stored; absent where there are none.
    public var format: Format?
    public var schedule: Schedule
    /// Of all occurrences together.
    public var predicted: Prediction
  }

  /// The profile a plan was made from.
  public struct ProfileIdentity: Hashable, Sendable, Codable {
    public var name: String
    /// `Fingerprint.identityHash`.
    public var fingerprintHash: String
    public var updatedAt: String
  }

  public var schemaVersion: Int
  /// The ModelGraph's name.
  public var model: String
  public var workload: Workload
  public var threads: Int
  /// In graph order, one for each node.
  public var settings: [Setting]
  /// Of one forward pass. The interval adds up the nodes' intervals: their errors may go together.
  public var predicted: Prediction
  /// Weights and fixed parameters; activations not counted.
  public var memoryBytes: Int
  /// Share of the weights that is taken to stream from DRAM, 0 … 1.
  public var coldFraction: Double
  public var quality: Quality
  public var objective: PlanRequest.Objective
  /// One sentence.
  public var reason: String
  public var profile: ProfileIdentity

  /// The formats of its weights, each once, in graph order.
  public var formats: [Format] {
    settings.compactMap(\.format).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// `w8a8`, or `w8a8 but f32 for ffn.down`.
  public var label: String {
    let weighted = settings.filter { $0.format != nil }
    let bytes = Dictionary(grouping: weighted) { $0.format! }
      .mapValues { $0.reduce(0) { $0 + $1.count * $1.problem.shape[.n] * $1.problem.shape[.k] } }
    guard let main = formats.max(by: { (bytes[$0] ?? 0) < (bytes[$1] ?? 0) }) else { return "no weights" }
    let others = formats.filter { $0 != main }.map { format in
      "\(format) for \(weighted.filter { $0.format == format }.map(\.node).joined(separator: ", "))"
    }
    return others.isEmpty ? "\(main)" : "\(main) but \(others.joined(separator: " and "))"
  }
}

/// What a plan is asked for.
public struct PlanRequest: Hashable, Sendable {
  public enum Objective: String, Hashable, Sendable, Codable, CaseIterable {
    case latency
    /// Sequences per second at the given batch: the same choice as latency.
    case throughput
    /// The smallest plan that is no slower than the best dense baseline.
    case memory
  }

  /// Fixed, or nil to choose among those profiled.
  public var threads: Int?
  /// Formats to consider. f32 and bf16 are the baseline and stay considered unless one of them is named.
  public var formats: [Format]
  public var maximumMilliseconds: Double?
  public var maximumMemoryBytes: Int?
  /// Relative, of the metric that `measuredQuality` or the published figure names.
  public var maximumLoss: Double?
  public var objective: Objective
  /// Losses measured on the user's weights, all of them in one format; these rank first.
  public var measuredQuality: [Format: MeasuredQuality]

  public init(
    threads: Int? = nil, formats: [Format] = Format.usual, maximumMilliseconds: Double? = nil,
    maximumMemoryBytes: Int? = nil, maximumLoss: Double? = nil, objective: Objective = .latency,
    measuredQuality: [Format: MeasuredQuality] = [:]
  ) {
    self.threads = threads
    self.formats = formats
    self.maximumMilliseconds = maximumMilliseconds
    self.maximumMemoryBytes = maximumMemoryBytes
    self.maximumLoss = maximumLoss
    self.objective = objective
    self.measuredQuality = measuredQuality
  }
}

/// A Setting that was not chosen, and why, with a number wherever there is one.
public struct Rejection: Hashable, Sendable {
  /// `w4a8-g32 for ffn.up at m=128`, or `w4a16-g128` for the whole model, or `1 thread`.
  public var setting: String
  public var reason: String
  /// Speed relative to the best dense alternative: below 1, slower. Nil where there is no time.
  public var ratio: Double?
  /// The smallest m in the measured hull at which it beats dense; nil when none does.
  public var breakEven: Int?
}

extension Rejection: Codable {
  private enum CodingKeys: String, CodingKey { case setting, reason, ratio, breakEven }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(setting, forKey: .setting)
    try container.encode(reason, forKey: .reason)
    try container.encode(ratio, forKey: .ratio)
    try container.encode(breakEven, forKey: .breakEven)
  }
}

/// A chosen plan with everything it was chosen from. This is what `plan --json` prints and a plan file
/// holds (`profiles/schema/plan-v1.json`).
public struct PlanReport: Hashable, Sendable, Codable {
  public var schemaVersion: Int
  public var chosen: Plan
  /// Not dominated in (latency, memory); fastest first.
  public var front: [Plan]
  public var rejected: [Rejection]
  /// Every weight in one format, at the chosen thread count: what `verify` runs.
  public var uniform: [Plan]
  /// The fastest plan of f32 and bf16 weights within the same limits; nil when no such plan meets them.
  public var baseline: Plan?
  /// How much faster the fastest admissible plan is predicted to be than the chosen one, relative; above
  /// 0 only within the profile's noise floor, in favour of a plan that rounds less.
  public var optimalityGap: Double
  public var warnings: [String]
}

extension PlanReport {
  /// A larger file is refused unread.
  public static let largestFileBytes = 64 << 20

  /// The canonical JSON.
  public func encoded() throws(ProfileError) -> Data {
    try CanonicalJSON.encode(self, noun: "plan")
  }

  /// Decodes and checks a plan file; `source` names it in errors.
  ///
  /// - Throws: `ProfileError` when it is malformed or newer, `PlannerError.invalidPlan` when its numbers
  ///   cannot be.
  public static func decode(_ data: Data, source: String) throws -> PlanReport {
    let report = try CanonicalJSON.decode(
      PlanReport.self, from: data, noun: "plan", schemaVersion: Plan.currentSchemaVersion, source: source)
    for plan in [report.chosen] + report.front + report.uniform + (report.baseline.map { [$0] } ?? []) {
      try plan.check(source: source)
    }
    return report
  }
}

extension Plan {
  /// Checks that this plan is for `graph`: the same nodes, in order, with the same work.
  public func validate(against graph: ModelGraph) throws(PlannerError) {
    guard settings.map(\.node) == graph.nodes.map(\.name) else {
      throw PlannerError(
        .invalidPlan,
        "the plan is for \(model) with nodes \(settings.map(\.node).joined(separator: ", ")); "
          + "\(graph.name) has \(graph.nodes.map(\.name).joined(separator: ", ")); plan again for this model")
    }
    for (setting, node) in zip(settings, graph.nodes) {
      let expected = node.problem(workload, format: setting.problem.format, state: setting.problem.state)
      guard setting.problem == expected, setting.count == node.count,
        (setting.format != nil) == node.hasWeights
      else {
        throw PlannerError(
          .invalidPlan,
          "the plan has \(setting.count)× \(setting.problem) for \(node.name), "
            + "\(graph.name) needs \(node.count)× \(expected); plan again for this model")
      }
    }
  }

  fileprivate func check(source: String) throws(PlannerError) {
    func require(_ holds: Bool, _ what: @autoclosure () -> String) throws(PlannerError) {
      if !holds { throw PlannerError(.invalidPlan, "\(source): \(what()); plan again") }
    }
    func check(_ p: Prediction, _ what: String) throws(PlannerError) {
      try require(
        p.milliseconds.isFinite && p.milliseconds >= 0 && p.interval.lowerBound >= 0
          && p.interval.upperBound.isFinite,
        "predicted time of \(what) is \(p.milliseconds) ms in \(p.interval)")
    }
    try Planner.check(workload)
    try require((1...1 << 16).contains(threads), "\(threads) threads, expected 1 … 65536")
    try require(memoryBytes >= 0, "memoryBytes is \(memoryBytes)")
    try require((0...1).contains(coldFraction), "coldFraction is \(coldFraction), expected 0 … 1")
    try check(predicted, "the plan")
    for setting in settings {
      try check(setting.predicted, setting.node)
      try require((0...1 << 20).contains(setting.count), "\(setting.node) occurs \(setting.count) times")
      try require(
        setting.schedule.threads == threads,
        "\(setting.node) has \(setting.schedule.threads) threads in a plan for \(threads)")
      try require(
        setting.schedule.knobs.values.allSatisfy { (0...1 << 28).contains($0) },
        "\(setting.node) has an impossible knob")
      try require(
        setting.problem.shape.sizes.values.allSatisfy { (0...1 << 28).contains($0) },
        "\(setting.node) has an impossible size in \(setting.problem)")
      try require(
        setting.format == nil || setting.format == setting.problem.format,
        "\(setting.node) has format \(setting.format?.description ?? "none") "
          + "and a Problem in \(setting.problem.format)")
    }
  }
}
