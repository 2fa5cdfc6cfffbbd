/// Events that are counted together, so that their ratios hold, and what they say.
///
/// At most four events and `cycles`: more would be multiplexed on common cores. `cycles` is in
/// every hardware group, so that figures of different groups can be put on one footing.
public struct CounterGroup: Hashable, Sendable {
  public var name: String
  /// Named as in `CounterEvents`; the same names are the keys of `CounterReading.values`.
  public var events: [String]
  public var metrics: [CounterMetric]
  /// What the group can and cannot see.
  public var explanation: String
  /// Software events are the kernel's own counts and need no hardware.
  public var isSoftware: Bool

  public init(
    name: String, events: [String], metrics: [CounterMetric] = [], explanation: String,
    isSoftware: Bool = false
  ) {
    self.name = name
    self.events = events
    self.metrics = metrics
    self.explanation = explanation
    self.isSoftware = isSoftware
  }
}

/// A figure made of two events: `scale · numerator / denominator`.
public struct CounterMetric: Hashable, Sendable {
  public var name: String
  public var unit: String
  public var numerator: String
  public var denominator: String
  public var scale: Double

  public init(
    name: String, unit: String, numerator: String, denominator: String, scale: Double = 1
  ) {
    self.name = name
    self.unit = unit
    self.numerator = numerator
    self.denominator = denominator
    self.scale = scale
  }

  /// nil when an event is missing or the denominator is zero.
  public func value(in values: [String: Double]) -> Double? {
    guard let a = values[numerator], let b = values[denominator], b > 0 else { return nil }
    return scale * a / b
  }
}

extension CounterGroup {
  /// What is measured unless told otherwise. Each hardware group is a pass of its own.
  public static let standard: [CounterGroup] = [software, caches, memory, vector, stalls]

  public static let software = CounterGroup(
    name: "software",
    events: [
      "task-clock", "context-switches", "cpu-migrations", "page-faults", "minor-faults", "major-faults",
    ],
    metrics: [
      CounterMetric(
        name: "switches per second", unit: "1/s", numerator: "context-switches", denominator: "task-clock",
        scale: 1e9)
    ],
    explanation: """
      The kernel's own counts. task-clock is nanoseconds on a CPU, summed over threads; it includes \
      workers that spin. Switches and migrations disturb a measurement; faults after warm-up mean \
      memory that was not touched before.
      """, isSoftware: true)

  public static let caches = CounterGroup(
    name: "caches", events: ["cycles", "instructions", "l1-misses", "l2-misses"],
    metrics: [
      CounterMetric(
        name: "instructions per cycle", unit: "1", numerator: "instructions", denominator: "cycles"),
      CounterMetric(
        name: "L1 misses per kilo-instruction", unit: "1", numerator: "l1-misses",
        denominator: "instructions", scale: 1000),
      CounterMetric(
        name: "L2 misses per kilo-instruction", unit: "1", numerator: "l2-misses",
        denominator: "instructions", scale: 1000),
    ],
    explanation: """
      Whether blocks fit their cache. On Intel only loads that missed L1 are seen, on AMD all fills \
      of L1; prefetched lines hide misses on both. Workers that spin add instructions.
      """)

  public static let memory = CounterGroup(
    name: "memory", events: ["cycles", "dram-fills", "dtlb-walks", "branch-misses"],
    metrics: [
      CounterMetric(
        name: "bytes from memory per cycle", unit: "B", numerator: "dram-fills", denominator: "cycles",
        scale: 64),
      CounterMetric(
        name: "TLB walks per kilo-cycle", unit: "1", numerator: "dtlb-walks", denominator: "cycles",
        scale: 1000),
    ],
    explanation: """
      Lines that came from beyond the last-level cache for this core, and page walks. It sees \
      neither writes to memory nor, on Intel, what the L2 prefetcher brought in time.
      """)

  public static let vector = CounterGroup(
    name: "vector", events: ["cycles", "flops-f32", "int8-operations"],
    metrics: [
      CounterMetric(
        name: "f32 operations per cycle", unit: "1", numerator: "flops-f32", denominator: "cycles"),
      CounterMetric(
        name: "int8 instructions per cycle", unit: "1", numerator: "int8-operations", denominator: "cycles"),
    ],
    explanation: """
      Arithmetic that retired. An FMA is two operations. No core counts 512-bit integer dot \
      products as such, so int8 is a lower bound there; on Arm, operations are speculative.
      """)

  public static let stalls = CounterGroup(
    name: "stalls", events: ["cycles", "frontend-stalls", "backend-stalls"],
    metrics: [
      CounterMetric(
        name: "front-end stalls per cycle", unit: "1", numerator: "frontend-stalls", denominator: "cycles"),
      CounterMetric(
        name: "back-end stalls per cycle", unit: "1", numerator: "backend-stalls", denominator: "cycles"),
    ],
    explanation: """
      Cycles or slots lost, by who lost them. Units differ between makers: compare one machine with \
      itself only.
      """)
}
