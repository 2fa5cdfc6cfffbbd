import Testing
import WallclockCore
import WallclockMeasure
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

/// Deciding over simulated samples: what is found, how often wrongly, and what stops it.
@Suite struct DecisionTests {
  /// What a host does to samples beside the difference sought.
  enum Host: CaseIterable {
    /// 1 % of normal noise.
    case steady
    /// The clock falls by 30 % while sampling.
    case drifting
    /// Now and then everything takes three times as long for a while, within a block too.
    case bursting
    /// A tenth of the samples are up to ten times as long.
    case heavyTailed
    /// Noise that hangs on: each sample's is nine tenths of the last one's.
    case autocorrelated
    /// Whoever goes first in a pair is 5 % slower.
    case firstIsSlower
    /// Half-way the CPUs move apart and everything takes twice as long.
    case migrating
  }

  /// A and B on a host, A slower by `factor`.
  private final class Samples {
    var random: TestRandom
    let host: Host
    let factor: Double
    var number = 0
    var lingering = 0.0
    var burst = 0
    let time = FakeTime()

    init(_ host: Host, factor: Double, seed: UInt64) {
      (self.host, self.factor) = (host, factor)
      random = TestRandom(seed: seed)
    }

    func uniform() -> Double { (Double(random.next() >> 11) + 0.5) * 0x1p-53 }

    func next(isA: Bool) -> Double {
      defer { number += 1 }
      var value = 100_000 * (isA ? factor : 1) * (1 + 0.01 * random.normal())
      switch host {
      case .steady: break
      case .drifting: value *= 1 + 0.3 * min(1, Double(number) / 400)
      case .bursting:
        if burst > 0 { burst -= 1 } else if uniform() < 0.02 { burst = random.integer(1...12) }
        if burst > 0 { value *= 3 }
      case .heavyTailed: if uniform() < 0.1 { value *= min(10, 1 / uniform()) }
      case .autocorrelated:
        lingering = 0.9 * lingering + 0.01 * random.normal()
        value *= 1 + lingering
      case .firstIsSlower: if number % 2 == 0 { value *= 1.05 }
      case .migrating: if number > 60 { value *= 2 }
      }
      return value
    }

    final class Side: ComparedSide {
      let isA: Bool
      let samples: Samples
      var dropped: (Int) -> Bool = { _ in false }
      init(_ samples: Samples, isA: Bool) { (self.samples, self.isA) = (samples, isA) }
      func warmUp(minimum: Duration, _ clock: SampleClock) -> Double { 100_000 }
      func sample(_ clock: SampleClock) -> TimedSample {
        let isDisturbed = dropped(samples.number)
        let value = samples.next(isA: isA)
        samples.time.nanoseconds += UInt64(value)
        samples.time.log.append(isA ? "A" : "B")
        return TimedSample(nanoseconds: isDisturbed ? value * 10 : value, isDisturbed: isDisturbed)
      }
    }

    func decide(_ rule: DecisionRule, dropping: @escaping (Int) -> Bool = { _ in false }) throws -> Decision {
      let (a, b) = (Side(self, isA: true), Side(self, isA: false))
      (a.dropped, b.dropped) = (dropping, dropping)
      return try PairedComparison.decide(
        a, b, rule: rule, clock: time.clock, random: { self.random.next() & 1 == 0 })
    }
  }

  /// How often each outcome comes of `trials` decisions.
  private func outcomes(
    _ host: Host, factor: Double, question: DecisionRule.Question = .replacement, margin: Double = 0.01,
    trials: Int, milliseconds: Int = 300
  ) throws -> [Decision.Outcome: Int] {
    var rule = DecisionRule(question, margin: margin)
    rule.timeCap = .milliseconds(milliseconds)
    var counts: [Decision.Outcome: Int] = [.better: 0, .worse: 0, .undecided: 0]
    for trial in 0..<trials {
      let decision = try Samples(host, factor: factor, seed: UInt64(1000 + trial)).decide(rule)
      counts[decision.outcome]! += 1
    }
    return counts
  }

  @Test(arguments: Host.allCases) func identicalSidesStayAsTheyAre(host: Host) throws {
    // With no margin at all, so that the error rate itself is seen: 1 % per side.
    let found = try outcomes(host, factor: 1, question: .either, margin: 0, trials: 1000)
    // Four deviations of a share of 1000 above 1 %.
    #expect(found[.better]! <= 22 && found[.worse]! <= 22, "\(found)")
    // With the margin a default replaced by its like is the exception of exceptions.
    #expect(try outcomes(host, factor: 1, trials: 1000)[.better]! <= 2)
  }

  @Test(arguments: Host.allCases) func threePercentIsFound(host: Host) throws {
    let faster = try outcomes(host, factor: 1.03, trials: 300)
    #expect(faster[.better]! >= 285, "\(faster)")
    let slower = try outcomes(host, factor: 1 / 1.03, question: .either, trials: 300)
    #expect(slower[.worse]! >= 285, "\(slower)")
  }

  @Test(arguments: Host.allCases) func threePerMilleIsNotDecided(host: Host) throws {
    let found = try outcomes(host, factor: 1.003, trials: 300)
    #expect(found[.undecided]! >= 297, "\(found)")
  }

