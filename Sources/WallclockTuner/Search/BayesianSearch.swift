#if canImport(Glibc)
  import Glibc
#endif

/// Bayesian optimisation (Jones et al., "Efficient Global Optimization", 1998) over the legal points of
/// a discrete space.
///
/// A Gaussian process models the logarithm of the time, with slow times drawn together, since only
/// the fast end matters; a second one on the same kernel models the chance of failing. The
/// kernel's parameters are sampled anew every few evaluations. Evaluations go in turns: near the best
/// point known, and anywhere with less or more curiosity. A search that only follows expected
/// improvement stays with the first good region too long.
struct BayesianSearch: SearchStrategy {
  /// Evaluations that spread over the space before there is a model.
  private static let initial = 2
  /// Candidates looked at before each evaluation; a larger space is sampled anew at each fit.
  private static let maximumCandidates = 12_000
  /// Points the model is fitted and conditioned on at most.
  private static let fitted = 150
  private static let conditioned = 400

  private let space: SearchSpace
  private let features: SpaceFeatures
  private var starts: [Int]
  private var fresh: RandomOrder
  private var random: SearchRandom
  private var points: [Int] = []
  private var evaluations: [Int: Evaluation] = [:]
  private var parameters: ProcessParameters
  /// Of times, given the points that have one; and of failing, given all, once a point has failed.
  private var posterior: ProcessPosterior?
  private var failing: ProcessPosterior?
  private var nextFit = 0
  private var best: (point: Int, time: Double)?

  init(_ space: SearchSpace, _ setup: SearchSetup) {
    self.space = space
    features = SpaceFeatures(space)
    starts = setup.start.reversed()
    random = SearchRandom(seed: setup.seed)
    fresh = RandomOrder(count: space.count, random: SearchRandom(seed: setup.seed ^ 0x5EED))
    parameters = ProcessParameters(dimensions: features.dimensions)
  }

  mutating func ask() -> Int? {
    guard points.count < space.count else { return nil }
    while let start = starts.popLast() {
      if evaluations[start] == nil { return start }
    }
    guard points.count >= Self.initial, best != nil else { return spread() }
    return chosen() ?? fresh.next { evaluations[$0] == nil }
  }

  mutating func tell(_ point: Int, _ evaluation: Evaluation) {
    if evaluations.updateValue(evaluation, forKey: point) == nil {
      points.append(point)
      // A failure says nothing of times nearby: often the best points lie next to those that fail.
      if evaluation != .failed { posterior?.add(point) }
      if failing != nil { failing!.add(point) } else if evaluation == .failed { nextFit = 0 }
    }
    if case .time(let time) = evaluation, time < best?.time ?? .infinity { best = (point, time) }
  }

  /// The farthest of some random points from all evaluated ones: a design that favours corners, from
  /// which main effects and interactions show soonest.
  private mutating func spread() -> Int? {
    var chosen: Int?
    var farthest: Float = -1
    for _ in 0..<(points.isEmpty ? 1 : 200) {
      let point = random.below(space.count)
      guard evaluations[point] == nil else { continue }
      let distance = points.map { features.squaredDistance($0, point) }.min() ?? 0
      if distance > farthest { (chosen, farthest) = (point, distance) }
    }
    return chosen ?? fresh.next { evaluations[$0] == nil }
  }

  // MARK: - The model

