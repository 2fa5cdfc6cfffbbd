import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockProfiles
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

@testable import WallclockTuner

/// A small space with a constraint: 4 × 5 × 2 less the points that violate it.
private let small = SearchSpace(
  parameters: [
    .init("a", [.integer(1), .integer(2), .integer(4), .integer(8)]),
    .init("b", [.integer(1), .integer(2), .integer(3), .integer(4), .integer(5)]),
    .init("word", [.string("x"), .string("y")]),
  ]
) { values in values[0].numeric! * values[1].numeric! <= 16 }

/// A bowl whose least point is (4, 3, y); every seventh point fails.
private func bowl() throws -> MeasuredSpace {
  let evaluations = (0..<small.count).map { point -> Evaluation in
    let c = small.coordinates(of: point).map(Int.init)
    if point % 7 == 3, c != [2, 2, 1] { return .failed }
    let (a, b) = (Double(c[0] - 2), Double(c[1] - 2))
    return .time(1 + a * a + b * b + Double(1 - c[2]))
  }
  return try MeasuredSpace(name: "bowl", space: small, evaluations: evaluations)
}

/// Every point a strategy asks for.
private func asked(_ method: SearchMethod, _ measured: MeasuredSpace, seed: UInt64, limit: Int) -> [Int] {
  var strategy = method.start(on: measured.space, SearchSetup(seed: seed, start: measured.start))
  var points: [Int] = []
  while points.count < limit, let point = strategy.ask() {
    points.append(point)
    strategy.tell(point, measured.evaluations[point])
  }
  return points
}

@Suite struct SearchSpaceTests {
  @Test func legalPointsAreThoseTheConstraintAdmits() {
    let expected = [1, 2, 4, 8].reduce(0) { sum, a in sum + (1...5).count { a * $0 <= 16 } * 2 }
    #expect(small.count == expected)
    for point in 0..<small.count {
      let values = small.values(of: point)
      #expect(values[0].numeric! * values[1].numeric! <= 16)
      #expect(small.index(of: small.coordinates(of: point)) == point)
    }
    #expect(small.index(of: [3, 4, 0]) == nil)
  }

  @Test func neighboursDifferInOneParameter() {
    for point in 0..<small.count {
      let own = Array(small.coordinates(of: point))
      let expected = (0..<small.count).filter { other in
        zip(own, small.coordinates(of: other)).count { $0 != $1 } == 1
      }
      #expect(Set(small.neighbours(of: point)) == Set(expected))
      // Adjacent ones are, along each parameter, the nearest legal on either side.
      var nearest: Set<Int> = []
      for d in own.indices {
        let line = expected.filter { Array(small.coordinates(of: $0))[d] != own[d] }
        let places = line.map { (Array(small.coordinates(of: $0))[d], $0) }
        if let below = places.filter({ $0.0 < own[d] }).max(by: { $0.0 < $1.0 }) { nearest.insert(below.1) }
        if let above = places.filter({ $0.0 > own[d] }).min(by: { $0.0 < $1.0 }) { nearest.insert(above.1) }
      }
      #expect(Set(small.neighbours(of: point, .adjacent)) == nearest)
    }
  }

  @Test func aPointNamedTwiceCountsOnce() {
    let space = SearchSpace(parameters: small.parameters, points: [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    #expect(space.count == 2)
  }

  @Test func aSpaceWithoutATimeIsRefused() {
    let error = #expect(throws: TuneError.self) {
      try MeasuredSpace(name: "x", space: small, evaluations: Array(repeating: .failed, count: small.count))
    }
    #expect(error?.code == .nothingToTune)
  }
}

@Suite struct StrategyTests {
  @Test(arguments: SearchMethod.all.map(\.name))
  func everyStrategyFindsTheBestOfASmallSpace(name: String) throws {
    let measured = try bowl()
    for seed in 0..<5 {
      let points = asked(SearchMethod.named(name)!, measured, seed: UInt64(seed), limit: 5000)
      #expect(points.contains(measured.optimum.point), "\(name), seed \(seed)")
      #expect(points.allSatisfy { (0..<small.count).contains($0) })
    }
  }

