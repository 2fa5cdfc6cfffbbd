import Testing
import WallclockCore
import WallclockProfiles

@testable import WallclockPlanner

@Suite struct RescalingTests {
  private let problem = Problem.gemm(.w8a8, m: 128, n: 384, k: 384, epilogue: .bias, state: .warm)
  private let two = Schedule(kernel: "gemm_u8s8_x_6x64", threads: 2)

  private func time(
    _ nanoseconds: Double, _ schedule: Schedule, then: Rescaling.Ceilings, now: Rescaling.Ceilings
  ) -> Double {
    Rescaling.nanoseconds(nanoseconds, of: problem, schedule, peak: "int8", then: then, now: now)
  }

  @Test func arithmeticGoesWithItsPeak() {
    #expect(time(1000, Schedule(kernel: "k"), then: ["int8": 100], now: ["int8": 50]) == 2000)
    #expect(time(1000, Schedule(kernel: "k"), then: [:], now: ["int8": 50]) == 1000)
    #expect(time(1000, Schedule(kernel: "k"), then: ["int8": 100], now: ["int8": 0]) == 1000)
  }

  @Test func exchangeGoesWithTheLatencyBetweenCores() {
    let slow = time(50_000, two, then: ["handoff": 60], now: ["handoff": 270])
    #expect(slow == 50_000 + Rescaling.handoffs(in: problem, two) * 210)
    #expect(time(slow, two, then: ["handoff": 270], now: ["handoff": 60]).rounded() == 50_000)
    // One thread exchanges nothing, and an unknown latency changes nothing.
    #expect(time(50_000, Schedule(kernel: "k"), then: ["handoff": 60], now: ["handoff": 270]) == 50_000)
    #expect(time(50_000, two, then: ["handoff": 60], now: [:]) == 50_000)
    // However long the exchange is thought to be, some of the time stays.
    #expect(time(100, two, then: ["handoff": 1e6], now: ["handoff": 0]) == 25)
  }

  @Test func narrowedActivationsTakeAnotherRegion() {
    let f32 = Problem.gemm(.f32, m: 1, n: 16, k: 16), w8a8 = Problem.gemm(.w8a8, m: 1, n: 16, k: 16)
    #expect(Rescaling.handoffs(in: w8a8, two) > Rescaling.handoffs(in: f32, two))
    #expect(Rescaling.handoffs(in: f32, Schedule(kernel: "k")) == 0)
  }

  /// More to exchange is more to wait for, whatever the op; threads share the rows, not the whole activations.
  @Test(arguments: [
    Problem.gemm(.f32, m: 64, n: 64, k: 64), .gemm(.bf16, m: 64, n: 64, k: 64, epilogue: .residual),
    .gemm(.w4a8g32, m: 64, n: 64, k: 64), .attention(batch: 2, tokens: 64, heads: 2, headDim: 32),
    .rowwise(.layerNorm, rows: 64, channels: 64),
  ])
  func exchangeGrowsWithTheActivations(_ problem: Problem) {
    var larger = problem
    for dimension in [Dimension.m, .tokens, .rows] where larger.shape.sizes[dimension] != nil {
      larger.shape[dimension] *= 4
    }
    #expect(Rescaling.handoffs(in: larger, two) > Rescaling.handoffs(in: problem, two))
    #expect(Rescaling.handoffs(in: problem, two) > 0)
  }

  /// Measurements taken while cores were near and far from each other come to the costs of one distance.
  @Test func costsAreOfOneDistance() throws {
    let profile = Synthetic().profile()
    let model = CostModel(profile: profile)
    var mixed = profile
    for i in mixed.measurements.indices {
      let far = i % 3 == 0
      let m = mixed.measurements[i]
      let threads = m.schedule.threads
      guard threads > 1 else { continue }
      let factor =
        far
        ? Rescaling.nanoseconds(
          m.samples.medianNanoseconds, of: m.problem, m.schedule, peak: nil, then: ["handoff": 1],
          now: ["handoff": 5]) / m.samples.medianNanoseconds : 1
      let interval = m.samples.intervalNanoseconds
      mixed.measurements[i].samples.medianNanoseconds *= factor
      mixed.measurements[i].samples.intervalNanoseconds = interval.lowerBound * factor...interval.upperBound * factor
      mixed.measurements[i].ceilings = [
        Ceiling(name: "handoff", threads: threads, value: far ? 5 : 1, unit: "ns", spread: 0, probe: "p")
      ]
    }
    #expect(mixed.measurements != profile.measurements)
    let corrected = CostModel(profile: mixed)
    for m in profile.measurements {
      let (expected, found) = (
        try model.cost(of: m.problem, threads: m.schedule.threads),
        try corrected.cost(of: m.problem, threads: m.schedule.threads)
      )
      #expect(abs(found.nanoseconds / expected.nanoseconds - 1) < 1e-9, "\(m.problem)")
      // The interval holds what was seen with the cores near and far.
      let seen = try #require(mixed.measurement(of: m.problem, threads: m.schedule.threads)).samples.medianNanoseconds
      #expect(found.interval.contains(seen), "\(m.problem)")
      if m.schedule.threads > 1 { #expect(found.interval.upperBound > expected.interval.upperBound) }
    }
  }
}
