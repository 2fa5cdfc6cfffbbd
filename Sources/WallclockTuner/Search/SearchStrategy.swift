/// What came of evaluating a point.
public enum Evaluation: Sendable, Equatable {
  /// The objective, to be minimised: a positive time in any unit.
  case time(Double)
  /// Illegal after all, crashed, wrong, or too slow to finish.
  case failed
}

/// A way to search a space: asked for a point, told what came of it, over and over.
///
/// The same space, setup and evaluations give the same points. A strategy for noisy evaluations may ask
/// for a point again; the others never do.
public protocol SearchStrategy {
  /// The next point to evaluate; nil when the strategy has no more to ask.
  mutating func ask() -> Int?
  /// Reports the evaluation of the point asked for last.
  mutating func tell(_ point: Int, _ evaluation: Evaluation)
}

/// What a search starts from.
public struct SearchSetup: Sendable {
  public var seed: UInt64
  /// Points that a model of the machine holds for good, best first; none for a search that knows
  /// nothing of the space but its parameters.
  public var start: [Int]

  public init(seed: UInt64, start: [Int] = []) {
    self.seed = seed
    self.start = start
  }
}

/// A strategy by name.
public struct SearchMethod: Sendable {
  public let name: String
  public let summary: String
  /// Whether it is of use only where a model of the machine gives it points to start from. The others
  /// know nothing of a space but its parameters.
  public let usesStart: Bool
  private let make: @Sendable (SearchSpace, SearchSetup) -> any SearchStrategy

  public func start(on space: SearchSpace, _ setup: SearchSetup) -> any SearchStrategy { make(space, setup) }

  init(
    name: String, summary: String, usesStart: Bool = false,
    _ make: @escaping @Sendable (SearchSpace, SearchSetup) -> any SearchStrategy
  ) {
    self.name = name
    self.summary = summary
    self.usesStart = usesStart
    self.make = make
  }

  public static let random = SearchMethod(
    name: "random", summary: "Legal points in random order."
  ) { RandomSearch($0, $1) }

  public static let bayesian = SearchMethod(
    name: "bayesian",
    summary: "A Gaussian process over the parameters, and a chance of failing; expected improvement, globally and near the best."
  ) { BayesianSearch($0, $1) }

  public static let analytical = SearchMethod(
    name: "analytical",
    summary: "Descent over points one parameter away from what the cache model recommends; for spaces of this project's kernels.",
    usesStart: true
  ) { LocalSearch($0, $1) }

  /// Every strategy; the first is the default.
  public static let all: [SearchMethod] = [
    bayesian, random,
    SearchMethod(name: "exhaustive", summary: "Every legal point in order.") { space, _ in ExhaustiveSearch(space) },
    SearchMethod(
      name: "local",
      summary: "Descent over points one parameter away, from random points."
    ) { LocalSearch($0, $1) },
    analytical,
    SearchMethod(
      name: "halving",
      summary: "Fields of candidates sampled in turn, the slower half leaving each round; for noisy evaluations, which it repeats."
    ) { HalvingSearch($0, $1) },
    SearchMethod(
      name: "genetic", summary: "A population bred by tournament, uniform crossover and mutation."
    ) { GeneticSearch($0, $1) },
  ]

  public static var standard: SearchMethod { all[0] }

  /// - Parameter name: a strategy's, or `default`.
  public static func named(_ name: String) -> SearchMethod? {
    name == "default" ? standard : all.first { $0.name == name }
  }
}
