public import WallclockCore

/// Counts groups of events over given threads, group by group.
///
/// A pass of its own beside the timing: each group runs the body again, rather than share the
/// hardware's few counters within one run.
public struct CounterSession: Sendable {
  /// Counts of a group that was on the hardware for less of the time than this are thrown away.
  static let leastRunning = 0.25

  public let groups: [CounterGroup]
  public let threads: [Int32]
  private let provider: any CounterProvider
  private let state: CounterState
  private let reason: String

  /// - Parameters:
  ///   - groups: what to count.
  ///   - threads: kernel ids of every thread that takes part (`ThreadPool.threadIDs`); empty stands
  ///     for the calling thread.
  public init(groups: [CounterGroup] = CounterGroup.standard, threads: [Int32] = []) {
    let (state, reason) = Counters.probe()
    self.init(groups: groups, threads: threads, provider: PerfEvents(), state: state, reason: reason)
  }

  /// As above, with a provider in the place of the kernel.
  package init(groups: [CounterGroup], threads: [Int32], provider: some CounterProvider) {
    let (state, reason) = Counters.probe(provider)
    self.init(groups: groups, threads: threads, provider: provider, state: state, reason: reason)
  }

  private init(
    groups: [CounterGroup], threads: [Int32], provider: any CounterProvider, state: CounterState,
    reason: String
  ) {
    self.groups = groups
    self.threads = threads.isEmpty ? [0] : threads
    self.provider = provider
    self.state = state
    self.reason = reason
  }

  /// Runs `body` `runs` times for each group that can be counted here and returns counts per run.
  ///
  /// An event that cannot be counted is named in `unavailable` with the reason; it is never zero.
  /// `body` is not run for groups this machine's state rules out.
  ///
  /// - Throws: what `body` throws.
  public func measure(runs: Int = 1, _ body: () throws -> Void) throws -> CounterReading {
    precondition(runs >= 1, "CounterSession: \(runs) runs asked for, at least 1 is needed")
    var reading = CounterReading(state: state, reason: reason)
    let pmu = provider.corePMU
    for group in groups {
      let isPossible = state == .hardware || (state == .software && group.isSoftware)
      guard isPossible else {
        let missing = "no \(group.isSoftware ? "" : "hardware ")counters, see the reading's reason"
        for event in group.events where reading.values[event] == nil { reading.unavailable[event] = missing }
        continue
      }
      let native = group.events.map { CounterEvents.native($0, pmu: pmu) ?? [] }
      let counts = try provider.count(native.flatMap { $0.map(\.name) }, threads: threads) {
        for _ in 0..<runs { try body() }
      }
      var next = 0
      for (event, parts) in zip(group.events, native) {
        let share = counts[next..<(next + parts.count)]
        next += parts.count
        // Counted already, in a group before this one.
        if reading.values[event] != nil { continue }
        switch Self.sum(event, parts, share, isSoftware: group.isSoftware) {
        case .success(let total):
          reading.values[event] = total / Double(runs)
          reading.unavailable[event] = nil
        case .failure(let complaint):
          reading.unavailable[event] = complaint.text
        }
      }
    }
    return reading
  }

  private struct Complaint: Error { var text: String }

  /// The weighted sum of an event's native parts, or why there is none.
  private static func sum(
    _ event: String, _ parts: [NativeEvent], _ counts: ArraySlice<RawCount>, isSoftware: Bool
  ) -> Result<Double, Complaint> {
    guard !parts.isEmpty else {
      return .failure(Complaint(text: "this machine's PMU has no event for \(event)"))
    }
    var total = 0.0
    for (part, count) in zip(parts, counts) {
      switch count {
      case .unavailable(let reason):
        return .failure(Complaint(text: reason))
      case .counted(let value, let running):
        guard running >= leastRunning else {
          return .failure(
            Complaint(text: "counted for \(Int(running * 100)) % of the time only, too little to scale up"))
        }
        total += part.weight * value
      }
    }
    // A counter that a hypervisor does not pass on reads zero, and so does one whose event did not
    // happen: the two cannot be told apart.
    if total == 0 && !isSoftware {
      return .failure(Complaint(text: "read exactly zero, as a counter does that is not passed on"))
    }
    return .success(total)
  }
}

extension CounterGroup {
  /// The group's figures that a reading allows, in order.
  public func figures(of reading: CounterReading) -> [(metric: CounterMetric, value: Double)] {
    metrics.compactMap { metric in metric.value(in: reading.values).map { (metric, $0) } }
  }
}
