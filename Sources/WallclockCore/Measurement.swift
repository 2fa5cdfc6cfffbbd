/// How far the ladder of hardware counters could be climbed.
public enum CounterState: String, Hashable, Sendable, Codable {
  case hardware, software, none
}

/// Counter values over one run of a Schedule, from a pass of their own.
public struct CounterReading: Hashable, Sendable, Codable {
  public var state: CounterState
  /// Why it is not `hardware`; empty when it is.
  public var reason: String
  /// Per run, scaled by enabled/running time. An event that could not be read is absent here and
  /// named in `unavailable`.
  public var values: [String: Double]
  public var unavailable: [String: String]

  public init(
    state: CounterState, reason: String, values: [String: Double] = [:],
    unavailable: [String: String] = [:]
  ) {
    self.state = state
    self.reason = reason
    self.values = values
    self.unavailable = unavailable
  }
}

/// Timed samples, summed up: order statistics only, since samples are not normally distributed.
public struct SampleSummary: Hashable, Sendable, Codable {
  /// Nanoseconds per run.
  public var medianNanoseconds: Double
  /// The 95 % confidence interval of the median, from order statistics.
  public var intervalNanoseconds: ClosedRange<Double>
  public var minimumNanoseconds: Double
  public var count: Int
  /// Samples dropped because the thread was preempted or the hypervisor took the CPU.
  public var dropped: Int
  /// Why sampling ended.
  public var stop: Stop

  public enum Stop: String, Hashable, Sendable, Codable {
    /// The interval is within 1 % of the median.
    case converged
    /// The cap on time or samples came first.
    case timeCap = "time-cap"
    case sampleCap = "sample-cap"
  }

  public init(
    medianNanoseconds: Double, intervalNanoseconds: ClosedRange<Double>, minimumNanoseconds: Double,
    count: Int, dropped: Int, stop: Stop
  ) {
    self.medianNanoseconds = medianNanoseconds
    self.intervalNanoseconds = intervalNanoseconds
    self.minimumNanoseconds = minimumNanoseconds
    self.count = count
    self.dropped = dropped
    self.stop = stop
  }
}

/// How a Schedule's output compared with the oracle before it was timed.
public struct CorrectnessCheck: Hashable, Sendable, Codable {
  /// Largest error as a fraction of what KERNELS' tolerance allows; ≤ 1 passes.
  public var worstErrorOverTolerance: Double
  public var elementsChecked: Int
  public init(worstErrorOverTolerance: Double, elementsChecked: Int) {
    self.worstErrorOverTolerance = worstErrorOverTolerance
    self.elementsChecked = elementsChecked
  }
  public var passed: Bool { worstErrorOverTolerance <= 1 }
}

/// How a Schedule does beside another one of the same Problem, sampled in turn in one run.
public struct ScheduleComparison: Hashable, Sendable, Codable {
  /// The other one.
  public var schedule: Schedule
  /// The other's time over this one's: above 1, this one is faster.
  public var ratio: Double
  public var interval: ClosedRange<Double>
  /// Whether they differ beyond the noise of the host.
  public var isSignificant: Bool

  public init(with schedule: Schedule, ratio: Double, interval: ClosedRange<Double>, isSignificant: Bool) {
    self.schedule = schedule
    self.ratio = ratio
    self.interval = interval
    self.isSignificant = isSignificant
  }
}

/// Samples of a Schedule on a Problem, with what they were taken in.
public struct Measurement: Hashable, Sendable, Codable {
  public var problem: Problem
  public var schedule: Schedule
  public var check: CorrectnessCheck
  public var samples: SampleSummary
  public var counters: CounterReading
  public var conditions: Conditions
  /// Ceilings measured interleaved with these samples, for the same thread count.
  public var ceilings: [Ceiling]
  /// Of a baseline: with the fastest Schedule of this program's own kernels.
  public var comparison: ScheduleComparison?

  public init(
    problem: Problem, schedule: Schedule, check: CorrectnessCheck, samples: SampleSummary,
    counters: CounterReading, conditions: Conditions, ceilings: [Ceiling], comparison: ScheduleComparison? = nil
  ) {
    self.problem = problem
    self.schedule = schedule
    self.check = check
    self.samples = samples
    self.counters = counters
    self.conditions = conditions
    self.ceilings = ceilings
    self.comparison = comparison
  }

  /// Operations per second.
  public var itemsPerSecond: Double { problem.operations / samples.medianNanoseconds * 1e9 }
  /// Bytes the algorithm needs per second; caches may make it more than DRAM gives.
  public var bytesPerSecond: Double { problem.bytes / samples.medianNanoseconds * 1e9 }
}
