import WallclockCore
import WallclockKernels
import WallclockMachine

#if canImport(Glibc)
  import Glibc
#endif

/// What identical things differ by on this host: the margin below which a difference is not believed.
///
/// Each operand state and number of threads has a floor of its own. Both sides are the
/// same Schedule, prepared twice: everything that may differ between two candidates without a reason
/// in their code does so here, above all where in memory their copies lie.
public enum NoiseFloor {
  /// Sides per comparison of which the largest difference is taken.
  static let comparisons = 8

  /// The largest relative difference seen in eight comparisons of a Schedule with itself, `leastMargin` at least.
  ///
  /// - Throws: `MeasureError`; `KernelError` when the host has no kernel for the Problem it is taken on.
  public static func measure(
    _ state: OperandState, on pool: any Executor, machine: Fingerprint, isCancelled: () -> Bool = { false }
  ) throws -> Double {
    let problem: Problem =
      switch state {
      case .hot: .gemm(.f32, m: 32, n: 256, k: 256)
      case .warm: .gemm(.f32, m: 16, n: 256, k: 512, state: .warm)
      case .cold: .gemm(.f32, m: 4, n: 512, k: 1024, state: .cold)
      }
    let schedule = try ScheduleSpace.standard(for: problem, threads: pool.workerCount, machine: machine)
    var rule = DecisionRule(.either, margin: 0)
    // A comparison that cannot end early: what is wanted is the difference, not a verdict.
    rule.precision = 0
    rule.maximumPairs = 48
    rule.timeCap = .milliseconds(60)
    var worst = 0.0
    // Copies to rotate over are many: they are laid out twice, hot operands anew for every comparison.
    let sides = try state != .hot ? [pair(problem, schedule, machine)] : []
    for _ in 0..<comparisons {
      let (a, b) = try sides.first ?? pair(problem, schedule, machine)
      let decision = try MeasuredRun.patiently {
        try PairedComparison.decide(a, on: pool, b, on: pool, rule: rule, isCancelled: isCancelled)
      }
      worst = max(worst, abs(log(decision.ratio)))
    }
    return max(DecisionRule.leastMargin, expm1(worst))
  }

  private static func pair(
    _ problem: Problem, _ schedule: Schedule, _ machine: Fingerprint
  ) throws(KernelError) -> (any PreparedProblem, any PreparedProblem) {
    (try problem.prepare(schedule, machine: machine), try problem.prepare(schedule, machine: machine))
  }
}
