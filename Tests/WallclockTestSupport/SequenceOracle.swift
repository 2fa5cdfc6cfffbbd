import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// Operands of a selective scan over one sequence and what it should make of them, token by token in f64.
package struct Mamba1Oracle {
  package enum Pattern: String, CaseIterable, Sendable {
    case random
    /// Steps so small that the state hardly moves.
    case slow
    /// Steps so large that nothing is left of the state, and some that are no steps at all.
    case extreme
    /// No input: the state falls below the smallest normal number.
    case fading
  }

  package let tokens, channels, states: Int
  /// `tokens×channels`.
  package let u, delta, z: [Float]
  /// `tokens×states`.
  package let b, c: [Float]
  /// `channels`.
  package let skip, deltaBias: [Float]
  /// `channels×states`.
  package let a, start: [Float]
  package let y: [Double]
  /// `channels×states`.
  package let end: [Double]

  package init(tokens: Int, channels: Int, states: Int, pattern: Pattern, seed: UInt64) {
    self.tokens = tokens
    self.channels = channels
    self.states = states
    var random = TestRandom(seed: seed)
    func normal(_ count: Int, _ mean: Double = 0, _ deviation: Double = 1) -> [Float] {
      (0..<count).map { _ in Float(mean + deviation * random.normal()) }
    }
    u = pattern == .fading ? [Float](repeating: 0, count: tokens * channels) : normal(tokens * channels)
    delta =
      switch pattern {
      case .random: normal(tokens * channels, -1)
      case .slow: normal(tokens * channels, -12)
      case .extreme: (0..<tokens * channels).map { [-1e30, -200, 30, 5000, 1e10, -.infinity][$0 % 6] }
      case .fading: normal(tokens * channels, 2)
      }
    z = normal(tokens * channels)
    b = normal(tokens * states)
    c = normal(tokens * states)
    skip = normal(channels)
    deltaBias = normal(channels, 0, 0.1)
    let depth: Float = pattern == .extreme ? 1000 : 1
    // The kernels take A·log₂e in f32; these products are exact, so that both sides know the same A.
    a = (0..<channels * states).map { -depth * Float($0 % states + 1) * (pattern == .slow ? 0x1p-6 : 1) }
    start = normal(channels * states)

    var h = start.map(Double.init)
    var y = [Double](repeating: 0, count: tokens * channels)
    for t in 0..<tokens {
      for d in 0..<channels {
        let i = t * channels + d
        let raw = Double(delta[i]) + Double(deltaBias[d])
        let step = raw > 20 ? raw : log1p(exp(raw))
        var sum = Double(skip[d]) * Double(u[i])
        for n in 0..<states {
          let decay = exp(step * Double(a[d * states + n]))
          h[d * states + n] = decay * h[d * states + n] + step * Double(u[i]) * Double(b[t * states + n])
          sum += Double(c[t * states + n]) * h[d * states + n]
        }
        y[i] = sum * Double(z[i]) / (1 + exp(-Double(z[i])))
      }
    }
    self.y = y
    end = h
  }
}

/// Operands of a short causal convolution over one sequence and what it should make of them, in f64.
package struct Conv1dOracle {
  package let tokens, channels, width: Int
  package let silu: Bool
  /// `tokens×channels`, `channels×width`, `channels`, `channels×(width − 1)`.
  package let x, weight, bias, start: [Float]
  package let y, end: [Double]

  package init(tokens: Int, channels: Int, width: Int, silu: Bool, seed: UInt64) {
    self.tokens = tokens
    self.channels = channels
    self.width = width
    self.silu = silu
    var random = TestRandom(seed: seed)
    func normal(_ count: Int) -> [Float] { (0..<count).map { _ in Float(random.normal()) } }
    let x = normal(tokens * channels)
    let weight = normal(channels * width)
    let bias = normal(channels)
    let start = normal(channels * (width - 1))
    var y = [Double](repeating: 0, count: tokens * channels)
    var end: [Double] = []
    for c in 0..<channels {
      let rows = start[c * (width - 1)..<(c + 1) * (width - 1)] + (0..<tokens).map { x[$0 * channels + c] }
      let all = rows.map(Double.init)
      for t in 0..<tokens {
        let sum = (0..<width).reduce(Double(bias[c])) { $0 + Double(weight[c * width + $1]) * all[t + $1] }
        y[t * channels + c] = silu ? sum / (1 + exp(-sum)) : sum
      }
      end += all.suffix(width - 1)
    }
    (self.x, self.weight, self.bias, self.start) = (x, weight, bias, start)
    (self.y, self.end) = (y, end)
  }
}

/// ‖found − expected‖ as a fraction of what `Tolerance.sequence` allows; infinite where a NaN is not due.
package func sequenceExcess(_ found: [Float], _ expected: [Double]) -> Double {
  precondition(found.count == expected.count, "\(found.count) values against \(expected.count)")
  var difference = 0.0
  var norm = 0.0
  for (x, y) in zip(found, expected) {
    difference += (Double(x) - y) * (Double(x) - y)
    norm += y * y
  }
  return excess(difference.squareRoot(), 0, allowed: Tolerance.sequence(norm: norm.squareRoot()))
}
