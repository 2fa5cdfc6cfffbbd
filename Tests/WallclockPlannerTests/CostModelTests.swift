import Foundation
import Testing
import WallclockCore
import WallclockModels
import WallclockProfiles

@testable import WallclockPlanner

@Suite struct CostModelTests {
  let synthetic = Synthetic()
  let model = CostModel(profile: Synthetic().profile())

  private func error(_ problem: Problem, _ threads: Int) throws -> Double {
    let cost = try model.cost(of: problem, threads: threads)
    let truth = synthetic.nanoseconds(problem, threads)
    #expect(cost.evidence == .predicted)
    #expect(cost.interval.contains(cost.nanoseconds))
    #expect(cost.interval.contains(truth), "\(problem): \(truth) is outside \(cost.interval)")
    return abs(cost.nanoseconds - truth) / truth
  }

  @Test func measuredPointsComeBackAsTheyAre() throws {
    for measurement in synthetic.profile().measurements {
      let cost = try model.cost(of: measurement.problem, threads: measurement.schedule.threads)
      #expect(cost.evidence == .measured)
      #expect(cost.nanoseconds == measurement.samples.medianNanoseconds)
      #expect(cost.interval == measurement.samples.intervalNanoseconds)
      #expect(cost.schedule == measurement.schedule)
    }
  }

  @Test(arguments: [32, 64, 100, 200, 256, 1000, 2047])
  func interpolatesOverRows(m: Int) throws {
    for format in [Format.f32, .w8a8, .w4a8g32] {
      #expect(try error(.gemm(format, m: m, n: 384, k: 384, epilogue: .bias, state: .warm), 2) < 0.05)
    }
    #expect(try error(.rowwise(.layerNorm, rows: m, channels: 384, state: .warm), 1) < 0.05)
  }

  @Test func interpolatesAttentionOverTokensAndPairs() throws {
    for tokens in [17, 64, 200, 300, 511] {
      #expect(try error(.attention(batch: 1, tokens: tokens, heads: 12, headDim: 32, state: .warm), 1) < 0.05)
    }
    #expect(try error(.attention(batch: 16, tokens: 128, heads: 12, headDim: 32, state: .warm), 2) < 1e-9)
    #expect(try error(.attention(batch: 3, tokens: 64, heads: 6, headDim: 32, state: .warm), 2) < 0.05)
  }

  @Test func predictsWeightsInsideTheHull() throws {
    #expect(try error(.gemm(.f32, m: 128, n: 768, k: 384, epilogue: .bias, state: .warm), 1) < 0.1)
    #expect(try error(.gemm(.f32, m: 512, n: 600, k: 700, epilogue: .bias, state: .warm), 2) < 0.1)
  }

