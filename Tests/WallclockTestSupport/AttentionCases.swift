import WallclockCore
import WallclockKernels

extension KernelCases {
  /// A few calls of every kernel.
  mutating func addAttentions() {
    let shapes: [(queries: Int, keys: Int, d: Int, group: Int, mask: Mask, part: Int)] = [
      (1, 1, 32, 1, .full, 0), (5, 37, 64, 1, .full, 0), (33, 70, 32, 1, .causal, 0), (7, 3, 40, 2, .causal, 0),
      (18, 18, 17, 1, .causal, 0), (1, 130, 64, 8, .causal, 64), (9, 75, 33, 3, Mask.kinds.last!, 32),
    ]
    for (turn, s) in shapes.enumerated() {
      let oracle = AttentionOracle(
        queries: s.queries, keys: s.keys, d: s.d, group: s.group, pattern: .random, seed: UInt64(turn))
      addAttention(oracle, first: 0, mask: s.mask, bq: 16, bk: 32, part: s.part)
    }
  }

  /// Queries `first` and on as one block of a sequence, for kernels of every type of cache.
  mutating func addAttention(_ oracle: AttentionOracle, first: Int, mask: Mask, bq: Int, bk: Int, part: Int) {
    let (queries, keys, d, group) = (oracle.queries - first, oracle.keys, oracle.d, oracle.group)
    let slopes = (1...8).map { 0.05 * Float($0) }
    for (a, b) in [(ElementType.f32, ElementType.f32), (.f32, .bf16), (.f32, .s8), (.f32, .q4g32), (.bf16, .bf16)] {
      let seen = AttentionOracle(oracle, roundedTo: a, cache: b)
      var o: [Double] = []
      var magnitude = 0.0
      for i in first..<oracle.queries {
        for h in 0..<group {
          o += seen.output(i, head: h, mask: mask, slopes: slopes)
          magnitude += seen.magnitude(i, head: h, mask: mask, slopes: slopes).reduce(0) { $0 + $1 * $1 }
        }
      }
      let narrow = a == .bf16
      var arrays: [CaseArray] = [
        .input("q", Array(oracle.q[(first * group * d)...]), rows: queries, columns: group * d, stride: group * d + 1),
        .input("k", oracle.k, rows: keys, columns: d, stride: d + 3),
        .input("v", oracle.v, rows: keys, columns: d, stride: d + 5),
        .output(
          "o", Float.self, rows: queries, columns: group * d, stride: group * d + 2,
          .frobenius(
            o, relative: Tolerance.attention(norm: 1, magnitude: 0, narrow: narrow),
            absolute: Tolerance.attention(norm: 0, magnitude: magnitude.squareRoot(), narrow: narrow))),
      ]
      if mask.alibi { arrays.append(.input("slopes", Array(slopes.prefix(group)), columns: group)) }
      cases.append(
        KernelCase(
          kernel: "attention_\(a.rawValue)\(b.rawValue)_*",
          label: "tq=\(queries)x\(group) tk=\(keys) d=\(d) part=\(part) \(mask.rawValue)",
          scalars: [
            "tq": Double(queries), "tk": Double(keys), "d": Double(d), "group": Double(group), "q_first": Double(first),
            "tq_total": Double(oracle.queries), "scale": Double(oracle.scale), "causal": mask.isCausal ? 1 : 0,
            "window": Double(mask.window), "sinks": Double(mask.sinks), "softcap": Double(mask.softcap),
            "bq": Double(bq), "bk": Double(bk), "part": Double(part),
          ],
          arrays: arrays))
    }
  }
}
