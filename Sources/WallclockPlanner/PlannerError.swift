import WallclockCore

/// Why there is no plan, or no cost.
public struct PlannerError: Diagnostic {
  public enum Code: String, Sendable {
    /// A Problem outside what the profile holds; the message names the `tune` command that fills the gap.
    case notMeasured
    /// No choice meets the limits.
    case infeasible
    /// A request that makes no sense: a workload of no tokens, a negative limit.
    case invalidRequest
    /// A plan file that is damaged or does not fit the model.
    case invalidPlan
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus {
    switch code {
    case .notMeasured, .infeasible: .unavailable
    case .invalidRequest: .usage
    case .invalidPlan: .badData
    }
  }

  /// The command that measures `problem` at `threads`; its flags are those of `bench`.
  public static func tuneCommand(for problem: Problem, threads: Int) -> String {
    var words = ["wallclock tune --ops", problem.op.rawValue]
    if problem.op.kernelOp == .gemm || problem.format != .f32 { words.append("--types \(problem.format)") }
    for (dimension, size) in problem.shape.sizes.sorted(by: { $0.key < $1.key }) {
      words.append("--\(dimension.rawValue) \(size)")
    }
    if !problem.epilogue.isEmpty { words.append("--epilogue \(problem.epilogue)") }
    if problem.mask != .full { words.append("--mask \(problem.mask.rawValue)") }
    words.append("--state \(problem.state.rawValue) --threads \(threads)")
    return words.joined(separator: " ")
  }

  static func notMeasured(_ problem: Problem, threads: Int, _ why: String) -> PlannerError {
    PlannerError(
      .notMeasured,
      "\(problem) at \(count(threads, "thread")) is outside what the profile holds: \(why); "
        + "`\(tuneCommand(for: problem, threads: threads))` fills the gap")
  }
}
