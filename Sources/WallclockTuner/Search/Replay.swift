/// A space of which every legal point was evaluated: what searches are compared on.
public struct MeasuredSpace: Sendable {
  public let name: String
  public let space: SearchSpace
  /// By point.
  public let evaluations: [Evaluation]
  /// The least time and its point.
  public let optimum: (point: Int, time: Double)
  /// Points that a model of the machine holds for good, best first; empty where nobody knows any.
  public let start: [Int]

  /// - Throws: `TuneError.nothingToTune` when no point has a time.
  public init(
    name: String, space: SearchSpace, evaluations: [Evaluation], start: [Int] = []
  ) throws(TuneError) {
    precondition(evaluations.count == space.count, "MeasuredSpace: \(evaluations.count) evaluations of \(space.count) points")
    var best: (point: Int, time: Double)?
    for (point, evaluation) in evaluations.enumerated() {
      if case .time(let time) = evaluation, time < best?.time ?? .infinity { best = (point, time) }
    }
    guard let best else {
      throw TuneError(
        .nothingToTune, "\(name): none of its \(space.count) configurations has a time; there is nothing to search for")
    }
    self.name = name
    self.space = space
    self.evaluations = evaluations
    optimum = best
    self.start = start
  }

  public var failures: Int { evaluations.count { $0 == .failed } }
}

/// Runs strategies on measured spaces and counts what they need.
public enum Replay {
  /// The part of the best speed that counts as found.
  public static let goal = 0.97

  /// Evaluations until a point with at least `goal` of the optimum's speed was evaluated, for one seed;
  /// nil when the budget or the strategy's points ran out first.
  ///
  /// A failed evaluation counts; the same point evaluated again does not.
  public static func evaluationsToGoal(
    _ method: SearchMethod, on measured: MeasuredSpace, _ setup: SearchSetup, budget: Int
  ) -> Int? {
    var strategy = method.start(on: measured.space, setup)
    var seen = [Bool](repeating: false, count: measured.space.count)
    var count = 0
    // A strategy that only repeats itself ends too.
    var repeats = 0
    while count < budget, repeats < 1_000 + 64 * measured.space.count, let point = strategy.ask() {
      if seen[point] { repeats += 1 } else { count += 1 }
      seen[point] = true
      let evaluation = measured.evaluations[point]
      if case .time(let time) = evaluation, time <= measured.optimum.time / goal { return count }
      strategy.tell(point, evaluation)
    }
    return nil
  }

  /// One run per seed `0..<seeds`, on as many threads as there are processors.
  public static func evaluationsToGoal(
    _ method: SearchMethod, on measured: MeasuredSpace, seeds: Int, budget: Int,
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) async -> [Int?] {
    await withTaskGroup(of: (Int, Int?).self, returning: [Int?].self) { group in
      for seed in 0..<seeds {
        group.addTask {
          guard !isCancelled() else { return (seed, nil) }
          let start = method.usesStart ? measured.start : []
          let setup = SearchSetup(seed: UInt64(seed), start: start)
          return (seed, evaluationsToGoal(method, on: measured, setup, budget: budget))
        }
      }
      var result = [Int?](repeating: nil, count: seeds)
      for await (seed, count) in group { result[seed] = count }
      return result
    }
  }

  /// The median, runs that never got there counting as more than any; nil when half did not.
  public static func median(_ counts: [Int?]) -> Double? {
    let sorted = counts.map { $0.map(Double.init) ?? .infinity }.sorted()
    guard !sorted.isEmpty else { return nil }
    let n = sorted.count
    let median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2
    return median.isFinite ? median : nil
  }
}
