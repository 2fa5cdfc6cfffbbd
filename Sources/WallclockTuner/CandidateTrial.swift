import WallclockCore
import WallclockKernels
import WallclockMeasure
import WallclockProfiles

/// Whether a candidate may be timed.
///
/// Where a candidate is tried and where it is timed are two questions. It is tried, run and compared
/// with the oracle, in a worker process, where a crash, a hang or a leak loses nothing. It is timed in
/// the tuner's own process: comparisons are interleaved run by run on one pool, and two processes would
/// take turns on the caches, the threads and the clock instead. So a candidate that has passed here is
/// trusted to do the same again, for the same Problem, knobs and threads, and nothing wider: kernels read
/// no state but their arguments, and operands differ in their addresses only (a cold Problem has more
/// copies of them). The Schedule that wins is compared with the oracle once more where it is timed.
///
/// No kernel is exempt. Each comes from this build and its tests, but what a tune tries is the product of
/// kernels, knobs and shapes, of which no test has seen more than a sample.
enum TrialVerdict: Equatable {
  /// - Parameter nanoseconds: of the faster of two runs, with operands that were just touched.
  case admitted(CorrectnessCheck, nanoseconds: Double)
  case rejected(CandidateOutcome, reason: String)
}

/// Tries candidates, one at a time.
protocol CandidateTrial: AnyObject {
  /// - Parameter best: nanoseconds of the fastest candidate admitted so far for the same Problem and threads.
  /// - Throws: `TuneError` when interrupted, or when nothing can be tried at all.
  func attempt(_ schedule: Schedule, of problem: Problem, best: Double?) throws -> TrialVerdict
}

/// What a candidate may take.
struct TrialLimits: Equatable {
  /// A candidate this many times slower than the best is not worth checking.
  static let slowRatio = 10.0
  /// One that has not ended after this many times the best's time is not waited for.
  static let patienceRatio = 50.0
  static let shortestPatienceSeconds = 2.0

  /// To allocate, fill and pack operands.
  var preparationSeconds: Double
  /// For its two runs.
  var runSeconds: Double
  /// To run once more, and for the oracle.
  var checkSeconds: Double
  /// To grow by, over what the worker had before the Problem.
  var memoryBytes: Int

  init(_ problem: Problem, threads: Int, best: Double?) {
    let bytes = Self.operandBytes(of: problem)
    // The slowest kernels, scalar ones, do some 10⁸ operations a second; the rest is for a loaded host.
    let work = (problem.operations + problem.bytes) / 1e8
    preparationSeconds = 30 + bytes / 20e6
    checkSeconds = 30 + work + bytes / 20e6
    runSeconds = 10 + 2 * work
    if let best {
      runSeconds = min(
        runSeconds, max(Self.shortestPatienceSeconds, 2 * Self.patienceRatio * best / 1e9))
    }
    memoryBytes = 256 << 20 + threads * (16 << 20) + Int(min(bytes, 1e15))
  }

  /// Generous: every operand as f32 in each of the forms it passes through, and the oracle's f64.
  private static func operandBytes(of problem: Problem) -> Double {
    let s = problem.shape
    if problem.op == .moeGemm {
      let rows = Double(s[.tokens] * s[.topK])
      let weights = 3 * Double(s[.experts]) * Double(s[.channels]) * Double(s[.hidden])
      return 24 * (weights + rows * Double(s[.channels] + s[.hidden]))
    }
    guard problem.op == .gemm else { return 8 * problem.bytes }
    let (m, n, k) = (Double(s[.m]), Double(s[.n]), Double(s[.k]))
    return 24 * (n * k + m * k + m * n)
  }
}

/// Runs candidates in this process, keeping the operands from one to the next of the same Problem.
final class CandidateRunner {
  enum Step { case prepared, ran }

  private let machine: Fingerprint
  private var last: (any PreparedProblem)?

  init(machine: Fingerprint) { self.machine = machine }

  /// - Parameters:
  ///   - slowAbove: nanoseconds from which it has lost, and is not checked.
  ///   - reached: called after each step.
  func run(
    _ schedule: Schedule, of problem: Problem, slowAbove: Double?, on executor: any Executor,
    reached: (Step) -> Void = { _ in }
  ) -> TrialVerdict {
    do {
      let prepared = try prepare(schedule, problem)
      reached(.prepared)
      var fastest = Double.infinity
      for _ in 0..<2 {
        let start = nanosecondsNow()
        prepared.run(copy: 0, on: executor)
        fastest = min(fastest, Double(nanosecondsNow() - start))
      }
      reached(.ran)
      if let slowAbove, fastest > slowAbove {
        let best = slowAbove / TrialLimits.slowRatio
        return .rejected(
          .slow(timesTheBest: fastest / best),
          reason: "\(Int(fastest / best)) times as long as the best so far, \(Int(fastest)) ns against \(Int(best)) ns")
      }
      return .admitted(try prepared.check(on: executor), nanoseconds: fastest)
    } catch {
      return .rejected(CandidateOutcome(error), reason: error.message)
    }
  }

  private func prepare(_ schedule: Schedule, _ problem: Problem) throws(KernelError) -> any PreparedProblem {
    if let last, last.problem == problem { return try last.rescheduled(schedule) }
    last = nil
    let made = try problem.prepare(schedule, machine: machine, copies: 1)
    last = made
    return made
  }
}

extension CandidateOutcome {
  init(_ error: KernelError) {
    switch error.code {
    case .badKnob, .shapeMismatch, .rejected: self = .illegal
    case .unknownKernel, .missingISA, .unsupported: self = .unavailable
    case .wrongResult:
      self = .wrongResult(worstErrorOverTolerance: error.worstErrorOverTolerance ?? .infinity)
    }
  }
}

/// Tries candidates without a worker: a crash or a hang is the tune's.
final class InProcessTrial: CandidateTrial {
  private let runner: CandidateRunner
  private let pool: (Int) throws -> any Executor

  init(machine: Fingerprint, pool: @escaping (Int) throws -> any Executor) {
    runner = CandidateRunner(machine: machine)
    self.pool = pool
  }

  func attempt(_ schedule: Schedule, of problem: Problem, best: Double?) throws -> TrialVerdict {
    runner.run(
      schedule, of: problem, slowAbove: best.map { $0 * TrialLimits.slowRatio },
      on: try pool(schedule.threads))
  }
}
