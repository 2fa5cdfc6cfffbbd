#if canImport(Glibc)
  import Glibc
#endif

/// From which context on one way of doing the same is faster than another, as far as contexts were compared.
public struct Crossover: Sendable, Codable {
  /// A comparison at one context.
  public struct Point: Sendable, Codable {
    public var context: Int
    /// Time of the reference over that of the other: above 1, the other is faster.
    public var ratio: Double
    public var interval: ClosedRange<Double>
    public var outcome: Decision.Outcome

    public init(context: Int, ratio: Double, interval: ClosedRange<Double>, outcome: Decision.Outcome) {
      self.context = context
      self.ratio = ratio
      self.interval = interval
      self.outcome = outcome
    }
  }

  public enum Verdict: String, Sendable, Codable {
    /// At every context compared.
    case always
    /// From `context` on.
    case from
    /// At none of those compared.
    case never
  }

  public var verdict: Verdict
  /// Where the ratio passes 1, on a straight line between the logarithms of neighbours; the least compared for `always`.
  public var context: Double?
  /// The last context compared at which the other was not faster, and the first from which it always was.
  public var between: ClosedRange<Int>?
  public var points: [Point]

  /// - Parameter points: by growing context, one at least.
  public init(_ points: [Point]) {
    precondition(!points.isEmpty, "Crossover: nothing was compared")
    precondition(zip(points, points.dropFirst()).allSatisfy { $0.context < $1.context }, "Crossover: contexts must grow")
    self.points = points
    let first = points.lastIndex { $0.outcome != .better }.map { $0 + 1 } ?? 0
    if first == points.count {
      verdict = .never
    } else if first == 0 {
      verdict = .always
      context = Double(points[0].context)
    } else {
      verdict = .from
      let (before, after) = (points[first - 1], points[first])
      between = before.context...after.context
      context = Self.crossing(before, after)
    }
  }

  private static func crossing(_ a: Point, _ b: Point) -> Double {
    let (x, y) = (log(Double(a.context)), log(Double(b.context)))
    let (low, high) = (log(a.ratio), log(b.ratio))
    // One that is as fast before counts as not faster, whichever side of 1 its ratio lies on.
    guard low < 0, high > low else { return Double(low >= 0 ? a.context : b.context) }
    return exp(x + (y - x) * min(1, -low / (high - low)))
  }

  /// Whether contexts beyond the last would tell nothing new: the other was faster at the last `enough`, and ever more so.
  public static func isClear(_ points: [Point], enough: Int = 2) -> Bool {
    let last = points.suffix(enough)
    return last.count == enough && last.allSatisfy { $0.outcome == .better }
      && zip(last, last.dropFirst()).allSatisfy { $0.ratio < $1.ratio }
  }
}
