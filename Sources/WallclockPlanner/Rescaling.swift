import WallclockCore
public import WallclockProfiles

/// A time measured at one speed of the host, at another.
///
/// Two parts move by different ceilings: arithmetic with the peak it was measured beside, and what
/// threads exchange with the latency between cores. Where a hypervisor moves its CPUs about, the second
/// part grows fivefold from one minute to the next while the first stays.
public struct Rescaling: Sendable {
  /// Ceilings by name, of one thread count.
  public typealias Ceilings = [String: Double]

  /// Nanoseconds between cores, as seen beside a profile's measurements.
  private struct Latency {
    var usual: Double
    /// The middle nine tenths.
    var range: ClosedRange<Double>
  }
  private let handoffs: [Int: Latency]

  /// The latency between cores that costs from `profile` are told at, by thread count: the median over
  /// its measurements; their intervals reach from the shortest to the longest.
  public init(_ profile: Profile) {
    var seen: [Int: [Double]] = [:]
    for measurement in profile.measurements {
      for ceiling in measurement.ceilings where ceiling.name == Self.handoff {
        seen[ceiling.threads, default: []].append(ceiling.value)
      }
    }
    handoffs = seen.mapValues { values in
      let sorted = values.sorted()
      let cut = sorted.count / 20
      return Latency(usual: sorted[sorted.count / 2], range: sorted[cut]...sorted[sorted.count - 1 - cut])
    }
  }

  private static let handoff = "handoff"

  /// A measurement's cost as it would be at the profile's usual latency between cores, in the interval of
  /// those it has seen.
  func cost(_ measurement: Measurement) -> PredictedCost {
    let cost = PredictedCost(measurement)
    guard let beside = measurement.ceilings.first(where: { $0.name == Self.handoff })?.value,
      let latency = handoffs[measurement.schedule.threads]
    else { return cost }
    func time(_ nanoseconds: Double, at handoff: Double) -> Double {
      Self.nanoseconds(
        nanoseconds, of: measurement.problem, measurement.schedule, peak: nil, then: [Self.handoff: beside],
        now: [Self.handoff: handoff])
    }
    let usual = time(cost.nanoseconds, at: latency.usual)
    let lower = time(cost.interval.lowerBound, at: latency.range.lowerBound)
    let upper = time(cost.interval.upperBound, at: latency.range.upperBound)
    return PredictedCost(
      nanoseconds: usual, interval: min(lower, usual)...max(upper, usual), evidence: cost.evidence,
      schedule: cost.schedule)
  }

  /// Milliseconds that the cost model predicts for `setting`, at the ceilings `now`.
  ///
  /// - Parameter peak: the ceiling its arithmetic goes with.
  public func milliseconds(_ setting: Plan.Setting, peak: String?, profile: Profile, now: Ceilings) -> Double {
    let threads = setting.schedule.threads
    var then: Ceilings = [:]
    for ceiling in profile.ceilings where ceiling.threads == threads { then[ceiling.name] = ceiling.value }
    for ceiling in profile.measurement(of: setting.problem, threads: threads)?.ceilings ?? [] {
      then[ceiling.name] = ceiling.value
    }
    then[Self.handoff] = handoffs[threads]?.usual
    let count = Double(max(1, setting.count))
    return count / 1e6
      * Self.nanoseconds(
        setting.predicted.milliseconds * 1e6 / count, of: setting.problem, setting.schedule, peak: peak,
        then: then, now: now)
  }

  /// `nanoseconds` of one run of `problem`, measured beside `then`, at the ceilings `now`. A ceiling that
  /// either side lacks is taken to be as it was.
  static func nanoseconds(
    _ nanoseconds: Double, of problem: Problem, _ schedule: Schedule, peak: String?, then: Ceilings, now: Ceilings
  ) -> Double {
    var speed = 1.0
    if let peak, let a = then[peak], let b = now[peak], a > 0, b > 0 { speed = a / b }
    guard let before = then[handoff], let after = now[handoff], before > 0 else { return nanoseconds * speed }
    // A model of the exchange, however wrong, leaves the work itself some of the time.
    let part = min(handoffs(in: problem, schedule) * before, nanoseconds * 0.75)
    return (nanoseconds - part) * speed + part * after / before
  }

  /// Lines that go from core to core, one after the other, to begin and end a parallel region: the gate
  /// is written, seen, entered and left, the last to leave is seen, and a look at the neighbour's share
  /// finds nothing left.
  private static let perRegion = 6.0

  /// Lines on their way at a time when a core reads what others wrote: activations that a GEMM's threads
  /// all read whole, and stall on; attention's operands; and rows that are walked once, ahead of their use.
  /// Fitted to the nodes of a six-layer encoder in four formats on a 2-core Zen 5 guest, at handoffs of 58
  /// and 270 ns (`wallclock verify --by-op`, 2026-11-24).
  private static let linesInFlight = (wholeActivations: 14.0, attention: 18.0, rows: 50.0)

  /// How often in one run a thread waits for a line of another, one after the other.
  static func handoffs(in problem: Problem, _ schedule: Schedule) -> Double {
    guard schedule.threads > 1 else { return 0 }
    let threads = Double(schedule.threads)
    let others = 1 - 1 / threads
    let s = problem.shape
    /// Lines that others wrote, of a matrix that the threads read between them.
    func lines(_ rows: Int, _ columns: Int, bytes: Int = 4) -> Double {
      others * Double(rows) * Double(columns) * Double(bytes) / 64
    }
    switch problem.op {
    case .gemm:
      let narrow = problem.format.activations == .int8 ? 1 : problem.format.weights == .bf16 ? 2 : nil
      let whole = lines(s[.m], s[.k], bytes: narrow ?? 4)
      // Narrowing activations is a region of its own, over the rows as they were.
      let input = narrow == nil ? 0 : lines(s[.m], s[.k])
      let output = lines(s[.m], s[.n]) * (problem.epilogue.contains(.residual) ? 2 : 1)
      return perRegion * (narrow == nil ? 1 : 2) + whole / linesInFlight.wholeActivations
        + (input + output) / threads / linesInFlight.rows
    case .moeGemm:
      // Narrowing, gates and ups, narrowing, the way back, sums.
      let rows = s[.tokens] * s[.topK]
      return perRegion * 5 + (lines(s[.tokens], s[.channels]) + lines(rows, s[.hidden])) / linesInFlight.wholeActivations
        + lines(rows, s[.channels]) / threads / linesInFlight.rows
    case .attention:
      let operands = 4 * lines(s[.batch] * s[.tokens], s[.heads] * s[.headDim])
      return perRegion + operands / threads / linesInFlight.attention
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      let operands = 2 * lines(s[.batch] * s[.tokens], s[.kvHeads] * s[.state] + s[.heads] * s[.headDim])
      return perRegion + operands / threads / linesInFlight.attention
    case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool:
      return perRegion + lines(s[.rows], s[.channels]) / threads / linesInFlight.rows
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling:
      return perRegion + lines(problem.decoderRows, problem.decoderColumns) / threads / linesInFlight.rows
    case .mamba1, .causalConv1d, .longConv, .rwkv4, .s4d:
      let sequences = problem.op == .mamba1 ? 3 : problem.op == .rwkv4 ? 2 : 1
      return perRegion + Double(sequences) * lines(s[.batch] * s[.tokens], s[.channels]) / threads / linesInFlight.rows
    }
  }
}