  @Test func anotherEpilogueIsAPrediction() throws {
    let cost = try model.cost(of: .gemm(.w8a8, m: 128, n: 384, k: 384, epilogue: [.bias, .gelu], state: .warm), threads: 1)
    #expect(cost.evidence == .predicted)
    #expect(
      cost.nanoseconds == synthetic.nanoseconds(.gemm(.w8a8, m: 128, n: 384, k: 384, epilogue: .bias, state: .warm), 1))
  }

  @Test(arguments: [OperandState.warm, .cold])
  func theOtherStateIsBounded(known: OperandState) throws {
    var only = synthetic
    only.states = [known]
    let model = CostModel(profile: only.profile())
    let wanted: OperandState = known == .warm ? .cold : .warm
    for format in [Format.f32, .w8a8] {
      let problem = Problem.gemm(format, m: 128, n: 1536, k: 384, epilogue: .bias, state: wanted)
      let cost = try model.cost(of: problem, threads: 1)
      #expect(cost.evidence == .predicted)
      #expect(cost.interval.contains(synthetic.nanoseconds(problem, 1)))
    }
  }

  @Test(arguments: [
    Problem.gemm(.f32, m: 8, n: 384, k: 384, state: .warm), .gemm(.f32, m: 4096, n: 384, k: 384, state: .warm),
    .gemm(.w4a8g64, m: 128, n: 384, k: 384, state: .warm), .gemm(.f32, m: 128, n: 4096, k: 4096, state: .warm),
    .gemm(.f32, m: 128, n: 383, k: 384, state: .warm), .attention(batch: 1, tokens: 1024, heads: 12, headDim: 32, state: .warm),
    .attention(batch: 1, tokens: 128, heads: 12, headDim: 64, state: .warm), .rowwise(.gelu, rows: 128, channels: 384, state: .warm),
    .rowwise(.layerNorm, rows: 1, channels: 384, state: .warm),
  ])
  func refusesOutsideTheHull(problem: Problem) throws {
    let error = try #require(throws: PlannerError.self) { try model.cost(of: problem, threads: 1) }
    #expect(error.code == .notMeasured)
    #expect(error.exitStatus == .unavailable)
    #expect(error.message.contains("`wallclock tune --ops \(problem.op.rawValue)"), "\(error.message)")
    #expect(PlannerError.tuneCommand(for: problem, threads: 1).hasSuffix("--state warm --threads 1"))
  }

  @Test func refusesUnknownThreadCounts() {
    #expect(throws: PlannerError.self) { try model.cost(of: .gemm(.f32, m: 128, n: 384, k: 384, state: .warm), threads: 3) }
  }

  /// More rows never cost less, whatever the noise in what was measured.
  @Test func interpolationIsMonotone() throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("interpolationIsMonotone: seed \(seed)")
    var random = SplitMix64(seed: seed)
    var points: [Curve.Point] = []
    for x in [1, 6, 16, 30, 128, 500, 2048] {
      let time = Double(x) * Double.random(in: 0.3...3, using: &random)
      points.append(
        Curve.Point(
          x: x,
          cost: PredictedCost(
            nanoseconds: time, interval: time * 0.9...time * 1.1, evidence: .measured,
            schedule: Schedule(kernel: "gemm_f32f32_avx2_6x16"))))
    }
    for law in [Curve.Law.linearInTiles, .quadratic] {
      let curve = Curve(law: law, points: points)
      let between = (1...2048).filter { x in !points.contains { $0.x == x } }
        .compactMap { curve.cost(at: $0)?.nanoseconds }
      #expect(between.count == 2041)
      #expect(zip(between, between.dropFirst()).allSatisfy { $0 <= $1 * (1 + 1e-12) }, "seed \(seed)")
    }
  }

  @Test func readsTheTileFromAKernelsName() {
    #expect(Curve.tileRows(of: "gemm_s8q4g32_avx2_4x8") == 4)
    for name in ["ssmscan_f32_neon", "", "x", "gemm_1x", "gemm_x8", "gemm_0x8", "gemm_99999999x8"] {
      #expect(Curve.tileRows(of: name) == 1)
    }
  }

  @Test func poolsAdjacentViolators() {
    #expect(Curve.poolAdjacentViolators([1, 3, 2, 4]) == [1, 2.5, 2.5, 4])
    #expect(Curve.poolAdjacentViolators([3, 2, 1]) == [2, 2, 2])
    #expect(Curve.poolAdjacentViolators([]) == [])
  }

  @Test func convexHull() {
    typealias P = ConvexHull.Point
    let square = [
      P(x: 0, y: 0), P(x: 1, y: 0), P(x: 0, y: 1), P(x: 1, y: 1), P(x: 0.5, y: 0.5), P(x: 0.5, y: 0),
    ]
    #expect(ConvexHull.contains(square, P(x: 0.2, y: 0.9)))
    #expect(ConvexHull.contains(square, P(x: 1, y: 0.5)))
    #expect(!ConvexHull.contains(square, P(x: 1.01, y: 0.5)))
    let line = [P(x: 0, y: 0), P(x: 1, y: 1), P(x: 2, y: 2)]
    #expect(ConvexHull.contains(line, P(x: 1.5, y: 1.5)))
    #expect(!ConvexHull.contains(line, P(x: 1.5, y: 1.4)))
    #expect(!ConvexHull.contains(line, P(x: 3, y: 3)))
    #expect(ConvexHull.contains([P(x: 1, y: 1)], P(x: 1, y: 1)))
    #expect(!ConvexHull.contains([], P(x: 1, y: 1)))
  }

  @Test func leaveOneOutErrorIsSmallOnASmoothMachine() throws {
    let error = try #require(CostModel.leaveOneOutError(synthetic.profile()))
    #expect(error.count > 50)
    #expect(error.median < 0.1)
  }
}
