import WallclockCore

/// What a time is known by.
public enum CostEvidence: String, Hashable, Sendable, Codable {
  /// This Problem was measured on this machine.
  case measured
  /// Interpolated between Problems that were.
  case predicted
}

/// What running a Problem once costs, with the Schedule that costs it.
public struct PredictedCost: Hashable, Sendable {
  public var nanoseconds: Double
  /// Measured: the 95 % interval of the median. Predicted: the estimate ± the error of leaving known
  /// points out, cut to what the neighbours bound.
  public var interval: ClosedRange<Double>
  public var evidence: CostEvidence
  public var schedule: Schedule

  public init(
    nanoseconds: Double, interval: ClosedRange<Double>, evidence: CostEvidence, schedule: Schedule
  ) {
    self.nanoseconds = nanoseconds
    self.interval = interval
    self.evidence = evidence
    self.schedule = schedule
  }

  init(_ measurement: Measurement) {
    self.init(
      nanoseconds: measurement.samples.medianNanoseconds, interval: measurement.samples.intervalNanoseconds,
      evidence: .measured, schedule: measurement.schedule)
  }

  /// The same cost `factor` times over.
  func scaled(_ factor: Double) -> PredictedCost {
    PredictedCost(
      nanoseconds: nanoseconds * factor,
      interval: interval.lowerBound * factor...interval.upperBound * factor,
      evidence: evidence, schedule: schedule)
  }

  /// The same cost as a prediction, `error` less certain on both sides.
  func predicted(error: Double) -> PredictedCost {
    PredictedCost(
      nanoseconds: nanoseconds,
      interval: interval.lowerBound * max(0, 1 - error)...interval.upperBound * (1 + error),
      evidence: .predicted, schedule: schedule)
  }
}

/// Measured times of one kind of Problem along one size, and what lies between them.
struct Curve: Sendable {
  /// How time grows between two measured sizes.
  enum Law {
    /// `t = a + b·x`, with x rounded up to whole register tiles: a tail costs as much as a tile.
    case linearInTiles
    /// `t = b·x + c·x²`: attention over tokens.
    case quadratic
  }

  struct Point: Sendable {
    var x: Int
    var cost: PredictedCost
  }

  let law: Law
  /// Ascending in x, one for each x.
  let points: [Point]
  /// The times of `points`, made non-decreasing: more work never costs less.
  private let monotone: [Double]
  /// Largest relative error when an inner point is predicted by its neighbours; nil below three points.
  let leaveOneOutError: Double?

  /// The error assumed where too few points are known to measure it.
  static let assumedError = 0.10

  init(law: Law, points: [Point]) {
    self.law = law
    // Of several times for one x, the fastest is the one that would be used.
    var fastest: [Int: Point] = [:]
    for point in points where point.cost.nanoseconds < fastest[point.x]?.cost.nanoseconds ?? .infinity {
      fastest[point.x] = point
    }
    let sorted = fastest.values.sorted { $0.x < $1.x }
    self.points = sorted
    let times = Self.poolAdjacentViolators(sorted.map(\.cost.nanoseconds))
    monotone = times
    var worst: Double?
    for i in sorted.indices.dropFirst().dropLast() {
      let guess = Self.between(law, sorted[i - 1], times[i - 1], sorted[i + 1], times[i + 1], at: sorted[i].x)
      let measured = sorted[i].cost.nanoseconds
      worst = max(worst ?? 0, abs(guess - measured) / measured)
    }
    leaveOneOutError = worst
  }

  /// The sizes it covers; nil when empty.
  var hull: ClosedRange<Int>? {
    guard let first = points.first, let last = points.last else { return nil }
    return first.x...last.x
  }

  /// The cost at `x`; nil outside the hull.
  func cost(at x: Int) -> PredictedCost? {
    guard let above = points.firstIndex(where: { $0.x >= x }) else { return nil }
    if points[above].x == x { return points[above].cost }
    guard above > 0 else { return nil }
    let (low, high) = (points[above - 1], points[above])
    let (lowTime, highTime) = (monotone[above - 1], monotone[above])
    let estimate = Self.between(law, low, lowTime, high, highTime, at: x)
    let error = leaveOneOutError.map { max($0, 0.02) } ?? Self.assumedError
    // More work than `low` and less than `high`: their intervals bound what lies between.
    let lower = max(estimate * (1 - error), min(low.cost.interval.lowerBound, lowTime))
    let upper = min(estimate * (1 + error), max(high.cost.interval.upperBound, highTime))
    // Nearest by ratio: schedules change with the order of magnitude.
    let nearest = Double(x) * Double(x) < Double(low.x) * Double(high.x) ? low : high
    return PredictedCost(
      nanoseconds: estimate, interval: min(lower, estimate)...max(upper, estimate), evidence: .predicted,
      schedule: nearest.cost.schedule)
  }

