import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// Operands of RWKV-4's operator over one sequence and what it should make of them, in f64.
package struct RWKV4Oracle {
  package enum Pattern: String, CaseIterable, Sendable {
    case random
    /// Decays so slow that sums hardly fade.
    case slow
    /// Exponents of ±80, some that are −∞, decays and bonuses of hundreds.
    case extreme
    /// Exponents that keep falling, so that an old token outweighs all that follow.
    case falling
  }

  package let tokens, channels: Int
  /// `tokens×channels`.
  package let k, v: [Float]
  /// `channels`.
  package let decay, bonus: [Float]
  /// `channels×3`: A, B, P.
  package let start: [Float]
  package let y: [Double]
  /// `channels` each: the sums and the logarithm of their unit.
  package let above, below, unit: [Double]

  /// - Parameter isEmpty: whether nothing came before.
  package init(tokens: Int, channels: Int, pattern: Pattern, isEmpty: Bool, seed: UInt64) {
    self.tokens = tokens
    self.channels = channels
    var random = TestRandom(seed: seed)
    func normal(_ count: Int, _ mean: Double = 0, _ deviation: Double = 1) -> [Float] {
      (0..<count).map { _ in Float(mean + deviation * random.normal()) }
    }
    v = normal(tokens * channels)
    switch pattern {
    case .random:
      k = normal(tokens * channels, 0, 2)
      decay = normal(channels).map { exp($0) }
      bonus = normal(channels)
    case .slow:
      k = normal(tokens * channels, 1, 1)
      decay = (0..<channels).map { $0 % 3 == 0 ? 0 : 1e-4 * Float($0) }
      bonus = normal(channels)
    case .extreme:
      // Something is in the sums from the first token on, unless the state has it.
      k = (0..<tokens * channels).map { [80, -80, 0, -.infinity, 79.5, -3][($0 / max(1, channels) * 7 + $0) % (tokens > 0 && $0 < channels ? 3 : 6)] }
      decay = (0..<channels).map { [0, 400, 0.01, 1e5, 41.7, 3][$0 % 6] }
      bonus = (0..<channels).map { [0, 3, -200, 150, 41, -41.9][($0 / 6 + $0) % 6] }
    case .falling:
      k = (0..<tokens * channels).map { 5 - 3 * Float($0 / max(1, channels)) }
      decay = (0..<channels).map { [0.6, 1e-3, 0.69, 2.9][$0 % 4] }
      bonus = normal(channels)
    }
    let sums = normal(channels)
    start = (0..<channels).flatMap { isEmpty ? [0, 0, -1e38] as [Float] : [sums[$0], 1.25, 4 * sums[$0]] }

    let ln2 = 0.693147180559945309
    var y = [Double](repeating: 0, count: tokens * channels)
    var (above, below, unit): ([Double], [Double], [Double]) = ([], [], [])
    for c in 0..<channels {
      // Sums of e^(exponent − top), so that no exponent is too large for f64.
      var (n, d) = (Double(start[3 * c]), Double(start[3 * c + 1]))
      var top = d == 0 ? -Double.infinity : ln2 * Double(start[3 * c + 2].rounded(.toNearestOrEven))
      let (w, u) = (Double(decay[c]), Double(bonus[c]))
      for t in 0..<tokens {
        let (exponent, value) = (Double(k[t * channels + c]), Double(v[t * channels + c]))
        let most = max(top, u + exponent)
        let (old, own) = (most == top ? 1 : exp(top - most), exp(u + exponent - most))
        y[t * channels + c] = (old * n + own * value) / (old * d + own)
        let next = max(top - w, exponent)
        let (kept, weight) = (exp(top - w - next), exp(exponent - next))
        (n, d, top) = (kept * n + weight * value, kept * d + weight, next)
      }
      above.append(n)
      below.append(d)
      unit.append(top)
    }
    (self.y, self.above, self.below, self.unit) = (y, above, below, unit)
  }

  /// Sums of a state that a kernel left, `channels×3`, in the oracle's units; `channels×2`.
  package func sums(of state: [Float]) -> [Float] {
    (0..<channels).flatMap { c in
      let scale = exp(0.693147180559945309 * Double(state[3 * c + 2].rounded(.toNearestOrEven)) - unit[c])
      return [Float(Double(state[3 * c]) * scale), Float(Double(state[3 * c + 1]) * scale)]
    }
  }
  package var expectedSums: [Double] { (0..<channels).flatMap { [above[$0], below[$0]] } }
}

/// Operands of a diagonal state space over one sequence and what it should make of them, token by token in f64.
package struct S4DOracle {
  package let tokens, channels, pairs: Int
  /// `tokens×channels`.
  package let u: [Float]
  package let skip: [Float]
  /// `channels×pairs×2`: λ; C, its imaginary part negated; the state.
  package let lambda, c, start: [Float]
  package let y: [Double]
  package let end: [Double]

  /// - Parameter fades: whether there is no input and little of the state is left after a token.
  package init(tokens: Int, channels: Int, pairs: Int, begins: Bool, fades: Bool = false, seed: UInt64) {
    self.tokens = tokens
    self.channels = channels
    self.pairs = pairs
    var random = TestRandom(seed: seed)
    let values = channels * pairs * 2
    func normal(_ count: Int) -> [Float] { (0..<count).map { _ in Float(random.normal()) } }
    let u = fades ? [Float](repeating: 0, count: tokens * channels) : normal(tokens * channels)
    let skip = normal(channels)
    let lambda = (0..<channels * pairs).flatMap { n -> [Float] in
      // From none at all to almost one, and both ends themselves.
      let size = fades ? 1e-9 : [0.0, 0.5, 0.99, 1, 0.9995][n % 5]
      let turn = 3.2 * random.normal()
      return [Float(size * cos(turn)), Float(size * sin(turn))]
    }
    let c = normal(values)
    let start = begins ? [Float](repeating: 0, count: values) : normal(values)
    var h = start.map(Double.init)
    var y = [Double](repeating: 0, count: tokens * channels)
    for t in 0..<tokens {
      for d in 0..<channels {
        let input = Double(u[t * channels + d])
        var sum = Double(skip[d]) * input
        for n in 0..<pairs {
          let i = 2 * (d * pairs + n)
          let (lr, li, r, s) = (Double(lambda[i]), Double(lambda[i + 1]), h[i], h[i + 1])
          (h[i], h[i + 1]) = (lr * r - li * s + input, lr * s + li * r)
          sum += Double(c[i]) * h[i] + Double(c[i + 1]) * h[i + 1]
        }
        y[t * channels + d] = sum
      }
    }
    (self.u, self.skip, self.lambda, self.c, self.start, self.y) = (u, skip, lambda, c, start, y)
    end = h
  }
}
