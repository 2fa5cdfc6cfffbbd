import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// What the row-wise ops of a decoder should give, in f64.
package enum DecoderRowOracle {
  package static func silu(_ x: Double) -> Double { x == -.infinity ? -0.0 : x / (1 + exp(-x)) }
  package static func geluTanh(_ x: Double) -> Double {
    if x.isInfinite { return x < 0 ? -0.0 : x }
    // ½·(1 + tanh z) without its cancellation.
    return x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  }
  package static func softplus(_ x: Double) -> Double { x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)) }

  /// h/√(mean of h² + epsilon) · weight.
  package static func rmsNorm(_ h: [Float], weight: [Float], epsilon: Float) -> [Double] {
    let square = h.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(h.count)
    let rms = (square + Double(epsilon)).squareRoot()
    return h.indices.map { Double(h[$0]) / rms * Double(weight[$0]) }
  }

  /// A row of nothing but −∞ is zeros.
  package static func softmax(_ x: [Float]) -> [Double] {
    if x.allSatisfy({ $0 == -.infinity }) { return Array(repeating: 0, count: x.count) }
    guard !x.contains(where: { $0.isNaN || $0 == .infinity }) else { return Array(repeating: .nan, count: x.count) }
    let greatest = Double(x.max()!)
    let weights = x.map { exp(Double($0) - greatest) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  /// One head at a position: pairs turned by position·base^(−2i/rotary).
  package static func rope(_ op: Op, _ head: [Float], position: Int, rotary: Int, base: Double = 10_000) -> [Double] {
    var y = head.map(Double.init)
    for i in 0..<rotary / 2 {
      let angle = Double(position) * pow(base, -2 * Double(i) / Double(rotary))
      // The angles' own rounding to f32 belongs to the op.
      let (c, s) = (Double(Float(cos(angle))), Double(Float(sin(angle))))
      let (a, b) = op == .rope ? (i, i + rotary / 2) : (2 * i, 2 * i + 1)
      y[a] = Double(head[a]) * c - Double(head[b]) * s
      y[b] = Double(head[b]) * c + Double(head[a]) * s
    }
    return y
  }

  /// The indices of the k greatest, descending, equal ones by index; k times −1 where there is a NaN.
  package static func topK(_ x: [Float], _ k: Int) -> [Int32] {
    if x.contains(where: \.isNaN) { return Array(repeating: -1, count: k) }
    return x.indices.sorted { x[$0] != x[$1] ? x[$0] > x[$1] : $0 < $1 }.prefix(k).map { Int32($0) }
  }

  /// Of all weight that may be drawn, what lies before `answer` in the order of indices, and with it; nil where it may not
  /// be drawn.
  package static func share(
    of answer: Int, _ x: [Float], temperature: Float, topK: Int?, topP: Float
  ) -> (before: Double, with: Double)? {
    let order = self.topK(x, x.count)
    guard order.first != -1, x[Int(order[0])].isFinite else { return nil }
    if temperature == 0 { return answer == Int(order[0]) ? (0, 1) : nil }
    let greatest = Double(x[Int(order[0])])
    let chosen = order.prefix(topK ?? x.count).map(Int.init)
    let weights = chosen.map { exp((Double(x[$0]) - greatest) / Double(temperature)) }
    let needed = weights.reduce(0, +) * Double(topP)
    var kept: [Int: Double] = [:]
    var sum = 0.0
    for (token, weight) in zip(chosen, weights) where kept.isEmpty || sum < needed {
      kept[token] = weight
      sum += weight
    }
    guard let own = kept[answer] else { return nil }
    let before = kept.reduce(0.0) { $0 + ($1.key < answer ? $1.value : 0) }
    return (before / sum, (before + own) / sum)
  }
}
