import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// Operands of attention for the query heads that share one head of keys and values, and what its output should be,
/// by plain loops in f64.
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
  package let group: Int
  /// Rows of `group` heads of `d`.
  package private(set) var q: [Float]
  package private(set) var k: [Float]
  package private(set) var v: [Float]
  package let scale: Float

  package init(queries: Int, keys: Int, d: Int, group: Int = 1, pattern: Pattern, seed: UInt64) {
    self.queries = queries
    self.keys = keys
    self.d = d
    self.group = group
    scale = 1 / Float(max(1, d)).squareRoot()
    var random = TestRandom(seed: seed)
    var q = (0..<queries * group * d).map { _ in Float(random.normal()) }
    var k = (0..<keys * d).map { _ in Float(random.normal()) }
    v = (0..<keys * d).map { _ in Float(random.normal()) }
    if pattern != .random, d > 0 {
      for i in q.indices { q[i] = i % d == 0 ? Float(d).squareRoot() : 0 }
      for j in 0..<keys {
        let step = 8 * Float(j + 1) / Float(keys)
        k[j * d] = pattern == .rising ? step : pattern == .falling ? -step : j == keys / 2 ? 2000 : 0
      }
    }
    self.q = q
    self.k = k
  }

  /// Given operands, with the usual scale.
  package init(q: [Float], k: [Float], v: [Float], d: Int, group: Int) {
    (queries, keys) = (q.count / (group * d), k.count / d)
    (self.q, self.k, self.v, self.d, self.group) = (q, k, v, d, group)
    scale = 1 / Float(d).squareRoot()
  }

  /// `other` with other queries.
  package init(replacing queries: [Float], of other: AttentionOracle) {
    self = other
    q = queries
  }

  /// The last query alone when a sequence had `length` tokens.
  package init(decoding length: Int, of other: AttentionOracle) {
    (queries, keys, d, group, scale) = (1, length, other.d, other.group, other.scale)
    q = Array(other.q[(length - 1) * group * d..<length * group * d])
    k = Array(other.k.prefix(length * d))
    v = Array(other.v.prefix(length * d))
  }

  /// `other` as kernels see it whose queries are rounded to `a` and whose cache has type `b`.
  package init(_ other: AttentionOracle, roundedTo a: ElementType, cache b: ElementType) {
    self = other
    q = Self.kept(q, rows: queries * group, d: d, type: a)
    k = Self.kept(k, rows: keys, d: d, type: b)
    v = Self.kept(v, rows: keys, d: d, type: b)
  }

  /// What a cache of a type gives back of rows of `d`.
  private static func kept(_ x: [Float], rows: Int, d: Int, type: ElementType) -> [Float] {
    guard type != .f32, d > 0 else { return x }
    var result = x
    if type == .bf16 {
      for i in x.indices { result[i] = bf16(x[i]) }
      return result
    }
    let group = type == .s8 ? d : 32
    for row in 0..<rows {
      for first in stride(from: row * d, to: (row + 1) * d, by: group) {
        let range = first..<min(first + group, (row + 1) * d)
        let largest = range.map { x[$0] }.max { abs($0) < abs($1) }!
        let scale = type == .s8 ? abs(largest) / 127 : Float(Float16(largest / -8))
        let limits = type == .s8 ? Float(-127)...127 : -8...7
        for i in range {
          let code = scale == 0 ? 0 : (x[i] / scale).rounded(.toNearestOrEven)
          result[i] = min(max(code, limits.lowerBound), limits.upperBound) * scale
        }
      }
    }
    return result
  }

  private static func bf16(_ x: Float) -> Float {
    let bits = x.bitPattern
    return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
  }

  /// Whether query `i`, the last of which stands beside the last key, sees key `j`.
  package func sees(_ i: Int, _ j: Int, mask: Mask) -> Bool {
    let position = keys - queries + i
    if mask.isCausal, j > position { return false }
    guard mask.window > 0 else { return true }
    if j > position { return j - position < mask.window }
    return position - j < mask.window || j < mask.sinks
  }

  /// Head `h` of row `i` of O.
  package func output(_ i: Int, head: Int = 0, mask: Mask, slopes: [Float] = []) -> [Double] {
    output(i, head, mask, slopes) { Double($0) }
  }

  /// Head `h` of row `i` of O with |V| in place of V: the size of what is summed.
  package func magnitude(_ i: Int, head: Int = 0, mask: Mask, slopes: [Float] = []) -> [Double] {
    output(i, head, mask, slopes) { Double(abs($0)) }
  }

  private func output(
    _ i: Int, _ head: Int, _ mask: Mask, _ slopes: [Float], value: (Float) -> Double
  ) -> [Double] {
    let seen = (0..<keys).filter { sees(i, $0, mask: mask) }
    let first = (i * group + head) * d
    let scores = seen.map { j in
      var score = 0.0
      for c in 0..<d { score += Double(q[first + c]) * Double(k[j * d + c]) }
      score *= Double(scale)
      if mask.softcap > 0 { score = Double(mask.softcap) * tanh(score / Double(mask.softcap)) }
      if mask.alibi { score -= Double(slopes[head]) * abs(Double(keys - queries + i - j)) }
      return score
    }
    guard let greatest = scores.max() else { return Array(repeating: 0, count: d) }
    var total = 0.0
    var o = [Double](repeating: 0, count: d)
    for (j, score) in zip(seen, scores) {
      let weight = exp(score - greatest)
      total += weight
      for c in 0..<d { o[c] += weight * value(v[j * d + c]) }
    }
    return o.map { $0 / total }
  }
}

extension Mask {
  /// One of each kind, and all together.
  package static let kinds: [Mask] = [
    .full, .causal, .window(5), .window(33, sinks: 3), Mask(isCausal: false, window: 9),
    Mask(alibi: true), Mask(softcap: 3), Mask(isCausal: false, alibi: true),
    Mask(window: 40, sinks: 1, alibi: true, softcap: 5),
  ]
}
