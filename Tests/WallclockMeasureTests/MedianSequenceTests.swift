import Testing
import WallclockMeasure
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct MedianSequenceTests {
  @Test func wealthIsTheIntegralItIsMeantToBe() {
    var rank = SignRank(errorRate: 0.01)
    for n in 1...120 {
      rank.advance()
      for k in [(n + 1) / 2, (3 * n + 3) / 4, n] {
        // ∫ 2 · 2ⁿ pᵏ (1 − p)ⁿ⁻ᵏ dp over ½ … 1, by the midpoint rule.
        let steps = 20_000
        var sum = 0.0
        for step in 0..<steps {
          let p = 0.5 + (Double(step) + 0.5) / Double(2 * steps)
          sum += exp(Double(n) * log(2) + Double(k) * log(p) + Double(n - k) * log(1 - p))
        }
        let integral = 2 * sum / Double(2 * steps)
        #expect(abs(rank.logWealth(k, n) - log(integral)) < 1e-6, "k=\(k) n=\(n)")
      }
    }
  }

  @Test func ranksAreTheLeastThatWin() {
    for errorRate in [0.05, 0.01, 0.001] {
      var rank = SignRank(errorRate: errorRate)
      for n in 1...400 {
        rank.advance()
        if let k = rank.needed {
          #expect(rank.logWealth(k, n) >= -log(errorRate) && 2 * k > n, "n=\(n)")
          #expect(rank.logWealth(k - 1, n) < -log(errorRate), "n=\(n)")
        } else {
          #expect(rank.logWealth(n, n) < -log(errorRate), "n=\(n)")
        }
      }
    }
    // 2¹⁰ · (1 − 2⁻¹⁰) / 10 = 102.3 is the first to pass 100.
    var rank = SignRank(errorRate: 0.01)
    for _ in 0..<8 { rank.advance() }
    #expect(rank.needed == nil)
    rank.advance()
    #expect(rank.needed == 9)
  }

  @Test func intervalsAreOrderStatistics() {
    var sequence = MedianSequence(errorRate: 0.01)
    for value in [5, 3, 9, 1, 7, 2, 8, 6] as [Double] { sequence.append(value) }
    #expect(sequence.interval == nil, "too few for any")
    sequence.append(4)
    #expect(sequence.sorted == [1, 2, 3, 4, 5, 6, 7, 8, 9])
    #expect(sequence.interval == 1...9 && sequence.median == 5)
  }

  /// Streams whose median is 0 given the past, and which do not stay put otherwise.
  enum Stream: CaseIterable {
    case normal, cauchy, skewed, bursts, changingScale, coin

    func values(_ random: inout TestRandom, _ count: Int) -> [Double] {
      var scale = 1.0
      return (0..<count).map { i in
        switch self {
        case .normal: return random.normal()
        case .cauchy: return random.normal() / random.normal()
        // Exponential about its median.
        case .skewed: return -log((Double(random.next() >> 11) + 0.5) * 0x1p-53) - log(2)
        // For a while, a hundredfold.
        case .bursts: return random.normal() * (i / 20 % 4 == 3 ? 100 : 1)
        // Each value as wide as the last was large.
        case .changingScale:
          let value = random.normal() * scale
          scale = 0.1 + abs(value)
          return value
        case .coin: return random.next() & 1 == 0 ? -1 : 1
        }
      }
    }
  }

  @Test(arguments: Stream.allCases) func neverLooksAwayFromTheMedian(stream: Stream) {
    var random = TestRandom(seed: 7)
    let trials = 2000
    var above = 0, below = 0
    for _ in 0..<trials {
      var sequence = MedianSequence(errorRate: 0.05)
      var missed: (above: Bool, below: Bool) = (false, false)
      for value in stream.values(&random, 400) {
        sequence.append(value)
        guard let interval = sequence.interval else { continue }
        if interval.lowerBound > 0 { missed.above = true }
        if interval.upperBound < 0 { missed.below = true }
      }
      if missed.above { above += 1 }
      if missed.below { below += 1 }
    }
    // Four deviations of a share of 2000 above 5 %.
    let most = Int(2000 * (0.05 + 4 * (0.05 * 0.95 / 2000).squareRoot()))
    #expect(above <= most && below <= most, "\(above) and \(below) of \(trials)")
    // And it is a test, not a refusal to say anything.
    #expect(above + below > 10, "\(above) and \(below) of \(trials)")
  }

  /// What the sequence is for: an ordinary interval looked at after each value is wrong far more often.
  @Test func anOrdinaryIntervalWouldNot() {
    var random = TestRandom(seed: 7)
    var missed = 0
    for _ in 0..<400 {
      var values: [Double] = []
      for value in Stream.normal.values(&random, 400) {
        values.append(value)
        guard values.count >= 9 else { continue }
        if !OrderStatistics.medianInterval(sorted: values.sorted()).contains(0) {
          missed += 1
          break
        }
      }
    }
    #expect(missed > 80, "\(missed) of 400: at 95 %, once, it would be 20")
  }
}
