import Foundation
import WallclockCore
import WallclockProfiles

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// What a Problem costs on a profiled machine: what was measured, or what lies between measurements.
///
/// - GEMM: along M, piecewise linear in whole register tiles and never falling; over (N, K), by
///   inverse-distance weighting of the rate in (log N, log K), inside the convex hull of measured weights.
/// - Attention: independent (sequence, head) pairs, so linear in batch·heads; over tokens, `b·T + c·T²`.
/// - Row-wise ops: piecewise linear in rows·channels.
///
/// Where only one of warm and cold was measured, the other is that one plus or minus the time in which
/// the weights stream from DRAM. Nothing is extrapolated.
public struct CostModel: Sendable {
  private struct GemmKey: Hashable {
    var format: Format
    var epilogue: Epilogue
    var state: OperandState
    var threads: Int
  }
  private struct Weight: Hashable {
    var n: Int
    var k: Int
  }
  private struct AttentionKey: Hashable {
    var format: Format
    var headDim: Int
    var kvHeads: Int
    /// Keys of a cache, where there is one.
    var context: Int?
    var mask: Mask
    var state: OperandState
    var threads: Int
  }
  private struct RowwiseKey: Hashable {
    var op: Op
    var format: Format
    var state: OperandState
    var threads: Int
  }
  private struct Exact: Hashable {
    var problem: Problem
    var threads: Int
  }

  private let speed: Rescaling
  private let exact: [Exact: PredictedCost]
  private let gemms: [GemmKey: [Weight: Curve]]
  private let attentions: [AttentionKey: [Measurement]]
  private let rowwise: [RowwiseKey: (byChannels: [Int: Curve], all: Curve)]
  private let dramBytesPerNanosecond: [Int: Double]

  public init(profile: Profile) {
    self.init(measurements: profile.measurements, ceilings: profile.ceilings, speed: Rescaling(profile))
  }

  /// - Parameter speed: brings measurements taken at different latencies between cores to one.
  init(measurements: [Measurement], ceilings: [Ceiling], speed: Rescaling) {
    var exact: [Exact: PredictedCost] = [:]
    var gemms: [GemmKey: [Weight: [Curve.Point]]] = [:]
    var attentions: [AttentionKey: [Measurement]] = [:]
    var rows: [RowwiseKey: [Int: [Curve.Point]]] = [:]
    for measurement in measurements {
      let (problem, threads) = (measurement.problem, measurement.schedule.threads)
      let cost = speed.cost(measurement)
      exact[Exact(problem: problem, threads: threads)] = cost
      switch problem.op {
      case .gemm:
        let weight = Weight(n: problem.shape[.n], k: problem.shape[.k])
        gemms[Self.gemmKey(problem, threads), default: [:]][weight, default: []]
          .append(Curve.Point(x: problem.shape[.m], cost: cost))
      // Known where it was measured, and nowhere else.
      case .moeGemm, .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2, .mamba1, .causalConv1d,
        .longConv, .rwkv4, .s4d: break
      case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling: break
      case .attention:
        attentions[Self.attentionKey(problem, threads), default: []].append(measurement)
      case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool:
        rows[Self.rowwiseKey(problem, threads), default: [:]][problem.shape[.channels], default: []]
          .append(Curve.Point(x: problem.shape[.rows] * problem.shape[.channels], cost: cost))
      }
    }
    self.speed = speed
    self.exact = exact
    self.gemms = gemms.mapValues { $0.mapValues { Curve(law: .linearInTiles, points: $0) } }
    self.attentions = attentions
    rowwise = rows.mapValues { byChannels in
      (
        byChannels.mapValues { Curve(law: .linearInTiles, points: $0) },
        Curve(law: .linearInTiles, points: byChannels.values.flatMap { $0 })
      )
    }
    // GB/s is bytes per nanosecond.
    dramBytesPerNanosecond = Dictionary(
      ceilings.filter { $0.name == "read.dram" }.map { ($0.threads, $0.value) }, uniquingKeysWith: max)
  }

