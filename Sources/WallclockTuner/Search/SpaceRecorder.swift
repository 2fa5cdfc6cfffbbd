#if canImport(Glibc)
  import Glibc
#endif

public import WallclockCore
public import WallclockKernels
import WallclockMachine
import WallclockMeasure
public import WallclockProfiles
import WallclockThreads

/// Measures every point of a Problem's knob space, so that searches can be replayed on it.
public struct SpaceRecorder {
  /// What came of a point.
  public enum Outcome: Sendable, Equatable {
    /// Nanoseconds of one run, sample by sample.
    case samples([Double])
    /// The kernel refused the Schedule.
    case rejected
    /// It was tried and has no time: wrong, crashed, not done in time, out of memory, or more than ten
    /// times as slow as the fastest tried before it.
    case failed(CandidateOutcome)
  }

  public let space: KnobSpace
  private let machine: Fingerprint
  private let worker: WorkerCommand?

  /// Points measured in turn, a sample of each per round: what slows the host for a while slows all.
  private static let blockSize = 24
  private static let rounds = 9
  /// A sample takes this long at least, or one run.
  private static let sampleNanoseconds = 40_000.0
  /// A point slower than this, as often as the fastest of its block, leaves after three rounds: nothing
  /// near the optimum is that slow.
  private static let hopeless = 2.0

  /// - Parameter worker: where points are tried before they are measured; nil to try them in this process,
  ///   where a crash or a hang is the recording's.
  public init(space: KnobSpace, machine: Fingerprint, worker: WorkerCommand? = nil) {
    self.space = space
    self.machine = machine
    self.worker = worker
  }

  /// Measures the points that `isKnown` does not have, in an order that is random but the same each
  /// time, and hands over each block as it is done. A point is tried first, in the worker where there is one.
  ///
  /// - Throws: `TuneError.interrupted` when cancelled, `.workerFailed` when nothing can be tried; what was
  ///   handed over stands.
  public func record(
    isKnown: ([Int]) -> Bool, isCancelled: @escaping () -> Bool, _ deliver: ([([Int], Outcome)]) throws -> Void
  ) throws {
    let pool = try ThreadPool.onePerCore(of: machine, threads: space.threads, node: nil)
    defer { pool.shutdown() }
    var random = SearchRandom(seed: 0)
    // A block holds points of one kernel, whose packed weights are then at hand.
    let byKernel = Dictionary(grouping: space.points) { $0[0] }
    var blocks: [[[Int]]] = []
    for kernel in byKernel.keys.sorted() {
      let points = byKernel[kernel]!.shuffled(using: &random)
      for first in stride(from: 0, to: points.count, by: Self.blockSize) {
        blocks.append(Array(points[first..<min(first + Self.blockSize, points.count)]))
      }
    }
    guard let any = space.start.first else { return }
    let operands = try space.problem.prepare(space.schedule(at: any), machine: machine)
    let trial: any CandidateTrial =
      if let worker {
        WorkerTrial(worker, isCancelled: isCancelled)
      } else {
        InProcessTrial(machine: machine) { _ in pool }
      }
    var fastest: Double?
    for block in blocks {
      let open = block.filter { !isKnown($0) }
      guard !open.isEmpty else { continue }
      if isCancelled() { throw TuneError(.interrupted, "interrupted; the same command goes on from here") }
      try deliver(measure(open, operands, trial, &fastest, on: pool))
    }
  }

  private func measure(
    _ block: [[Int]], _ operands: any PreparedProblem, _ trial: any CandidateTrial, _ fastest: inout Double?,
    on pool: ThreadPool
  ) throws -> [([Int], Outcome)] {
    var outcomes: [Outcome] = []
    var prepared: [any PreparedProblem] = []
    var runs: [Int] = []
    for point in block {
      let schedule = space.schedule(at: point)
      switch try trial.attempt(schedule, of: space.problem, best: fastest) {
      case .admitted(_, let nanoseconds):
        fastest = min(fastest ?? .infinity, nanoseconds)
        prepared.append(try operands.rescheduled(schedule))
        runs.append(outcomes.count)
        outcomes.append(.samples([]))
      case .rejected(.illegal, _), .rejected(.unavailable, _): outcomes.append(.rejected)
      case .rejected(let outcome, _): outcomes.append(.failed(outcome))
      }
    }
    var samples = [[Double]](repeating: [], count: prepared.count)
    var repetitions = [Int](repeating: 1, count: prepared.count)
    for i in prepared.indices {
      let once = time(prepared[i], repetitions: 1, on: pool)
      repetitions[i] = max(1, min(1000, Int(Self.sampleNanoseconds / max(once, 1))))
    }
    for round in 0..<Self.rounds {
      let fastest = samples.compactMap { $0.min() }.min() ?? 0
      for i in prepared.indices {
        if round >= 3, samples[i].min()! > Self.hopeless * fastest { continue }
        samples[i].append(time(prepared[i], repetitions: repetitions[i], on: pool))
      }
    }
    for (run, values) in zip(runs, samples) { outcomes[run] = .samples(values) }
    return Array(zip(block, outcomes))
  }

  private func time(_ prepared: any PreparedProblem, repetitions: Int, on pool: ThreadPool) -> Double {
    let start = nanosecondsNow()
    for r in 0..<repetitions { prepared.run(copy: r % prepared.copies, on: pool) }
    return Double(nanosecondsNow() - start) / Double(repetitions)
  }

  /// The time a point is recorded with: the median of its samples.
  public static func milliseconds(_ samples: [Double]) -> Double { milliseconds(OrderStatistics.median(samples)) }

  /// Whole nanoseconds: the clock gives no more.
  public static func milliseconds(_ nanoseconds: Double) -> Double { nanoseconds.rounded() / 1e6 }
}
