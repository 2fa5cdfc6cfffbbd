public import WallclockCore

/// How far this machine's ladder of counters can be climbed, and why no further.
public enum Counters {
  /// Tried once, on first use: hardware events, then software events, then time only.
  public static func probe() -> (state: CounterState, reason: String) { onHost }

  private static let onHost = probe(PerfEvents())

  package static func probe(_ provider: some CounterProvider) -> (state: CounterState, reason: String) {
    let pmu = provider.corePMU
    let hardware = why(["cycles", "instructions"], provider, pmu: pmu)
    if hardware == nil { return (.hardware, "") }
    let software = why(["task-clock"], provider, pmu: pmu)
    let first = "no hardware counters: \(hardware!)"
    if software == nil { return (.software, first) }
    return (.none, "\(first); no software counters: \(software!)")
  }

  /// Counts a short loop that cannot leave these events at zero: the reason it did, or nil.
  private static func why(_ events: [String], _ provider: some CounterProvider, pmu: String?) -> String? {
    let native = events.compactMap { CounterEvents.native($0, pmu: pmu)?.first?.name }
    guard native.count == events.count else { return "this PMU has no cycles and instructions" }
    var state: UInt64 = 1
    let counts: [RawCount]
    do {
      counts = try provider.count(native, threads: [0]) {
        for _ in 0..<200_000 { state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407 }
      }
    } catch {
      return "\(error)"
    }
    precondition(state != 0)  // keeps the loop
    for (event, count) in zip(events, counts) {
      switch count {
      case .unavailable(let reason): return reason
      case .counted(_, let running) where running < CounterSession.leastRunning:
        return "\(event) was on the hardware for \(Int(running * 100)) % of the time; others hold the counters"
      case .counted(0, _): return "\(event) stays zero; the hypervisor does not pass counters on"
      case .counted: continue
      }
    }
    return nil
  }
}