  private static func gemmKey(_ p: Problem, _ threads: Int) -> GemmKey {
    GemmKey(format: p.format, epilogue: p.epilogue, state: p.state, threads: threads)
  }
  private static func attentionKey(_ p: Problem, _ threads: Int) -> AttentionKey {
    AttentionKey(
      format: p.format, headDim: p.shape[.headDim], kvHeads: p.shape[.kvHeads], context: p.shape.sizes[.context], mask: p.mask, state: p.state,
      threads: threads)
  }
  private static func rowwiseKey(_ p: Problem, _ threads: Int) -> RowwiseKey {
    RowwiseKey(op: p.op, format: p.format, state: p.state, threads: threads)
  }

  /// What `problem` costs at `threads`.
  ///
  /// - Throws: `PlannerError.notMeasured` outside the measured hull, naming what is known and the
  ///   `tune` command that fills the gap.
  public func cost(of problem: Problem, threads: Int) throws(PlannerError) -> PredictedCost {
    if let known = exact[Exact(problem: problem, threads: threads)] { return known }
    switch problem.op {
    case .gemm: return try gemm(problem, threads)
    case .moeGemm: throw .notMeasured(problem, threads: threads, "mixtures of experts are not predicted")
    case .attention: return try attention(problem, threads)
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      throw .notMeasured(problem, threads: threads, "recurrences are not predicted")
    case .mamba1, .causalConv1d, .longConv, .rwkv4, .s4d: throw .notMeasured(problem, threads: threads, "scans and convolutions are not predicted")
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling:
      throw .notMeasured(problem, threads: threads, "row-wise ops of a decoder are not predicted")
    case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool: return try rowwise(problem, threads)
    }
  }

  // MARK: - GEMM

  private func gemm(_ problem: Problem, _ threads: Int) throws(PlannerError) -> PredictedCost {
    // Hot times say nothing of the other two states: there no operand has to come from anywhere.
    var other: Problem? = problem
    other?.state = problem.state == .warm ? .cold : .warm
    if problem.state == .hot { other = nil }
    for known in [sameWeight, nearbyWeights] {
      if let cost = known(problem, threads) { return cost }
      if let other, let cost = known(other, threads), let shifted = shifted(cost, of: problem, threads) {
        return shifted
      }
    }
    throw .notMeasured(problem, threads: threads, gemmGap(problem, threads))
  }

  /// Curves of this format, state and thread count: the same epilogue first, then the most alike.
  private func curves(_ problem: Problem, _ threads: Int) -> [(key: GemmKey, weights: [Weight: Curve])] {
    func unlike(_ key: GemmKey) -> Int { (key.epilogue.rawValue ^ problem.epilogue.rawValue).nonzeroBitCount }
    return gemms.filter {
      $0.key.format == problem.format && $0.key.state == problem.state && $0.key.threads == threads
    }
    .sorted { (unlike($0.key), $0.key.epilogue.rawValue) < (unlike($1.key), $1.key.epilogue.rawValue) }
    .map { ($0.key, $0.value) }
  }

  /// What another epilogue is taken to change at most.
  private static let epilogueError = 0.10

  private func sameWeight(_ problem: Problem, _ threads: Int) -> PredictedCost? {
    let weight = Weight(n: problem.shape[.n], k: problem.shape[.k])
    for (key, weights) in curves(problem, threads) {
      guard let cost = weights[weight]?.cost(at: problem.shape[.m]) else { continue }
      return key.epilogue == problem.epilogue ? cost : cost.predicted(error: Self.epilogueError)
    }
    return nil
  }