  @Test(arguments: SearchMethod.all.map(\.name).filter { $0 != "halving" })
  func noneAsksAgain(name: String) throws {
    let measured = try bowl()
    let points = asked(SearchMethod.named(name)!, measured, seed: 3, limit: 5000)
    #expect(Set(points).count == points.count)
    // And each goes on until every legal point was evaluated.
    #expect(points.count == small.count)
  }

  @Test(arguments: SearchMethod.all.map(\.name))
  func theSeedDecides(name: String) throws {
    let measured = try SyntheticSpace(.cliffs, seed: 2).measured()
    let method = SearchMethod.named(name)!
    let first = asked(method, measured, seed: 7, limit: 60)
    #expect(asked(method, measured, seed: 7, limit: 60) == first)
    if name != "exhaustive" { #expect(asked(method, measured, seed: 8, limit: 60) != first) }
  }

  @Test func streamsOfNeighbouringSeedsShareNothing() {
    var seen: Set<UInt64> = []
    for seed in 0..<50 {
      var random = SearchRandom(seed: UInt64(seed))
      for _ in 0..<100 { #expect(seen.insert(random.next()).inserted) }
    }
  }

  @Test(arguments: SyntheticSpace.Kind.allCases)
  func theDefaultNeedsAThirdOfRandomSearch(kind: SyntheticSpace.Kind) async throws {
    let measured = try SyntheticSpace(kind, seed: 1).measured()
    let own = await Replay.evaluationsToGoal(.standard, on: measured, seeds: 8, budget: 400)
    let random = await Replay.evaluationsToGoal(.random, on: measured, seeds: 50, budget: measured.space.count)
    let median = try #require(Replay.median(own))
    #expect(median <= Replay.median(random)! / 3, "\(kind): \(own)")
  }

  @Test func aStartIsEvaluatedFirst() throws {
    let measured = try bowl()
    for method in SearchMethod.all where method.name != "exhaustive" && method.name != "random" {
      var strategy = method.start(on: small, SearchSetup(seed: 1, start: [20, 4]))
      for expected in [20, 4] {
        let point = strategy.ask()
        #expect(point == expected, "\(method.name)")
        strategy.tell(expected, measured.evaluations[expected])
      }
    }
  }

  /// One of a field is 3 % faster than the rest, under noise of 3 % that all share in a round.
  @Test func halvingSeesThroughSharedNoise() {
    let space = SearchSpace(parameters: [.init("p", (0..<15).map { .integer($0) })]) { _ in true }
    var random = TestRandom(seed: 5)
    var right = 0
    for seed in 0..<20 {
      var strategy = HalvingSearch(space, SearchSetup(seed: UInt64(seed)))
      var count = 0
      var drift = 1.0
      while let point = strategy.ask() {
        if count % 15 == 0 { drift = 1 + 0.03 * abs(random.normal()) }
        count += 1
        strategy.tell(point, .time((point == 11 ? 0.97 : 1) * drift * (1 + 0.003 * random.normal())))
      }
      if strategy.champion == 11 { right += 1 }
    }
    // Chance alone would be right once or twice.
    #expect(right >= 14)
  }
}

@Suite struct ReplayTests {
  /// Asks for given points, whatever it is told.
  private struct Script: SearchStrategy {
    var points: [Int]
    mutating func ask() -> Int? { points.isEmpty ? nil : points.removeFirst() }
    mutating func tell(_ point: Int, _ evaluation: Evaluation) {}
  }

  private func count(_ points: [Int], _ measured: MeasuredSpace, budget: Int = 100) -> Int? {
    Replay.evaluationsToGoal(
      SearchMethod(name: "script", summary: "") { _, _ in Script(points: points) }, on: measured,
      SearchSetup(seed: 0), budget: budget)
  }

  @Test func failuresCountAndRepeatsDoNot() throws {
    let space = SearchSpace(parameters: [.init("p", (0..<5).map { .integer($0) })]) { _ in true }
    // 97 % of the best speed is a time of 100/0.97 = 103.09.
    let measured = try MeasuredSpace(
      name: "five", space: space, evaluations: [.time(200), .failed, .time(103.1), .time(103), .time(100)])
    #expect(count([0, 1, 2, 3], measured) == 4)
    #expect(count([0, 0, 1, 1, 0, 4], measured) == 3)
    #expect(count([4], measured) == 1)
    #expect(count([0, 1, 2], measured) == nil)
    #expect(count([0, 1, 2, 3], measured, budget: 3) == nil)
    #expect(measured.optimum == (4, 100))
    #expect(measured.failures == 1)
  }

  @Test func theMedianCountsRunsThatFailedAsLast() {
    #expect(Replay.median([3, nil, 1]) == 3)
    #expect(Replay.median([3, 1, 2, 8]) == 2.5)
    #expect(Replay.median([nil, nil, 1]) == nil)
  }

  @Test func randomSearchNeedsWhatChanceSays() async throws {
    // One good point of n: the expected place is (n + 1)/2.
    let space = SearchSpace(parameters: [.init("p", (0..<200).map { .integer($0) })]) { _ in true }
    let measured = try MeasuredSpace(
      name: "needle", space: space, evaluations: (0..<200).map { .time($0 == 77 ? 1 : 2) })
    let counts = await Replay.evaluationsToGoal(.random, on: measured, seeds: 600, budget: 200)
    let mean = counts.reduce(0.0) { $0 + Double($1!) } / 600
    #expect(abs(mean - 100.5) < 10)
  }

  @Test func syntheticSpacesAreTheirSeedsAlone() throws {
    for kind in SyntheticSpace.Kind.allCases {
      let a = try SyntheticSpace(kind, seed: 4).measured()
      let b = try #require(SyntheticSpace("synthetic:\(kind.rawValue)?seed=4")).measured()
      #expect(a.evaluations == b.evaluations)
      #expect(a.space.count >= 2000)
      #expect(try SyntheticSpace(kind, seed: 5).measured().evaluations != a.evaluations)
      if kind == .holes { #expect(a.failures > a.space.count / 20) }
    }
    #expect(SyntheticSpace("synthetic:cliffs?seed=x") == nil)
    #expect(SyntheticSpace("synthetic:nothing") == nil)
    #expect(SyntheticSpace("cliffs") == nil)
  }
}

@Suite struct ProcessTests {
  private static let features = SpaceFeatures(small)

  /// Against the formulas solved whole, in double precision (Rasmussen and Williams, algorithm 2.1).
  @Test func thePosteriorAgreesWithADirectSolution() {
    var parameters = ProcessParameters(dimensions: Self.features.dimensions)
    parameters.inverseLength[1] = 0.9
    let kernel = ProcessKernel(parameters, Self.features)
    let points = [0, 5, 9, 17, 30]
    let values = [0.3, -1.2, 0.8, 0.1, -0.4]
    let candidates = Array(0..<small.count)
    var posterior = ProcessPosterior(kernel, candidates: candidates)
    for point in points { posterior.add(point) }
    let means = posterior.mean(solved: posterior.solved(values))

    let n = points.count
    var matrix = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<n { matrix[i * n + j] = Double(kernel(points[i], points[j])) + (i == j ? kernel.noise : 0) }
    }
    #expect(Cholesky.factor(&matrix, n))
    for candidate in candidates {
      var cross = points.map { Double(kernel($0, candidate)) }
      var solved = values
      Cholesky.solveLower(matrix, n, &cross)
      Cholesky.solveLower(matrix, n, &solved)
      let mean = zip(cross, solved).reduce(0) { $0 + $1.0 * $1.1 }
      let variance = 1 - cross.reduce(0) { $0 + $1 * $1 }
      #expect(abs(mean - Double(means[candidate])) < 1e-4)
      #expect(abs(variance - Double(posterior.variance[candidate])) < 1e-4)
    }
  }

  @Test func aFactorTimesItsTransposeIsTheMatrix() {
    let matrix = [4.0, 2, 0.5, 2, 5, 1, 0.5, 1, 3]
    var lower = matrix
    #expect(Cholesky.factor(&lower, 3))
    for i in 0..<3 {
      for j in 0...i {
        let product = (0...j).reduce(0) { $0 + lower[i * 3 + $1] * lower[j * 3 + $1] }
        #expect(abs(product - matrix[i * 3 + j]) < 1e-12)
      }
    }
    var indefinite = [1.0, 2, 2, 1]
    #expect(!Cholesky.factor(&indefinite, 2))
  }

  @Test func expectedImprovementGrowsWithGainAndDeviation() {
    // At no gain it is the deviation over √(2π).
    #expect(abs(BayesianSearch.logExpectedImprovement(0, 2) - log(2 / (2 * Double.pi).squareRoot())) < 1e-6)
    var last = -Double.infinity
    for gain in stride(from: -30.0, through: 5, by: 0.01) {
      let value = BayesianSearch.logExpectedImprovement(gain, 1)
      #expect(value > last)
      // The asymptote takes over without a step.
      if last.isFinite { #expect(value - last < 0.5) }
      last = value
    }
    #expect(BayesianSearch.logExpectedImprovement(-1, 2) > BayesianSearch.logExpectedImprovement(-1, 1))
  }

  @Test func sizesThatDoubleLieEvenly() {
    let doubling = SearchSpace(parameters: [.init("p", [1, 2, 4, 8, 16].map { .integer($0) })]) { _ in true }
    #expect(zip(SpaceFeatures(doubling).values, [0, 0.25, 0.5, 0.75, 1] as [Float]).allSatisfy { abs($0 - $1) < 1e-6 })
    let even = SearchSpace(parameters: [.init("p", [10, 20, 40].map { .integer($0) }), .init("fixed", [.integer(3)])]) { _ in true }
    let features = SpaceFeatures(even)
    #expect(features.dimensions == 1)
    #expect(abs(features.values[1] - 1.0 / 3) < 1e-6)
  }
}

@Suite(.serialized) struct SpaceRecorderTests {
  @Test func aRecordingMeasuresEachPointOnceAndGoesOn() throws {
    let machine = Machine.host.fingerprint
    let knobs = try KnobSpace(for: .gemm(.f32, m: 12, n: 32, k: 32), threads: 1, machine: machine)
    let recorder = SpaceRecorder(space: knobs, machine: machine)
    var recorded: [[Int]: SpaceRecorder.Outcome] = [:]
    // Stopped after the first block, as by Ctrl-C.
    let error = #expect(throws: TuneError.self) {
      try recorder.record(isKnown: { recorded[$0] != nil }, isCancelled: { !recorded.isEmpty }) { block in
        for (point, outcome) in block { #expect(recorded.updateValue(outcome, forKey: point) == nil) }
      }
    }
    #expect(error?.code == .interrupted)
    #expect(!recorded.isEmpty && recorded.count < knobs.points.count)
    try recorder.record(isKnown: { recorded[$0] != nil }, isCancelled: { false }) { block in
      for (point, outcome) in block { #expect(recorded.updateValue(outcome, forKey: point) == nil) }
    }
    #expect(Set(recorded.keys) == Set(knobs.points))
    for outcome in recorded.values {
      guard case .samples(let samples) = outcome else {
        // Which points are ten times slower than the fastest depends on the host; nothing else may fail.
        if case .failed(let failure) = outcome, failure.name == "slow" { continue }
        Issue.record("a legal point was \(outcome)")
        continue
      }
      #expect(samples.count >= 3 && samples.allSatisfy { $0 > 0 })
    }
  }
}
