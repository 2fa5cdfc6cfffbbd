import WallclockCore
import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// Operands of one head's recurrence and what it should make of them, token by token in f64.
package struct RecurrenceOracle: Sendable {
  package enum Pattern: String, CaseIterable, Sendable {
    case random
    /// Decays of 1, of almost 1, of almost 0 and of 0 (−∞), in turn; rates of 0, ½ and 1.
    case extremeDecays
    /// Each token clears the state.
    case resets
    /// Nothing is written and all fades, through what f32 holds as subnormal numbers.
    case fading
  }

  package let op: Op
  package var tokens: Int
  package let dk: Int
  package let dv: Int
  /// tokens×dk.
  package var q, k, a, b: [Float]
  /// tokens×dv.
  package var v: [Float]
  /// tokens×dk, or one a token.
  package var decay: [Float]
  package var rate: [Float]
  /// dk.
  package var bonus, z: [Float]
  /// dk×dv.
  package var state: [Float]
  package var logDecay: Float
  package var skip: Float
  package var scale: Float
  package var epsilon: Float = 1e-6

  package var decayColumns: Int { op.hasChannelDecays ? dk : 1 }

  package init(_ op: Op, tokens: Int, dk: Int, dv: Int, pattern: Pattern = .random, seed: UInt64) {
    self.op = op
    self.tokens = tokens
    self.dk = dk
    self.dv = dv
    var random = TestRandom(seed: seed)
    func normal(_ count: Int, _ scale: Double) -> [Float] { (0..<count).map { _ in Float(random.normal() * scale) } }
    let unit = 1 / Double(max(1, dk)).squareRoot()
    q = normal(tokens * dk, 1)
    k = normal(tokens * dk, unit)
    a = normal(tokens * dk, unit)
    b = a.map { -0.7 * $0 }
    v = normal(tokens * dv, 1)
    bonus = normal(dk, 1)
    z = normal(dk, 1).map(abs)
    state = normal(dk * dv, 1)
    skip = 0.75
    scale = op == .linearAttention ? 1 : Float(unit)
    logDecay = op == .mamba2 ? -3 : -0.03
    rate = (0..<tokens).map { _ in abs(random.signed()) }
    let decays = tokens * (op.hasChannelDecays ? dk : 1)
    switch pattern {
    case .random:
      decay = (0..<decays).map { _ in -abs(random.signed()) }
    case .extremeDecays:
      let some: [Float] = [0, -1e-7, -90, -.infinity, -1e-3, -2, -0.0, -1000]
      decay = (0..<decays).map { _ in some[random.integer(0...7)] }
      rate = (0..<tokens).map { _ in [0, 0.5, 1][random.integer(0...2)] }
      logDecay = [0, -90, -1e-7][random.integer(0...2)]
    case .resets:
      decay = Array(repeating: -.infinity, count: decays)
      logDecay = -.infinity
      // ∞·0 has no value: a token without a step has no decay either.
      rate = rate.map { max($0, 0.1) }
    case .fading:
      decay = Array(repeating: -3, count: decays)
      logDecay = -3
      rate = Array(repeating: 1, count: tokens)
      k = Array(repeating: 0, count: k.count)
      a = k
    }
  }

  package struct Result {
    package var o, oSize, state, stateSize, z: [Double]
  }

  private func feature(_ x: Double) -> Double { x > 0 ? x + 1 : exp(x) }

  /// Outputs, the state behind the last token, and the sizes that `Tolerance.recurrence` takes.
  package func result() -> Result {
    var s = state.map(Double.init)
    var peak = s.map(abs)
    var z = z.map(Double.init)
    var o: [Double] = []
    var oSize: [Double] = []
    let features = op == .linearAttention
    for t in 0..<tokens {
      let keys = (0..<dk).map { features ? feature(Double(k[t * dk + $0])) : Double(k[t * dk + $0]) }
      let queries = (0..<dk).map { features ? feature(Double(q[t * dk + $0])) : Double(q[t * dk + $0]) * Double(scale) }
      let values = (0..<dv).map { Double(v[t * dv + $0]) }
      let step = op.hasRates ? Double(rate[t]) : 1
      /// rowᵀS.
      func read(_ row: [Double]) -> [Double] {
        (0..<dv).map { j in (0..<dk).reduce(0) { $0 + row[$1] * s[$1 * dv + j] } }
      }
      let before = read(queries)
      let removed = op == .rwkv7 ? read((0..<dk).map { Double(a[t * dk + $0]) }) : []
      for i in 0..<dk {
        let log: Double =
          switch op {
          case .retention: Double(logDecay)
          case .mamba2: step * Double(logDecay)
          case .gatedDeltaNet: Double(decay[t])
          case .gla, .rwkv6, .rwkv7: Double(decay[t * dk + i])
          default: 0
          }
        for j in 0..<dv { s[i * dv + j] *= exp(log) }
      }
      var written = values
      if op == .deltaNet || op == .gatedDeltaNet { for (j, p) in read(keys).enumerated() { written[j] -= p } }
      for i in 0..<dk {
        for j in 0..<dv {
          var added = step * keys[i] * written[j]
          if op == .rwkv7 { added += Double(b[t * dk + i]) * removed[j] }
          s[i * dv + j] += added
          peak[i * dv + j] = max(peak[i * dv + j], abs(added), abs(s[i * dv + j]))
        }
        z[i] += features ? keys[i] : 0
      }
      var row = read(queries)
      if op == .rwkv6 {
        let own = (0..<dk).reduce(0) { $0 + queries[$1] * Double(bonus[$1]) * keys[$1] }
        row = (0..<dv).map { before[$0] + own * values[$0] }
      }
      if op == .mamba2 { row = (0..<dv).map { row[$0] + Double(skip) * values[$0] } }
      let share = features ? 1 / ((0..<dk).reduce(Double(epsilon)) { $0 + queries[$1] * z[$1] }) : 1
      o += row.map { $0 * share }
      for j in 0..<dv {
        let own = op == .rwkv6 || op == .mamba2 ? abs(row[j]) + abs(values[j]) : 0
        oSize.append(share * ((0..<dk).reduce(own) { $0 + abs(queries[$1]) * peak[$1 * dv + j] }))
      }
    }
    return Result(o: o, oSize: oSize, state: s, stateSize: peak, z: z)
  }

  /// Tokens `range` of this, from `state` and `z`.
  package func part(_ range: Range<Int>, state: [Float], z: [Float]) -> RecurrenceOracle {
    func rows(_ values: [Float], _ columns: Int) -> [Float] {
      Array(values[range.lowerBound * columns..<range.upperBound * columns])
    }
    var part = self
    part.tokens = range.count
    part.q = rows(q, dk)
    part.k = rows(k, dk)
    part.a = rows(a, dk)
    part.b = rows(b, dk)
    part.v = rows(v, dv)
    part.decay = rows(decay, decayColumns)
    part.rate = rows(rate, 1)
    part.state = state
    part.z = z
    return part
  }
}