  /// What the model of times sees of `points`, all of which have one: standardised logarithms.
  private func targets(of points: [Int]) -> (values: [Double], best: Double) {
    var values = points.map { log(time($0)) }
    let sorted = values.sorted()
    // Past the median times are drawn together: how slow a slow point is matters little.
    let bend = sorted[sorted.count / 2]
    for i in values.indices where values[i] > bend { values[i] = bend + 0.5 * log1p(values[i] - bend) }
    let mean = values.reduce(0, +) / Double(values.count)
    let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)).squareRoot() + 1e-9
    for i in values.indices { values[i] = (values[i] - mean) / deviation }
    return (values, (log(best!.time) - mean) / deviation)
  }

  /// Infinite for a point that failed.
  private func time(_ point: Int) -> Double {
    if case .time(let time) = evaluations[point] { time } else { .infinity }
  }

  /// The points the model is conditioned on: all, or when they are many the best and some of the rest.
  private mutating func sample(_ points: [Int], _ limit: Int) -> [Int] {
    guard points.count > limit else { return points }
    let sorted = points.sorted { (time($0), $0) < (time($1), $1) }
    let rest = sorted.dropFirst(limit / 2).shuffled(using: &random)
    return Array(sorted.prefix(limit / 2)) + rest.prefix(limit - limit / 2)
  }

  private mutating func fit() {
    let timed = points.filter { time($0).isFinite }
    let sample = sample(timed, Self.fitted)
    let steps = (posterior == nil ? 80 : 30) + 4 * features.dimensions
    ProcessFit.sample(
      &parameters, points: sample, values: targets(of: sample).values, features, steps: steps, &random)
    let kernel = ProcessKernel(parameters, features)
    let candidates = candidates()
    posterior = ProcessPosterior(kernel, candidates: candidates)
    for point in self.sample(timed, Self.conditioned) { posterior!.add(point) }
    failing = nil
    if timed.count < points.count {
      failing = ProcessPosterior(kernel, candidates: candidates)
      for point in self.sample(points, Self.conditioned) { failing!.add(point) }
    }
    nextFit = points.count + max(2, points.count / 30)
  }

  private mutating func candidates() -> [Int] {
    guard space.count > Self.maximumCandidates else {
      return (0..<space.count).filter { evaluations[$0] == nil }
    }
    // A sample of the whole, and what lies within two steps of the best.
    var chosen: Set<Int> = []
    while chosen.count < Self.maximumCandidates { chosen.insert(random.below(space.count)) }
    let near = space.neighbours(of: best!.point)
    chosen.formUnion(near)
    for point in near { chosen.formUnion(space.neighbours(of: point)) }
    return chosen.filter { evaluations[$0] == nil }.sorted()
  }

  // MARK: - Choosing

  private mutating func chosen() -> Int? {
    if posterior == nil || points.count >= nextFit { fit() }
    let posterior = posterior!
    let targets = targets(of: posterior.points)
    let n = posterior.points.count
    let ones = posterior.solved(Array(repeating: 1, count: n))
    let solved = posterior.solved(targets.values)
    let oo = zip(ones, ones).reduce(0) { $0 + $1.0 * $1.1 }
    let centre = zip(ones, solved).reduce(0) { $0 + $1.0 * $1.1 } / oo
    let residuals = zip(ones, solved).map { $1 - centre * $0 }
    let signal = ((residuals.reduce(0) { $0 + $1 * $1 } + 0.2) / Double(n + 1)).squareRoot()
    let means = posterior.mean(solved: residuals)

    let chances = chancesOfFailing()

    let turn = Self.turns[points.count % Self.turns.count]
    let centrePoint = Array(space.coordinates(of: best!.point))
    var bestScore = -Double.infinity
    var result: Int?
    for (c, point) in posterior.candidates.enumerated() where evaluations[point] == nil {
      if turn.isLocal, differences(point, centrePoint) > 2 { continue }
      let deviation = signal * Double(max(1e-10, posterior.variance[c])).squareRoot()
      var score = Self.logExpectedImprovement(
        targets.best - turn.margin - centre - Double(means[c]), deviation)
      if !chances.isEmpty { score += log(min(max(1 - Double(chances[c]), 0.01), 1)) }
      if score > bestScore { (bestScore, result) = (score, point) }
    }
    return result
  }

  /// By candidate; empty while no point has failed.
  private func chancesOfFailing() -> [Float] {
    guard let failing else { return [] }
    let failures = failing.points.map { evaluations[$0] == .failed ? 1.0 : 0.0 }
    let share = failures.reduce(0, +) / Double(failures.count)
    return failing.mean(solved: failing.solved(failures.map { $0 - share })).map { $0 + Float(share) }
  }

  /// How far an evaluation looks, and by how many deviations of all times it wants to be better.
  private static let turns: [(isLocal: Bool, margin: Double)] = [
    (true, 0), (false, 0.25), (false, 1),
  ]

  private func differences(_ point: Int, _ centre: [UInt16]) -> Int {
    var count = 0
    for (a, b) in zip(space.coordinates(of: point), centre) where a != b { count += 1 }
    return count
  }

  /// The logarithm of the expected improvement, by its asymptote where it would underflow.
  static func logExpectedImprovement(_ gain: Double, _ deviation: Double) -> Double {
    let u = gain / deviation
    guard u > -6 else {
      // φ(u)/u² (1 − 3/u² + 15/u⁴), by the expansion of Mills' ratio.
      let square = u * u
      return log(deviation) - 0.5 * square - log(square) - 0.918_938_53 + log1p((15 / square - 3) / square)
    }
    let density = 0.398_942_28 * exp(-0.5 * u * u)
    return log(deviation * (u * 0.5 * erfc(-u / 2.0.squareRoot()) + density) + 1e-300)
  }
}
