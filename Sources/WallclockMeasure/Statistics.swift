#if canImport(Glibc)
  import Glibc
#endif

/// Order statistics of samples: what holds without assuming a distribution.
package enum OrderStatistics {
  /// The median of sorted samples.
  package static func median(sorted: [Double]) -> Double {
    let n = sorted.count
    precondition(n > 0, "median of no samples")
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2
  }

  package static func median(_ samples: [Double]) -> Double { median(sorted: samples.sorted()) }

  /// The distribution-free 95 % confidence interval of the median: the pair of order statistics
  /// whose ranks are the 2.5 % and 97.5 % points of Binomial(n, ½) (Conover, Practical
  /// Nonparametric Statistics, §3.2). With fewer than six samples no pair reaches 95 %: the whole range.
  package static func medianInterval(sorted: [Double]) -> ClosedRange<Double> {
    let n = sorted.count
    precondition(n > 0, "interval of no samples")
    guard n >= 6 else { return sorted[0]...sorted[n - 1] }
    let lower = lowerRank(n)
    return sorted[lower - 1]...sorted[n - lower]
  }

  /// The largest rank l (from 1) with P(X < l) ≤ 2.5 % for X ~ Binomial(n, ½).
  package static func lowerRank(_ n: Int) -> Int {
    if n > 1000 {
      // The normal approximation, rounded outwards.
      return max(1, Int((Double(n) / 2 - 0.98 * Double(n).squareRoot()).rounded(.down)))
    }
    var term = exp2(-Double(n))
    var cumulative = term
    var rank = 0
    while cumulative <= 0.025, rank < n / 2 {
      rank += 1
      term *= Double(n - rank + 1) / Double(rank)
      cumulative += term
    }
    return max(1, rank)
  }

  /// Half the width of the middle 95 % of the samples, relative to their median.
  package static func relativeSpread(_ samples: [Double]) -> Double {
    let sorted = samples.sorted()
    let n = sorted.count
    guard n > 1 else { return 0 }
    let cut = Int(Double(n) * 0.025)
    return (sorted[n - 1 - cut] - sorted[cut]) / 2 / median(sorted: sorted)
  }
}
