import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// Operands of one head's attention and what its output should be, by plain loops in f64.
package struct AttentionOracle {
  package enum Pattern: String, CaseIterable, Sendable {
    case random
    /// Scores rise along the keys, so that the running maximum moves in every block.
    case rising
    /// Scores fall, so that it never moves after the first.
    case falling
    /// One key outweighs all others by more than f32 can hold.
    case oneHot
  }

  package let queries: Int
  package let keys: Int
  package let d: Int
  package let q: [Float]
  package let k: [Float]
  package let v: [Float]
  package let scale: Float

  package init(queries: Int, keys: Int, d: Int, pattern: Pattern, seed: UInt64) {
    self.queries = queries
    self.keys = keys
    self.d = d
    scale = 1 / Float(max(1, d)).squareRoot()
    var random = TestRandom(seed: seed)
    var q = (0..<queries * d).map { _ in Float(random.normal()) }
    var k = (0..<keys * d).map { _ in Float(random.normal()) }
    v = (0..<keys * d).map { _ in Float(random.normal()) }
    if pattern != .random, d > 0 {
      for i in 0..<queries * d { q[i] = i % d == 0 ? Float(d).squareRoot() : 0 }
      for j in 0..<keys {
        let step = 8 * Float(j + 1) / Float(keys)
        k[j * d] = pattern == .rising ? step : pattern == .falling ? -step : j == keys / 2 ? 2000 : 0
      }
    }
    self.q = q
    self.k = k
  }

  /// `other` with other queries.
  package init(replacing queries: [Float], of other: AttentionOracle) {
    self.queries = other.queries
    keys = other.keys
    d = other.d
    q = queries
    k = other.k
    v = other.v
    scale = other.scale
  }

  /// Keys that query `i` of a sequence of `total` sees.
  package func visible(_ i: Int, total: Int, mask: Mask) -> Int {
    mask == .full ? keys : min(keys, max(0, i + keys - total + 1))
  }

  /// Row `i` of O, the `i`-th query of a sequence of `total`.
  package func output(_ i: Int, total: Int, mask: Mask) -> [Double] {
    output(i, total: total, mask: mask) { Double($0) }
  }

  /// Row `i` of O with |V| in place of V: the size of what is summed.
  package func magnitude(_ i: Int, total: Int, mask: Mask) -> [Double] {
    output(i, total: total, mask: mask) { Double(abs($0)) }
  }

  private func output(_ i: Int, total: Int, mask: Mask, value: (Float) -> Double) -> [Double] {
    let seen = visible(i, total: total, mask: mask)
    var scores = [Double](repeating: 0, count: seen)
    for j in 0..<seen {
      for c in 0..<d { scores[j] += Double(q[i * d + c]) * Double(k[j * d + c]) }
      scores[j] *= Double(scale)
    }
    guard let greatest = scores.max() else { return Array(repeating: 0, count: d) }
    var total = 0.0
    var o = [Double](repeating: 0, count: d)
    for j in 0..<seen {
      let weight = exp(scores[j] - greatest)
      total += weight
      for c in 0..<d { o[c] += weight * value(v[j * d + c]) }
    }
    return o.map { $0 / total }
  }
}
