#if canImport(Glibc)
  import Glibc
#endif

/// A confidence sequence for the median of a stream: intervals of which, with the stated probability,
/// *every* one holds the median, so that one may look after each value and stop when one likes.
///
/// Looking again and again at an ordinary 95 % interval finds a difference between identical things
/// sooner or later. Here a median of at most x is rejected once the signs of the values about x are
/// too lopsided for any betting against a fair coin to be luck: the wealth
/// `E(k, n) = ∫ 2 · 2ⁿ pᵏ (1 − p)ⁿ⁻ᵏ dp` over p in ½ … 1, for k of n values above x, is a
/// supermartingale when each value exceeds x with probability ½ at most *given those before it*, so it
/// passes 1/α at any time with probability α at most (Ville 1939; Robbins, Annals of Mathematical
/// Statistics 41, 1970; for quantiles Howard and Ramdas, Bernoulli 28, 2022). Nothing else is assumed:
/// no distribution, no moments, no constant spread, so bursts, drift of the scale and heavy tails cost
/// values, not validity.
package struct MedianSequence: Sendable {
  /// The chance that any interval of the sequence lies wholly above, or wholly below, the median.
  package let errorRate: Double
  package private(set) var sorted: [Double] = []
  private var rank: SignRank

  /// - Parameter errorRate: per side, in 0 … 1.
  package init(errorRate: Double) {
    self.errorRate = errorRate
    rank = SignRank(errorRate: errorRate)
  }

  package var count: Int { sorted.count }
  package var median: Double { OrderStatistics.median(sorted: sorted) }

  package mutating func append(_ value: Double) {
    var low = 0, high = sorted.count
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < value { low = middle + 1 } else { high = middle }
    }
    sorted.insert(value, at: low)
    rank.advance()
  }

  /// The interval after the values so far; nil when there are too few for any.
  package var interval: ClosedRange<Double>? {
    guard let k = rank.needed else { return nil }
    return sorted[sorted.count - k]...sorted[k - 1]
  }
}

/// How many of n fair signs must agree before `MedianSequence`'s bet against them has won enough.
package struct SignRank: Sendable {
  private let logThreshold: Double
  private var logFactorials: [Double] = [0, 0]
  private var n = 0
  /// The least k of n with E(k, n) ≥ 1/α, never under n/2; nil when not even k = n is enough.
  package private(set) var needed: Int?

  package init(errorRate: Double) {
    precondition(errorRate > 0 && errorRate < 1, "SignRank: an error rate of \(errorRate)")
    logThreshold = -log(errorRate)
  }

  package mutating func advance() {
    n += 1
    logFactorials.append(logFactorials[n] + log(Double(n + 1)))
    // The rank grows by one or stays.
    var k = needed ?? n
    while k <= n, logWealth(k, n) < logThreshold { k += 1 }
    needed = k <= n ? k : nil
  }

  /// log E(k, n) for k ≥ n/2. The integral is an incomplete beta function, which for whole numbers is
  /// a binomial sum: `E = 2ⁿ⁺¹ / ((n + 1) · C(n, k)) · P(X ≤ k)`, X ~ Binomial(n + 1, ½).
  package func logWealth(_ k: Int, _ n: Int) -> Double {
    let logChoose = logFactorials[n] - logFactorials[k] - logFactorials[n - k]
    // P(X > k), from its largest term down.
    var term = exp(logFactorials[n + 1] - logFactorials[k + 1] - logFactorials[n - k] - Double(n + 1) * log(2))
    var above = 0.0
    var j = k + 1
    while j <= n + 1, term > 1e-18 {
      above += term
      term *= Double(n + 1 - j) / Double(j + 1)
      j += 1
    }
    return Double(n + 1) * log(2) - log(Double(n + 1)) - logChoose + log(max(0, 1 - above))
  }
}
