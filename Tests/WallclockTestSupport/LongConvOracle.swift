import WallclockKernels

/// Operands of a long convolution of one sequence and what it should give, by direct sums in f64.
package struct LongConvOracle {
  package let tokens, channels, length: Int
  /// `tokens×channels`, `length×channels`, `channels`.
  package let x, taps, skip: [Float]
  /// `tokens×channels`, and how far from it one may be.
  package let y, bounds: [Double]

  package init(tokens: Int, channels: Int, length: Int, seed: UInt64) {
    self.tokens = tokens
    self.channels = channels
    self.length = length
    var random = TestRandom(seed: seed)
    let x = (0..<tokens * channels).map { _ in Float(random.normal()) }
    let taps = (0..<length * channels).map { _ in Float(random.normal()) }
    let skip = (0..<channels).map { _ in Float(random.normal()) }
    var y = [Double](repeating: 0, count: tokens * channels)
    var bounds = y
    for c in 0..<channels {
      let column = (0..<tokens).map { Double(x[$0 * channels + c]) }
      let filter = (0..<length).map { Double(taps[$0 * channels + c]) }
      func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
      for t in 0..<tokens {
        var sum = 0.0
        for s in 0...t { sum += filter[s] * column[t - s] }
        let own = Double(skip[c]) * column[t]
        y[t * channels + c] = sum + own
        bounds[t * channels + c] = Tolerance.longConv(length: length, x: norm(column), filter: norm(filter), skip: abs(own))
      }
    }
    (self.x, self.taps, self.skip, self.y, self.bounds) = (x, taps, skip, y, bounds)
  }
}