  @Test func theLargerMarginHides() throws {
    #expect(try outcomes(.steady, factor: 1.03, margin: 0.05, trials: 200) == [.better: 0, .worse: 0, .undecided: 200])
  }

  @Test func saysWhatStoppedIt() throws {
    func stop(_ factor: Double, _ question: DecisionRule.Question, _ change: (inout DecisionRule) -> Void = { _ in }) throws -> Decision {
      var rule = DecisionRule(question)
      change(&rule)
      return try Samples(.steady, factor: factor, seed: 3).decide(rule)
    }
    let better = try stop(1.2, .replacement)
    #expect(better.stop == .decided && better.outcome == .better && better.isSignificant)
    // Nine blocks of two pairs are the least that can say so.
    #expect(better.pairs == 18 && better.interval.contains(better.ratio))
    #expect(better.a.medianNanoseconds > 1.15 * better.b.medianNanoseconds)
    #expect(better.a.stop == .converged)
    #expect(try stop(1, .either).stop == .withinMargin)
    let worse = try stop(1 / 1.2, .replacement)
    #expect(worse.stop == .noGain && worse.outcome == .worse)
    #expect(try stop(1 / 1.2, .either).stop == .decided)
    let capped = try stop(1.01, .either) { $0.timeCap = .milliseconds(5) }
    #expect(capped.stop == .timeCap && capped.outcome == .undecided && capped.a.stop == .timeCap)
    let few = try stop(1.01, .either) { $0.maximumPairs = 40 }
    #expect(few.stop == .pairCap && few.pairs == 40 && few.a.stop == .sampleCap)
    let precise = try stop(1.2, .either) { $0.precision = 0.001 }
    #expect(precise.stop == .decided && precise.pairs > 100)
    #expect(log(precise.interval.upperBound / precise.interval.lowerBound) <= 2 * log1p(0.001))
    // Too few for any interval: the range of what was seen, and nothing is decided.
    let hasty = try stop(2, .either) { $0.maximumPairs = 6 }
    #expect(hasty.outcome == .undecided && hasty.interval.contains(hasty.ratio))
  }

  @Test func blocksAreBalancedAndTurnAtRandom() throws {
    let samples = Samples(.steady, factor: 1, seed: 11)
    var rule = DecisionRule(.either, margin: 0)
    rule.precision = 0
    rule.maximumPairs = 200
    _ = try samples.decide(rule)
    let log = samples.time.log
    let blocks = stride(from: 0, to: log.count, by: 4).map { log[$0..<$0 + 4].joined() }
    #expect(Set(blocks) == ["ABBA", "BAAB"])
    #expect((30...70).contains(blocks.count { $0 == "ABBA" }), "of 100")
  }

  @Test func disturbedBlocksAreDroppedWhole() throws {
    let samples = Samples(.steady, factor: 1, seed: 5)
    var rule = DecisionRule(.either, margin: 0)
    rule.precision = 0
    rule.maximumPairs = 100
    // One sample in every third block.
    let decision = try samples.decide(rule) { $0 % 12 == 2 }
    #expect(decision.pairs + decision.droppedPairs == 100)
    #expect(decision.droppedPairs == 34 && decision.a.dropped == 34)
    #expect(decision.a.medianNanoseconds < 110_000 && decision.interval.upperBound < 1.1)
  }

  @Test func hardlyAnythingLeftIsAnError() throws {
    var rule = DecisionRule(.either)
    rule.maximumPairs = 400
    let error = #expect(throws: MeasureError.self) {
      try Samples(.steady, factor: 1, seed: 5).decide(rule) { $0 % 60 > 3 }
    }
    #expect(error?.code == .tooManyDropped && error?.exitStatus == .unavailable)
  }

  @Test func longRunsGoInSinglePairs() throws {
    let time = FakeTime()
    let side = { (name: String) in InProcessSide(time.side(name) { _ in 5_000_000 }, isHot: true) }
    var rule = DecisionRule(.either, margin: 0)
    rule.precision = 0
    rule.maximumPairs = 8
    let decision = try PairedComparison.decide(
      side("A"), side("B"), rule: rule, clock: time.clock, random: { time.log.count % 4 == 0 })
    try #require(decision.pairs == 8)
    // Warm-up and one sample each to set the pace, then two a pair; no lead-in for 5 ms.
    try #require(time.log.count == 4 + 16)
    for pair in stride(from: 4, to: 20, by: 2) { #expect(Set(time.log[pair..<pair + 2]) == ["A", "B"]) }
  }

  @Test func shortHotSidesAreLedIn() throws {
    let time = FakeTime()
    let side = { (name: String) in InProcessSide(time.side(name) { _ in 100_000 }, isHot: true) }
    var rule = DecisionRule(.either, margin: 0)
    rule.precision = 0
    rule.maximumPairs = 4
    _ = try PairedComparison.decide(side("A"), side("B"), rule: rule, clock: time.clock, random: { true })
    // After the warm-ups, each sample is a run before it and the run that counts.
    #expect(time.log.suffix(8).joined() == "AABBBBAA")
  }
}
