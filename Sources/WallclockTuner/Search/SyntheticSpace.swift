#if canImport(Glibc)
  import Glibc
#endif

import WallclockCore

/// Spaces made from a seed, of a kind that tuning meets: a smooth valley with interactions, cliffs
/// where a resource runs out, constraints, regions that fail, and noise that was frozen into the times.
public struct SyntheticSpace: Sendable {
  /// What makes one hard.
  public enum Kind: String, CaseIterable, Sendable {
    /// A smooth valley that interactions tilt.
    case valley
    /// Planes across which times jump.
    case cliffs
    /// A quarter or more of the legal points fail, the optimum close to them.
    case holes
    /// Most parameters are categories without order.
    case categories
    /// Every time is off by a few per cent.
    case noisy
  }

  public let kind: Kind
  public let seed: UInt64

  public init(_ kind: Kind, seed: UInt64) {
    self.kind = kind
    self.seed = seed
  }

  /// `synthetic:cliffs?seed=3`; the seed is 0 when it is left out.
  public init?(_ text: String) {
    guard text.hasPrefix(Self.prefix) else { return nil }
    let parts = text.dropFirst(Self.prefix.count).split(separator: "?", maxSplits: 1)
    guard let first = parts.first, let kind = Kind(rawValue: String(first)) else { return nil }
    self.init(kind, seed: 0)
    if parts.count == 2 {
      guard parts[1].hasPrefix("seed="), let seed = UInt64(parts[1].dropFirst(5)) else { return nil }
      self.init(kind, seed: seed)
    }
  }

  public static let prefix = "synthetic:"

  public var name: String { "\(Self.prefix)\(kind.rawValue)?seed=\(seed)" }

  /// Generates it: 2,000 legal points at least, one of them the best.
  public func measured() throws(TuneError) -> MeasuredSpace {
    var random = SearchRandom(seed: seed &* 31 &+ UInt64(Kind.allCases.firstIndex(of: kind)!))
    let sizes = [[4, 8, 6, 3, 4, 2, 2], [16, 5, 4, 4, 2, 2, 2], [6, 20, 4, 8, 2], [5, 5, 5, 4, 4, 4]][random.below(4)]
    let parameters = sizes.enumerated().map { index, size in
      SearchSpace.Parameter("p\(index)", (0..<size).map { .integer(size < 9 && index % 2 == 0 ? 1 << $0 : $0 + 1) })
    }
    let landscape = Landscape(sizes: sizes, kind: kind, &random)
    var points: [[Int]] = []
    var evaluations: [Evaluation] = []
    let all = SearchSpace(parameters: parameters) { _ in true }
    for point in 0..<all.count {
      let coordinates = all.coordinates(of: point).map(Int.init)
      guard landscape.isLegal(coordinates) else { continue }
      points.append(coordinates)
      evaluations.append(landscape.evaluate(coordinates, &random))
    }
    return try MeasuredSpace(
      name: name, space: SearchSpace(parameters: parameters, points: points), evaluations: evaluations)
  }
}

/// The function a synthetic space samples, over coordinates scaled to −½…½.
private struct Landscape {
  private let sizes: [Int]
  private var centre: [Double] = []
  private var weight: [Double] = []
  private var interactions: [(Int, Int, Double)] = []
  private var planes: [(normal: [Double], offset: Double, height: Double)] = []
  private var categories: [[Double]] = []
  private var hole: (normal: [Double], offset: Double)?
  private var constraint: [Double]
  private let noise: Double

  init(sizes: [Int], kind: SyntheticSpace.Kind, _ random: inout SearchRandom) {
    self.sizes = sizes
    func direction() -> [Double] {
      let raw = sizes.map { _ in random.normal() }
      let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return raw.map { $0 / length }
    }
    for (index, size) in sizes.enumerated() {
      // Optima at the edge of a range are as common as inside it.
      centre.append(random.below(2) == 0 ? (random.below(2) == 0 ? -0.5 : 0.5) : random.uniform() - 0.5)
      weight.append(0.3 + 1.5 * random.exponential())
      let isCategory = kind == .categories && index % 3 != 0
      categories.append((0..<size).map { _ in isCategory ? 0.35 * random.normal() : 0 })
      interactions.append((random.below(sizes.count), random.below(sizes.count), 0.8 * random.normal()))
    }
    for _ in 0..<(kind == .cliffs ? 5 : 1) {
      planes.append((direction(), 0.3 * random.uniform() - 0.1, 0.1 + 0.5 * random.uniform()))
    }
    constraint = direction()
    if kind == .holes {
      // The failing half-space begins a little beyond the valley's centre.
      let normal = direction()
      hole = (normal, zip(normal, centre).reduce(0.08) { $0 + $1.0 * $1.1 })
    }
    noise = kind == .noisy ? 0.03 : 0.008
  }

  private func scaled(_ coordinates: [Int]) -> [Double] {
    zip(coordinates, sizes).map { Double($0) / Double($1 - 1) - 0.5 }
  }

  private func project(_ x: [Double], _ normal: [Double]) -> Double { zip(x, normal).reduce(0) { $0 + $1.0 * $1.1 } }

  func isLegal(_ coordinates: [Int]) -> Bool { project(scaled(coordinates), constraint) <= 0.35 }

  func evaluate(_ coordinates: [Int], _ random: inout SearchRandom) -> Evaluation {
    let x = scaled(coordinates)
    // Drawn whether it is needed or not: a point's noise does not depend on which others fail.
    let disturbance = noise * random.normal()
    if let hole, project(x, hole.normal) > hole.offset { return .failed }
    var value = 0.0
    for d in x.indices {
      value += weight[d] * (x[d] - centre[d]) * (x[d] - centre[d]) + categories[d][coordinates[d]]
    }
    for (a, b, strength) in interactions { value += strength * (x[a] - centre[a]) * (x[b] - centre[b]) }
    for plane in planes where project(x, plane.normal) > plane.offset { value += plane.height }
    return .time(exp(value + disturbance))
  }
}
