import Testing
import WallclockMeasure
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct StatisticsTests {
  /// P(X < rank) for X ~ Binomial(n, ½), by logarithms of factorials.
  private func below(_ rank: Int, _ n: Int) -> Double {
    func logFactorial(_ x: Int) -> Double { lgamma(Double(x) + 1) }
    var total = 0.0
    for k in 0..<rank {
      total += exp(logFactorial(n) - logFactorial(k) - logFactorial(n - k) - Double(n) * log(2))
    }
    return total
  }

  @Test func ranksAreThoseOfTheBinomialTable() {
    // Lower ranks of the 95 % interval of the median: Conover, Practical Nonparametric Statistics, table A3.
    let table = [
      6: 1, 7: 1, 8: 1, 9: 2, 10: 2, 11: 2, 12: 3, 15: 4, 17: 5, 20: 6, 25: 8, 30: 10, 50: 18, 100: 40,
    ]
    for (n, rank) in table { #expect(OrderStatistics.lowerRank(n) == rank, "n=\(n)") }
  }

  @Test func ranksAreTheNarrowestThatCover() {
    for n in Array(6...300) + [500, 999, 1000] {
      let rank = OrderStatistics.lowerRank(n)
      #expect(below(rank, n) <= 0.025, "n=\(n)")
      #expect(below(rank + 1, n) > 0.025, "n=\(n)")
    }
    // Beyond, an approximation that may be one rank too wide.
    for n in [1001, 1002, 1500, 2000, 5000] {
      let rank = OrderStatistics.lowerRank(n)
      #expect(below(rank, n) <= 0.025, "n=\(n)")
      #expect(below(rank + 2, n) > 0.025, "n=\(n)")
    }
  }

  @Test func medianAndInterval() {
    #expect(OrderStatistics.median([3, 1, 2]) == 2)
    #expect(OrderStatistics.median([4, 1, 2, 3]) == 2.5)
    #expect(OrderStatistics.median([7]) == 7)
    #expect(OrderStatistics.medianInterval(sorted: [1, 2, 3, 4, 5]) == 1...5, "too few for 95 %")
    #expect(OrderStatistics.medianInterval(sorted: (1...20).map(Double.init)) == 6...15)
    #expect(OrderStatistics.relativeSpread([5]) == 0)
    #expect(OrderStatistics.relativeSpread([9, 10, 11]) == 0.1)
    // The middle 95 % leaves out one of forty at each end.
    var samples = [Double](repeating: 10, count: 38)
    samples += [1, 100]
    #expect(OrderStatistics.relativeSpread(samples) == 0)
  }

  @Test(arguments: [6, 11, 25, 101]) func intervalsCoverTheMedian(n: Int) {
    // Skewed, like times: exponential, median ln 2.
    var random = TestRandom(seed: UInt64(n))
    let trials = 4000
    var covered = 0
    for _ in 0..<trials {
      let samples = (0..<n).map { _ in -log((Double(random.next() >> 11) + 0.5) * 0x1p-53) }.sorted()
      if OrderStatistics.medianInterval(sorted: samples).contains(log(2)) { covered += 1 }
    }
    let share = Double(covered) / Double(trials)
    let exact = 1 - 2 * below(OrderStatistics.lowerRank(n), n)
    // Four standard deviations of a share of 4000.
    #expect(abs(share - exact) < 4 * (exact * (1 - exact) / Double(trials)).squareRoot(), "\(share), exact \(exact)")
    #expect(exact >= 0.95)
  }
}