  private func nearbyWeights(_ problem: Problem, _ threads: Int) -> PredictedCost? {
    let m = problem.shape[.m]
    guard m > 0, problem.shape[.n] > 0, problem.shape[.k] > 0 else { return nil }
    struct Known {
      var at: ConvexHull.Point
      var rate: Double
      var cost: PredictedCost
    }
    func place(_ w: Weight) -> ConvexHull.Point { .init(x: log(Double(w.n)), y: log(Double(w.k))) }
    func operations(_ w: Weight) -> Double { 2 * Double(m) * Double(w.n) * Double(w.k) }
    var known: [Weight: Known] = [:]
    for (key, weights) in curves(problem, threads) {
      for (weight, curve) in weights where known[weight] == nil && weight.n > 0 && weight.k > 0 {
        guard var cost = curve.cost(at: m) else { continue }
        if key.epilogue != problem.epilogue { cost = cost.predicted(error: Self.epilogueError) }
        known[weight] = Known(at: place(weight), rate: operations(weight) / cost.nanoseconds, cost: cost)
      }
    }
    let target = Weight(n: problem.shape[.n], k: problem.shape[.k])
    let points = known.sorted { ($0.key.n, $0.key.k) < ($1.key.n, $1.key.k) }.map(\.value)
    guard ConvexHull.contains(points.map(\.at), place(target)) else { return nil }

    func squaredDistance(_ a: ConvexHull.Point, _ b: ConvexHull.Point) -> Double {
      (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)
    }
    /// Shepard's method, power 2.
    func rate(at place: ConvexHull.Point, from points: [Known]) -> Double {
      var (sum, weights) = (0.0, 0.0)
      for point in points {
        let weight = 1 / max(squaredDistance(point.at, place), 1e-12)
        sum += weight * point.rate
        weights += weight
      }
      return sum / weights
    }
    var error = 0.25
    if points.count > 2 {
      error = 0.05
      for i in points.indices {
        var others = points
        let left = others.remove(at: i)
        error = max(error, abs(left.rate / rate(at: left.at, from: others) - 1))
      }
    }
    // The least certain of the curves it stands on adds its own error.
    let own = points.map { $0.cost.interval.upperBound / $0.cost.nanoseconds - 1 }.max() ?? 0
    let nanoseconds = operations(target) / rate(at: place(target), from: points)
    let nearest = points.min { squaredDistance($0.at, place(target)) < squaredDistance($1.at, place(target)) }
    guard let nearest else { return nil }
    return PredictedCost(
      nanoseconds: nanoseconds, interval: nanoseconds...nanoseconds, evidence: .predicted,
      schedule: nearest.cost.schedule
    ).predicted(error: error + own)
  }

  /// The cost in `problem.state`, from the cost in the other state.
  ///
  /// Streaming overlaps arithmetic between not at all and wholly: with s the time the weights take from
  /// DRAM, cold lies in `[max(warm, s), warm + s]` and warm in `[cold − s, cold]`; the middle is the estimate.
  private func shifted(_ cost: PredictedCost, of problem: Problem, _ threads: Int) -> PredictedCost? {
    guard let bandwidth = dramBytesPerNanosecond[threads] else { return nil }
    let stream = Double(problem.format.weightBytes(n: problem.shape[.n], k: problem.shape[.k])) / bandwidth
    let (low, high) =
      problem.state == .cold
      ? (max(cost.nanoseconds, stream), cost.nanoseconds + stream)
      // At least the tenth part: the work is never free.
      : (max(cost.nanoseconds - stream, cost.nanoseconds / 10), cost.nanoseconds)
    let spread = max(
      cost.interval.upperBound / cost.nanoseconds - 1, 1 - cost.interval.lowerBound / cost.nanoseconds)
    return PredictedCost(
      nanoseconds: (low + high) / 2, interval: low...high, evidence: .predicted, schedule: cost.schedule
    ).predicted(error: spread)
  }

  private func gemmGap(_ problem: Problem, _ threads: Int) -> String {
    let known = gemms.filter { $0.key.format == problem.format && $0.key.threads == threads }
    guard !known.isEmpty else {
      let counts = Set(gemms.keys.filter { $0.format == problem.format }.map(\.threads)).sorted()
      return counts.isEmpty
        ? "it has no gemm in \(problem.format)"
        : "it has \(problem.format) at \(counts.map(String.init).joined(separator: ", ")) threads only"
    }
    let weight = Weight(n: problem.shape[.n], k: problem.shape[.k])
    let hulls = known.values.compactMap { $0[weight]?.hull }
    if let low = hulls.map(\.lowerBound).min(), let high = hulls.map(\.upperBound).max() {
      return "this weight was measured for m from \(low) to \(high)"
    }
    let weights = Set(known.values.flatMap(\.keys))
    let list = weights.sorted { ($0.n, $0.k) < ($1.n, $1.k) }.prefix(8).map { "\($0.n)×\($0.k)" }
    return "n=\(weight.n), k=\(weight.k) is not within the measured weights \(list.joined(separator: ", "))"
      + (weights.count > 8 ? ", …" : "") + " for this m"
  }

