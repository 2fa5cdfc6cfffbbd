import WallclockCore
import WallclockKernels
import WallclockMachine

/// What identical things differ by on this host: the margin below which a difference is not believed.
///
/// Each operand state and number of threads has a floor of its own.
public enum NoiseFloor {
  /// What to believe of a host that is too noisy to measure it.
  public static let whenTooNoisy = 0.05

  /// For the candidates of a tune, which share their operands: a Schedule of a small GEMM against itself.
  ///
  /// Each state is measured in three rounds with those of the other states between them; the median round
  /// counts, so that one disturbed moment, or a lucky one, does not decide what every later comparison believes.
  ///
  /// - Returns: for each state the largest relative difference of a round's eight comparisons,
  ///   `DecisionRule.leastMargin` at least, `whenTooNoisy` where most rounds were preempted too often.
  /// - Throws: `MeasureError.interrupted`; `KernelError` when the host has no kernel for the GEMM.
  public static func measure(
    _ states: Set<OperandState>, on pool: any Executor, machine: Fingerprint, isCancelled: () -> Bool = { false }
  ) throws -> [OperandState: Double] {
    let ordered = OperandState.allCases.filter(states.contains)
    let prepared = try ordered.map { try prepare($0, threads: pool.workerCount, machine: machine) }
    var rounds = ordered.map { _ in [Double]() }
    for _ in 0..<3 {
      for index in ordered.indices {
        rounds[index].append(try round(prepared[index], on: pool, isCancelled: isCancelled))
      }
    }
    return Dictionary(uniqueKeysWithValues: zip(ordered, rounds.map { $0.sorted()[1] }))
  }

  private static func prepare(
    _ state: OperandState, threads: Int, machine: Fingerprint
  ) throws -> (any PreparedProblem, any PreparedProblem) {
    let problem: Problem =
      switch state {
      case .hot: .gemm(.f32, m: 32, n: 256, k: 256)
      case .warm: .gemm(.f32, m: 16, n: 256, k: 512, state: .warm)
      case .cold: .gemm(.f32, m: 4, n: 512, k: 1024, state: .cold)
      }
    let schedule = try ScheduleSpace.standard(for: problem, threads: threads, machine: machine)
    let a = try problem.prepare(schedule, machine: machine)
    return (a, try a.rescheduled(schedule))
  }

  private static func round(
    _ sides: (any PreparedProblem, any PreparedProblem), on pool: any Executor, isCancelled: () -> Bool
  ) throws -> Double {
    do {
      return try (0..<8).reduce(DecisionRule.leastMargin) { worst, _ in
        max(worst, try difference(sides.0, sides.1, on: pool, isCancelled: isCancelled))
      }
    } catch let error as MeasureError where error.code == .tooManyDropped {
      return whenTooNoisy
    }
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
    // Not a verdict is wanted but the difference: it must not end early. A decision goes on until it knows; a
    // floor of few pairs would hold the error of its own sampling, which decisions do not have.
    rule.precision = 0
    rule.timeCap = .milliseconds(60)
    let decision = try MeasuredRun.patiently {
      try PairedComparison.decide(a, on: pool, b, on: pool, rule: rule, isCancelled: isCancelled)
    }
    return max(decision.ratio, 1 / decision.ratio) - 1
  }
}
