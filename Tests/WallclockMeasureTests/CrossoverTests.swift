import Testing
import WallclockMeasure

@Suite struct CrossoverTests {
  /// Ratios at contexts 100, 200, 400, …; decided where they are more than 1 % from 1.
  private func points(_ ratios: [Double]) -> [Crossover.Point] {
    ratios.enumerated().map { i, ratio in
      Crossover.Point(
        context: 100 << i, ratio: ratio, interval: ratio * 0.995...ratio * 1.005,
        outcome: ratio > 1.01 ? .better : ratio < 0.99 ? .worse : .undecided)
    }
  }

  @Test func liesBetweenTheLastThatIsNotFasterAndTheNext() throws {
    // The ratio is √(context / 200) × 2^-0.25: it passes 1 at 200 × √2.
    let crossover = Crossover(points([0.5, 1, 2, 4].map { ($0).squareRoot() * 0.840896 }))
    #expect(crossover.verdict == .from)
    #expect(crossover.between == 200...400)
    #expect(try abs(#require(crossover.context) - 282.84) < 0.1)
  }

  @Test func alwaysAndNever() {
    #expect(Crossover(points([1.2, 3])).verdict == .always)
    #expect(Crossover(points([1.2, 3])).context == 100)
    #expect(Crossover(points([0.4, 0.9])).verdict == .never)
    #expect(Crossover(points([0.4, 0.9])).context == nil)
  }

  @Test func aRelapseCounts() {
    // Faster at 100, not at 200: it begins after that.
    let crossover = Crossover(points([1.5, 0.8, 1.6]))
    #expect(crossover.between == 200...400)
    #expect(crossover.verdict == .from)
  }

  @Test func undecidedIsNotFaster() {
    #expect(Crossover(points([0.5, 1.005])).verdict == .never)
    // Level before, on the right side of 1: the estimate is where it was level.
    #expect(Crossover(points([1.005, 2])).context == 100)
    #expect(Crossover(points([0.995, 2])).verdict == .from)
  }

  @Test func stopsOnceItIsClear() {
    #expect(!Crossover.isClear(points([1.5])))
    #expect(Crossover.isClear(points([0.5, 1.5, 3])))
    #expect(!Crossover.isClear(points([0.5, 3, 1.5])))
    #expect(!Crossover.isClear(points([1.5, 0.9])))
  }
}