  // MARK: - Attention

  private func attention(_ problem: Problem, _ threads: Int) throws(PlannerError) -> PredictedCost {
    let known = attentions[Self.attentionKey(problem, threads)] ?? []
    func pairs(_ p: Problem) -> Double { Double(p.shape[.batch]) * Double(p.shape[.heads]) }
    let wanted = pairs(problem)
    guard wanted > 0 else {
      throw .notMeasured(problem, threads: threads, "there is no work in it")
    }
    // For each length, the run whose number of (sequence, head) pairs is nearest, scaled to ours.
    let byTokens = Dictionary(grouping: known.filter { pairs($0.problem) > 0 }) { $0.problem.shape[.tokens] }
    let points = byTokens.compactMap { tokens, runs -> Curve.Point? in
      guard
        let run = runs.min(by: { abs(log(pairs($0.problem) / wanted)) < abs(log(pairs($1.problem) / wanted)) }
        )
      else { return nil }
      let scale = wanted / pairs(run.problem)
      var cost = speed.cost(run).scaled(scale)
      if run.problem != problem { cost = cost.predicted(error: scale == 1 ? 0.02 : Curve.assumedError) }
      return Curve.Point(x: tokens, cost: cost)
    }
    let curve = Curve(law: .quadratic, points: points)
    if let cost = curve.cost(at: problem.shape[.tokens]) { return cost }
    throw .notMeasured(
      problem, threads: threads,
      curve.hull.map {
        "head dimension \(problem.shape[.headDim]) was measured for "
          + "\($0.lowerBound) to \($0.upperBound) tokens"
      }
        ?? "it has no attention with head dimension \(problem.shape[.headDim]) at this thread count")
  }

  // MARK: - Row-wise ops

  private func rowwise(_ problem: Problem, _ threads: Int) throws(PlannerError) -> PredictedCost {
    let curves = rowwise[Self.rowwiseKey(problem, threads)]
    let elements = problem.shape[.rows] * problem.shape[.channels]
    if let cost = curves?.byChannels[problem.shape[.channels]]?.cost(at: elements) { return cost }
    if let cost = curves?.all.cost(at: elements) { return cost.predicted(error: Curve.assumedError) }
    throw .notMeasured(
      problem, threads: threads,
      (curves?.all.hull).map {
        "\(problem.op.rawValue) was measured for \($0.lowerBound) to \($0.upperBound) elements"
      }
        ?? "it has no \(problem.op.rawValue) at this thread count")
  }
}

extension CostModel {
  /// How well the model predicts measurements it is not given: each is left out once, and counted when
  /// the rest still surrounds it. Nil when none is surrounded.
  ///
  /// - Complexity: quadratic in the number of measurements.
  public static func leaveOneOutError(_ profile: Profile) -> ModelError? {
    var errors: [Double] = []
    let speed = Rescaling(profile)
    for (i, left) in profile.measurements.enumerated() {
      var rest = profile.measurements
      rest.remove(at: i)
      let model = CostModel(
        measurements: rest.filter {
          $0.problem.op == left.problem.op && $0.schedule.threads == left.schedule.threads
        }, ceilings: profile.ceilings, speed: speed)
      guard let guess = try? model.cost(of: left.problem, threads: left.schedule.threads) else { continue }
      let measured = speed.cost(left).nanoseconds
      errors.append(abs(guess.nanoseconds - measured) / measured)
    }
    guard !errors.isEmpty else { return nil }
    errors.sort()
    func rank(_ share: Double) -> Double { errors[min(errors.count - 1, Int(share * Double(errors.count)))] }
    return ModelError(
      median: rank(0.5), percentile95: rank(0.95), worst: errors[errors.count - 1], count: errors.count)
  }
}

extension CostModel {
  /// Every m at which a GEMM in `format` was measured at `threads`, ascending.
  func measuredRows(format: Format, threads: Int) -> [Int] {
    let curves = gemms.filter { $0.key.format == format && $0.key.threads == threads }.values.flatMap(
      \.values)
    return Set(curves.flatMap { $0.points.map(\.x) }).sorted()
  }
}
