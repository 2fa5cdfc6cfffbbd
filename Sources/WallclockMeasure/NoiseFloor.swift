import WallclockCore
import WallclockKernels
import WallclockMachine

/// What identical things differ by on this host: the margin below which a difference is not believed.
///
/// Each operand state and number of threads has a floor of its own.
public enum NoiseFloor {
  /// What to believe of a host that is too noisy to measure it.
  public static let whenTooNoisy = 0.05

  /// For the candidates of a tune, which share their operands: a Schedule against itself on a small GEMM.
  ///
  /// - Returns: the largest relative difference of eight comparisons, `DecisionRule.leastMargin` at least.
  /// - Throws: `MeasureError`; `KernelError` when the host has no kernel for the GEMM.
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
    let a = try problem.prepare(schedule, machine: machine)
    var worst = DecisionRule.leastMargin
    for _ in 0..<8 {
      worst = max(worst, try difference(a, a.rescheduled(schedule), on: pool, isCancelled: isCancelled))
    }
    return worst
  }

  /// For two Schedules of `problem`. Where they pack weights apart, the copies of one may lie better in
  /// memory than the other's; so `schedule` is compared with itself, each time prepared anew, apart or not.
  ///
  /// - Returns: the largest relative difference of four comparisons, `DecisionRule.leastMargin` at least.
  public static func measure(
    _ problem: Problem, _ schedule: Schedule, apart: Bool, on pool: any Executor, machine: Fingerprint,
    isCancelled: () -> Bool = { false }
  ) throws -> Double {
    var worst = DecisionRule.leastMargin
    for _ in 0..<4 {
      let a = try problem.prepare(schedule, machine: machine)
      let b = try apart ? problem.prepare(schedule, machine: machine) : a.rescheduled(schedule)
      worst = max(worst, try difference(a, b, on: pool, isCancelled: isCancelled))
    }
    return worst
  }

  private static func difference(
    _ a: any PreparedProblem, _ b: any PreparedProblem, on pool: any Executor, isCancelled: () -> Bool
  ) throws -> Double {
    var rule = DecisionRule(.either, margin: 0)
    // Not a verdict is wanted but the difference: it must not end early.
    rule.precision = 0
    rule.maximumPairs = 48
    rule.timeCap = .milliseconds(60)
    let decision = try MeasuredRun.patiently {
      try PairedComparison.decide(a, on: pool, b, on: pool, rule: rule, isCancelled: isCancelled)
    }
    return max(decision.ratio, 1 / decision.ratio) - 1
  }
}
