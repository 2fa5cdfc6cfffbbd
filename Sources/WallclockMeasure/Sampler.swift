import WallclockCore
import WallclockKernels
import WallclockMachine

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

  package static var system: SampleClock {
    let lost = LostTime()
    return SampleClock(nanoseconds: nanosecondsNow) { lost.total() }
  }
}

/// Lost time as Linux accounts for it. An involuntary context switch alone says little: a kernel
/// thread may have needed the CPU for microseconds. So switches only prompt a look at how long the
/// threads waited.
private final class LostTime {
  private var switches = -1
  private var waited: UInt64 = 0
  private var stolen: UInt64 = 0
  private var nextStealCheck: UInt64 = 0

  func total() -> UInt64 {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    if usage.ru_nivcsw != switches {
      // Without scheduler statistics every switch counts as a long wait.
      waited = Self.runQueueWait() ?? waited + 1_000_000_000
      switches = usage.ru_nivcsw
    }
    // Steal is counted in ticks of 10 ms.
    let now = nanosecondsNow()
    if now >= nextStealCheck {
      nextStealCheck = now + 10_000_000
      stolen = (CPUTimes.current()?.stolen ?? 0) * 10_000_000
    }
    return waited + stolen
  }

  /// Nanoseconds that the process's threads have waited in run queues: the second field of each
  /// thread's schedstat (proc(5)); nil where the kernel keeps none.
  private static func runQueueWait() -> UInt64? {
    guard let directory = unsafe opendir("/proc/self/task") else { return nil }
    defer { unsafe closedir(directory) }
    var total: UInt64 = 0
    var found = false
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: entry.pointee.d_name) {
        unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
      }
      guard let thread = Int(name), let file = unsafe fopen("/proc/self/task/\(thread)/schedstat", "r") else { continue }
      defer { unsafe fclose(file) }
      var line = [CChar](repeating: 0, count: 128)
      guard unsafe fgets(&line, Int32(line.count), file) != nil else { continue }
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let fields = text.split(separator: " ")
      guard fields.count > 1, let wait = UInt64(fields[1]) else { continue }
      total += wait
      found = true
    }
    return found ? total : nil
  }
}

/// One timed side: `run(i)` runs it once, for the i-th time.
package struct TimedSide {
  /// Untimed, before each run: brings the operands into the state that is measured.
  private let prepare: ((Int) -> Void)?
  package let run: (Int) -> Void
  fileprivate var iteration = 0
  fileprivate var repetitions = 1

  package init(preparedBy prepare: ((Int) -> Void)? = nil, _ run: @escaping (Int) -> Void) {
    self.prepare = prepare
    self.run = run
  }

  /// Runs of a prepared Problem over its operand copies in turn, in its operand state.
  package init(_ prepared: any PreparedProblem, on executor: any Executor) {
    self.init(
      preparedBy: prepared.problem.state == .hot
        ? nil : { prepared.rewriteActivations(copy: $0 % prepared.copies, on: executor) },
      { prepared.run(copy: $0 % prepared.copies, on: executor) })
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

  /// Warms up and sets how many runs make one sample.
  fileprivate mutating func calibrate(minimum: Duration, _ clock: SampleClock) {
    var elapsed: Double = 0
    _ = time(1, clock.nanoseconds)
    let target = Double(minimum / .nanoseconds(1))
    repeat {
      elapsed = time(repetitions, clock.nanoseconds)
      if elapsed >= target { break }
      let wanted = Double(repetitions) * target / max(elapsed, 100) * 1.2
      repetitions = max(repetitions + 1, min(Int(wanted), repetitions * 64))
    } while true
  }

  private mutating func next() -> Int {
    defer { iteration += 1 }
    return iteration
  }

  /// A sample that lost more than this part of its time was disturbed.
  private static var tolerableLoss: Double { 0.005 }

  /// One sample: nanoseconds per run, and whether something disturbed it.
  fileprivate mutating func sample(_ clock: SampleClock) -> (nanoseconds: Double, disturbed: Bool) {
    let before = clock.lostNanoseconds()
    let elapsed = time(repetitions, clock.nanoseconds)
    let after = clock.lostNanoseconds()
    // A thread that ended takes its wait with it.
    let lost = after > before ? after - before : 0
    return (elapsed / Double(repetitions), Double(lost) > Self.tolerableLoss * elapsed)
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
    _ sides: inout [TimedSide], options: SamplingOptions, clock: SampleClock = .system,
    isCancelled: () -> Bool = { false }
  ) throws(MeasureError) -> (summaries: [SampleSummary], rounds: [[Double]]) {
    for i in sides.indices { sides[i].calibrate(minimum: options.minimumSampleDuration, clock) }
    var rounds: [[Double]] = []
    var disturbed: [[Double]] = []
    let start = clock.nanoseconds()
    let cap = UInt64(max(0, options.timeCap / .nanoseconds(1)))
    var stop = SampleSummary.Stop.sampleCap
    var nextCheck = options.minimumSamples
    while rounds.count < options.maximumSamples {
      if isCancelled() { throw MeasureError(.interrupted, "interrupted while sampling") }
      var round: [Double] = []
      var dirty = false
      for i in sides.indices {
        let (nanoseconds, wasDisturbed) = sides[i].sample(clock)
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
      if clock.nanoseconds() - start > cap, rounds.count + disturbed.count >= 3 {
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
      disturbed = []
    }
    let dropped = disturbed.count
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
