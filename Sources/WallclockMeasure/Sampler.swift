import CWallclockLinux
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// When to stop sampling.
public struct SamplingOptions: Sendable, Codable {
  /// Stop once the 95 % interval of the median is within this fraction of it, on either side.
  public var relativeInterval = 0.01
  public var timeCap: Duration = .milliseconds(500)
  public var minimumSamples = 11
  public var maximumSamples = 2000
  /// Runs are grouped until one sample takes at least this long, so that reading the clock costs
  /// under a part in a thousand.
  public var minimumSampleDuration: Duration = .microseconds(50)
  public init() {}
}

/// Monotonic time in nanoseconds, not slewed by NTP.
package func nanosecondsNow() -> UInt64 {
  var t = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC_RAW, &t)
  return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
}

/// What sampling reads: the time, and what tells that a sample was disturbed.
package struct SampleClock {
  /// Monotonic.
  package let nanoseconds: () -> UInt64
  /// Time that threads of this process wanted a CPU and had none, so far: they stood in a run queue,
  /// or the hypervisor had taken the CPU.
  package let lostNanoseconds: () -> UInt64

  package init(nanoseconds: @escaping () -> UInt64, lostNanoseconds: @escaping () -> UInt64) {
    self.nanoseconds = nanoseconds
    self.lostNanoseconds = lostNanoseconds
  }

  /// The host's clock and accounts, for samples that the calling thread takes.
  ///
  /// - Parameter executors: whose threads work for the samples. Other threads of the process may wait
  ///   without disturbing anything.
  package static func system(watching executors: [any Executor] = []) -> SampleClock {
    let pools = executors.compactMap { $0 as? ThreadPool }
    let lost = LostTime(threads: Set(pools.flatMap(\.threadIDs)).union([wcl_gettid()]))
    return SampleClock(nanoseconds: nanosecondsNow) { lost.total() }
  }

  /// For samples that threads take which this program did not start: every thread of the process is watched.
  package static func wholeProcess() -> SampleClock {
    let lost = ProcessLostTime()
    return SampleClock(nanoseconds: nanosecondsNow) { lost.total() }
  }
}

/// One sample: nanoseconds per run, and whether something disturbed it.
package struct TimedSample {
  package var nanoseconds: Double
  package var isDisturbed: Bool
  package init(nanoseconds: Double, isDisturbed: Bool) {
    self.nanoseconds = nanoseconds
    self.isDisturbed = isDisturbed
  }
}

/// Numbers runs, and so the operand copies they take: sides that share it rotate over the copies
/// together, and none finds in the cache what another has just fetched.
package final class RunCounter {
  private var count = 0
  package init() {}
  func next() -> Int {
    defer { count += 1 }
    return count
  }
}

/// One timed side: `run(i)` runs it once, for the i-th time.
package struct TimedSide {
  /// Untimed, before each run: brings the operands into the state that is measured.
  private let prepare: ((Int) -> Void)?
  package let run: (Int) -> Void
  private let counter: RunCounter
  private var repetitions: Int

  package init(
    preparedBy prepare: ((Int) -> Void)? = nil, countedBy counter: RunCounter = RunCounter(),
    repetitions: Int = 1, _ run: @escaping (Int) -> Void
  ) {
    self.repetitions = repetitions
    self.prepare = prepare
    self.counter = counter
    self.run = run
  }

  /// Runs of a prepared Problem over its operand copies in turn, in its operand state.
  ///
  /// - Parameters:
  ///   - backToBack: nothing comes between runs, and a sample has as many as there are copies, or more.
  ///   - extra: work that follows each run, and is timed with it.
  package init(
    _ prepared: any PreparedProblem, on executor: any Executor, countedBy counter: RunCounter = RunCounter(),
    backToBack: Bool = false, then extra: (() -> Void)? = nil
  ) {
    let rewrites = prepared.problem.state != .hot && !backToBack
    self.init(
      preparedBy: rewrites ? { prepared.rewriteActivations(copy: $0 % prepared.copies, on: executor) } : nil,
      countedBy: counter, repetitions: backToBack ? prepared.copies : 1
    ) {
      prepared.run(copy: $0 % prepared.copies, on: executor)
      extra?()
    }
  }

  /// Nanoseconds that the next `count` runs took together.
  package mutating func time(_ count: Int, _ now: () -> UInt64 = nanosecondsNow) -> Double {
    guard let prepare else {
      let start = now()
      for _ in 0..<count { run(next()) }
      return Double(now() - start)
    }
    var total: UInt64 = 0
    for _ in 0..<count {
      let i = next()
      prepare(i)
      let start = now()
      run(i)
      total += now() - start
    }
    return Double(total)
  }

  /// Warms up and sets how many runs make one sample: no fewer than at first.
  ///
  /// - Returns: nanoseconds of one sample, roughly.
  @discardableResult
  mutating func calibrate(minimum: Duration, _ clock: SampleClock) -> Double {
    var elapsed: Double = 0
    _ = time(1, clock.nanoseconds)
    let target = Double(minimum / .nanoseconds(1))
    repeat {
      elapsed = time(repetitions, clock.nanoseconds)
      if elapsed >= target { break }
      let wanted = Double(repetitions) * target / max(elapsed, 100) * 1.2
      repetitions = max(repetitions + 1, min(Int(wanted), repetitions * 64))
    } while true
    return elapsed
  }

  /// Runs once, untimed.
  mutating func leadIn() { run(next()) }

  private func next() -> Int { counter.next() }

  /// A sample that lost more than this part of its time was disturbed.
  static var tolerableLoss: Double { 0.005 }

  mutating func sample(_ clock: SampleClock) -> TimedSample {
    let before = clock.lostNanoseconds()
    let elapsed = time(repetitions, clock.nanoseconds)
    let after = clock.lostNanoseconds()
    // A thread that ended takes its wait with it.
    let lost = after > before ? after - before : 0
    return TimedSample(
      nanoseconds: elapsed / Double(repetitions), isDisturbed: Double(lost) > Self.tolerableLoss * elapsed)
  }
}

