import WallclockCore
import WallclockModels
import WallclockProfiles

/// Where a plan's time goes, and what would have to change for what it rejected to pay.
public struct Explanation: Hashable, Sendable, Codable {
  /// What limits an ideal kernel on this host.
  public enum Bound: String, Hashable, Sendable, Codable {
    case arithmetic, bandwidth
    /// The profile has no ceiling to compare with.
    case unknown
  }

  public struct Row: Hashable, Sendable, Codable {
    public var node: String
    public var count: Int
    public var format: Format
    public var milliseconds: Double
    /// Of the whole plan, 0 … 1.
    public var share: Double
    public var evidence: CostEvidence
    public var kernel: String
    public var bound: Bound
    /// The least time the measured ceilings allow; nil where unknown.
    public var boundMilliseconds: Double?
    /// `boundMilliseconds / milliseconds`: 1 is as fast as this host can. Above 1, the operands came from
    /// a nearer cache than the bound supposes.
    public var fractionOfBound: Double?
  }

  public struct Change: Hashable, Sendable, Codable {
    public var setting: String
    public var needs: String
  }

  public var model: String
  public var workload: Workload
  public var threads: Int
  public var milliseconds: Double
  public var rows: [Row]
  public var changes: [Change]
}

extension Planner {
  /// Explains the chosen plan of a report with the ceilings of the profile it was made from.
  ///
  /// - Throws: `PlannerError.invalidPlan` when the plan is not for `graph`.
  public static func explain(
    _ report: PlanReport, profile: Profile, graph: ModelGraph
  ) throws(PlannerError) -> Explanation {
    let plan = report.chosen
    try plan.validate(against: graph)
    let total = plan.settings.reduce(0) { $0 + $1.predicted.milliseconds }
    let ceilings = profile.ceilings.filter { $0.threads == plan.threads }
    let rows = plan.settings.map { setting in
      let (bound, least) = roofline(setting.problem, ceilings)
      let boundMilliseconds = least.map { $0 * Double(setting.count) / 1e6 }
      let spent = setting.predicted.milliseconds
      return Explanation.Row(
        node: setting.node, count: setting.count, format: setting.problem.format, milliseconds: spent,
        share: total > 0 ? spent / total : 0, evidence: setting.predicted.evidence,
        kernel: setting.schedule.kernel,
        bound: bound, boundMilliseconds: boundMilliseconds,
        fractionOfBound: spent > 0 ? boundMilliseconds.map { $0 / spent } : nil)
    }
    return Explanation(
      model: plan.model, workload: plan.workload, threads: plan.threads,
      milliseconds: plan.predicted.milliseconds,
      rows: rows, changes: report.rejected.map { Explanation.Change(setting: $0.setting, needs: needs($0)) })
  }

  /// The least time for `problem` under the ceilings: arithmetic at the peak for its type, or every operand
  /// once at the bandwidth of where it lies, whichever is longer (Williams et al., Roofline, CACM 2009).
  static func roofline(
    _ problem: Problem, _ ceilings: [Ceiling]
  ) -> (bound: Explanation.Bound, nanoseconds: Double?) {
    func best(_ names: [String]) -> Double? {
      for name in names {
        if let value = ceilings.filter({ $0.name == name }).map(\.value).max() { return value }
      }
      return nil
    }
    // GOP/s and GB/s are operations and bytes per nanosecond.
    let peak: Double? =
      switch (problem.op, problem.format.activations, problem.format.weights) {
      case (.gemm, .int8, _): best(["int8"])
      case (.gemm, .float, .bf16): best(["bf16", "f32"])
      default: best(["f32"])
      }
    let bandwidth = problem.state == .cold ? best(["read.dram"]) : best(["read.l3", "read.l2", "read.dram"])
    let arithmetic = peak.map { problem.operations / $0 }
    let movement = bandwidth.map { problem.bytes / $0 }
    return switch (arithmetic, movement) {
    case (let a?, let m?): a >= m ? (.arithmetic, a) : (.bandwidth, m)
    case (let a?, nil): (.arithmetic, a)
    case (nil, let m?): (.bandwidth, m)
    case (nil, nil): (.unknown, nil)
    }
  }

  private static func needs(_ rejection: Rejection) -> String {
    guard let ratio = rejection.ratio, ratio > 0 else { return rejection.reason }
    if ratio >= 1 { return "already faster than dense: " + rejection.reason }
    let kernel = "a kernel \(times(1 / ratio)) as fast as now"
    return rejection.breakEven.map { "\(kernel), or m of at least \($0)" } ?? kernel
  }
}