  private static func between(
    _ law: Law, _ low: Point, _ lowTime: Double, _ high: Point, _ highTime: Double, at x: Int
  ) -> Double {
    switch law {
    case .linearInTiles:
      let rows = tileRows(of: high.cost.schedule.kernel)
      func tiles(_ x: Int) -> Double { Double((x + rows - 1) / rows * rows) }
      let width = tiles(high.x) - tiles(low.x)
      let part = width > 0 ? (tiles(x) - tiles(low.x)) / width : Double(x - low.x) / Double(high.x - low.x)
      return lowTime + (highTime - lowTime) * min(1, max(0, part))
    case .quadratic:
      // Through both points: t/x is linear in x.
      let (x0, x1, at) = (Double(low.x), Double(high.x), Double(x))
      guard x0 > 0 else { return lowTime + (highTime - lowTime) * (at * at) / (x1 * x1) }
      let slope = (highTime / x1 - lowTime / x0) / (x1 - x0)
      return min(highTime, max(lowTime, at * (lowTime / x0 + slope * (at - x0))))
    }
  }

  /// The rows of the register tile that a kernel's name ends in (`…_6x16`); 1 for other names.
  static func tileRows(of kernel: String) -> Int {
    guard let tile = kernel.split(separator: "_").last, let cross = tile.firstIndex(of: "x"),
      Int(tile[tile.index(after: cross)...]) != nil, let rows = Int(tile[..<cross]), (1...1024).contains(rows)
    else { return 1 }
    return rows
  }

  /// The non-decreasing sequence nearest to `values` in least squares
  /// (pool adjacent violators; Barlow et al., Statistical Inference under Order Restrictions, 1972).
  static func poolAdjacentViolators(_ values: [Double]) -> [Double] {
    var blocks: [(mean: Double, count: Int)] = []
    for value in values {
      blocks.append((value, 1))
      while blocks.count > 1, blocks[blocks.count - 2].mean > blocks[blocks.count - 1].mean {
        let (b, a) = (blocks.removeLast(), blocks.removeLast())
        let count = a.count + b.count
        blocks.append(((a.mean * Double(a.count) + b.mean * Double(b.count)) / Double(count), count))
      }
    }
    return blocks.flatMap { Array(repeating: $0.mean, count: $0.count) }
  }
}

/// Points in a plane and the least convex figure around them.
enum ConvexHull {
  struct Point: Hashable, Sendable {
    var x: Double
    var y: Double
  }

  /// Whether `point` is inside the hull of `points` or on its edge, within rounding.
  static func contains(_ points: [Point], _ point: Point) -> Bool {
    let tolerance = 1e-9
    func cross(_ o: Point, _ a: Point, _ b: Point) -> Double {
      (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x)
    }
    // Andrew's monotone chain, counter-clockwise.
    let sorted = Set(points).sorted { ($0.x, $0.y) < ($1.x, $1.y) }
    func chain(_ points: [Point]) -> [Point] {
      var chain: [Point] = []
      for p in points {
        while chain.count > 1, cross(chain[chain.count - 2], chain[chain.count - 1], p) <= tolerance {
          chain.removeLast()
        }
        chain.append(p)
      }
      return chain
    }
    let hull = sorted.count < 3 ? sorted : chain(sorted).dropLast() + chain(sorted.reversed()).dropLast()
    switch hull.count {
    case 0: return false
    case 1: return abs(hull[0].x - point.x) <= tolerance && abs(hull[0].y - point.y) <= tolerance
    case 2:
      let (a, b) = (hull[0], hull[1])
      let inBox =
        point.x >= min(a.x, b.x) - tolerance && point.x <= max(a.x, b.x) + tolerance
        && point.y >= min(a.y, b.y) - tolerance && point.y <= max(a.y, b.y) + tolerance
      return inBox && abs(cross(a, b, point)) <= tolerance
    default:
      return hull.indices.allSatisfy { cross(hull[$0], hull[($0 + 1) % hull.count], point) >= -tolerance }
    }
  }
}
