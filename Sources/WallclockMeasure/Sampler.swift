import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// When to stop sampling.
public struct SamplingOptions: Sendable {
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

/// What tells that a sample was disturbed: the kernel took a CPU from one of the process's threads,
/// or the hypervisor took it from the machine.
struct Disturbance: Equatable {
  var involuntarySwitches: Int
  static func now() -> Disturbance {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Disturbance(involuntarySwitches: usage.ru_nivcsw)
  }
}

/// One timed side: `run(i)` runs it once, for the i-th time.
package struct TimedSide {
  package let run: (Int) -> Void
  fileprivate var iteration = 0
  fileprivate var repetitions = 1

  package init(_ run: @escaping (Int) -> Void) { self.run = run }

  /// Warms up and sets how many runs make one sample.
  package mutating func calibrate(minimum: Duration) -> Double {
    var elapsed: Double = 0
    run(next())
    let target = Double(minimum / .nanoseconds(1))
    repeat {
      let start = nanosecondsNow()
      for _ in 0..<repetitions { run(next()) }
      elapsed = Double(nanosecondsNow() - start)
      if elapsed >= target { break }
      let wanted = Double(repetitions) * target / max(elapsed, 100) * 1.2
      repetitions = max(repetitions + 1, min(Int(wanted), repetitions * 64))
    } while true
    return elapsed / Double(repetitions)
  }

  private mutating func next() -> Int {
    defer { iteration += 1 }
    return iteration
  }

  /// One sample: nanoseconds per run, and whether something disturbed it.
  package mutating func sample() -> (nanoseconds: Double, disturbed: Bool) {
    let before = Disturbance.now()
    let start = nanosecondsNow()
    for _ in 0..<repetitions { run(next()) }
    let elapsed = nanosecondsNow() - start
    return (Double(elapsed) / Double(repetitions), Disturbance.now() != before)
  }
}

/// Samples one or several sides in turn under DESIGN's rules of measurement.
package enum Sampler {
  /// Samples `sides` interleaved, one sample of each in turn, until all have converged or the cap
  /// is reached. Disturbed samples are dropped (a whole round at a time, so that sides stay paired).
  ///
  /// - Returns: a summary per side, and the paired undisturbed samples, round by round.
  /// - Throws: `MeasureError.tooManyDropped` when over half of the rounds were disturbed and too few are left.
  package static func sample(
    _ sides: inout [TimedSide], options: SamplingOptions, isCancelled: () -> Bool = { false }
  ) throws(MeasureError) -> (summaries: [SampleSummary], rounds: [[Double]]) {
    for i in sides.indices { _ = sides[i].calibrate(minimum: options.minimumSampleDuration) }
    var rounds: [[Double]] = []
    var disturbed: [[Double]] = []
    let start = nanosecondsNow()
    let cap = UInt64(max(0, options.timeCap / .nanoseconds(1)))
    var stop = SampleSummary.Stop.sampleCap
    var nextCheck = options.minimumSamples
    while rounds.count < options.maximumSamples {
      if isCancelled() { throw MeasureError(.interrupted, "interrupted while sampling") }
      var round: [Double] = []
      var dirty = false
      for i in sides.indices {
        let (nanoseconds, wasDisturbed) = sides[i].sample()
        round.append(nanoseconds)
        dirty = dirty || wasDisturbed
      }
      if dirty { disturbed.append(round) } else { rounds.append(round) }
      if rounds.count >= nextCheck {
        nextCheck = rounds.count + max(4, rounds.count / 4)
        if converged(rounds, sides.count, options.relativeInterval) {
          stop = .converged
          break
        }
      }
      if nanosecondsNow() - start > cap, rounds.count + disturbed.count >= 3 {
        stop = .timeCap
        break
      }
    }
    // Long runs on a busy machine are always preempted at some point: with no clean sample left the
    // disturbed ones count, unless they disagree wildly, which would make the number worthless.
    if rounds.count < 3 {
      let all = rounds + disturbed
      for side in sides.indices {
        let values = all.map { $0[side] }.sorted()
        guard let low = values.first, let high = values.last, high < 2 * low else {
          throw MeasureError(
            .tooManyDropped,
            "\(disturbed.count) of \(all.count) samples were preempted and they differ by more than 2×; quieten the machine and run again"
          )
        }
      }
      rounds = all
    }
    let dropped = rounds.count == 0 ? 0 : disturbed.count
    let summaries = sides.indices.map { side in
      let sorted = rounds.map { $0[side] }.sorted()
      return SampleSummary(
        medianNanoseconds: OrderStatistics.median(sorted: sorted),
        intervalNanoseconds: OrderStatistics.medianInterval(sorted: sorted),
        minimumNanoseconds: sorted[0], count: sorted.count, dropped: dropped, stop: stop)
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