/// Samples one or several sides in turn under DESIGN's rules of measurement.
package enum Sampler {
  /// How many times the cap may pass before there are three undisturbed samples.
  private static var patience: UInt64 { 4 }

  /// Samples `sides` interleaved, one sample of each in turn, until all have converged or the cap
  /// is reached. Disturbed samples are dropped (a whole round at a time, so that sides stay paired).
  ///
  /// - Returns: a summary per side, and the paired undisturbed samples, round by round.
  /// - Throws: `MeasureError.tooManyDropped` when not even three rounds were left alone in four times the cap.
  package static func sample(
    _ sides: inout [TimedSide], options: SamplingOptions, clock: SampleClock,
    isCancelled: () -> Bool = { false }
  ) throws(MeasureError) -> (summaries: [SampleSummary], rounds: [[Double]]) {
    for i in sides.indices { sides[i].calibrate(minimum: options.minimumSampleDuration, clock) }
    var rounds: [[Double]] = []
    var disturbed = 0
    let start = clock.nanoseconds()
    let cap = UInt64(max(0, options.timeCap / .nanoseconds(1)))
    var stop = SampleSummary.Stop.sampleCap
    var nextCheck = options.minimumSamples
    while rounds.count < options.maximumSamples {
      if isCancelled() { throw MeasureError(.interrupted, "interrupted while sampling") }
      var round: [Double] = []
      var dirty = false
      for i in sides.indices {
        let sample = sides[i].sample(clock)
        round.append(sample.nanoseconds)
        dirty = dirty || sample.isDisturbed
      }
      if dirty { disturbed += 1 } else { rounds.append(round) }
      if rounds.count >= nextCheck {
        nextCheck = rounds.count + max(4, rounds.count / 4)
        if converged(rounds, sides.count, options.relativeInterval) {
          stop = .converged
          break
        }
      }
      // A busy machine gets more time to leave a few samples alone.
      let elapsed = clock.nanoseconds() - start
      if elapsed > cap, rounds.count >= 3 || (disturbed >= 3 && elapsed > cap * patience) {
        stop = .timeCap
        break
      }
    }
    guard rounds.count >= 3 else {
      throw MeasureError(
        .tooManyDropped,
        "\(disturbed) of \(rounds.count + disturbed) samples were preempted; quieten the machine and run again")
    }
    let summaries = sides.indices.map { side in
      let sorted = rounds.map { $0[side] }.sorted()
      return SampleSummary(
        medianNanoseconds: OrderStatistics.median(sorted: sorted),
        intervalNanoseconds: OrderStatistics.medianInterval(sorted: sorted),
        minimumNanoseconds: sorted[0], count: sorted.count, dropped: disturbed, stop: stop)
    }
    return (summaries, rounds)
  }

  private static func converged(_ rounds: [[Double]], _ sides: Int, _ limit: Double) -> Bool {
    (0..<sides).allSatisfy { side in
      let sorted = rounds.map { $0[side] }.sorted()
      let median = OrderStatistics.median(sorted: sorted)
      let interval = OrderStatistics.medianInterval(sorted: sorted)
      return interval.upperBound - median <= limit * median && median - interval.lowerBound <= limit * median
    }
  }
}
