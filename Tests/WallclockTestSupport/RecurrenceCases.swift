import WallclockCore
import WallclockKernels

extension KernelCases {
  /// Sizes about Arm's and AVX-512's vectors, the blocks of 64 rows, and lengths about chunks and packing.
  static let recurrenceEdges = [
    (tokens: 1, dk: 1, dv: 1, chunk: 1), (3, 5, 7, 2), (1, 16, 32, 1), (7, 20, 19, 4), (19, 66, 37, 8), (37, 8, 4, 4),
  ]

  /// One call of each rule and pattern.
  mutating func addRecurrences(tokens: Int, dk: Int, dv: Int, chunk: Int) {
    for (index, op) in Op.recurrences.enumerated() {
      let pattern = RecurrenceOracle.Pattern.allCases[(index + tokens) % 4]
      let oracle = RecurrenceOracle(op, tokens: tokens, dk: dk, dv: dv, pattern: pattern, seed: UInt64(tokens + dk))
      let result = oracle.result()
      func expectation(_ values: [Double], _ sizes: [Double]) -> CaseExpectation<Float> {
        let size = sizes.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return .frobenius(
          values, relative: Tolerance.recurrence(norm: 1, size: 0) , absolute: Tolerance.recurrence(norm: 0, size: size))
      }
      func rows(_ name: String, _ values: [Float], _ columns: Int, gap: Int = 1) -> CaseArray {
        .input(name, values, rows: tokens, columns: columns, stride: columns + gap)
      }
      cases.append(
        KernelCase(
          kernel: "\(op.rawValue.split(separator: "-").joined(separator: "_"))_f32_*",
          label: "\(tokens) tokens \(dk)x\(dv) chunk=\(chunk) \(pattern)",
          scalars: [
            "tokens": Double(tokens), "dk": Double(dk), "dv": Double(dv), "chunk": Double(chunk),
            "log_decay": Double(oracle.logDecay), "skip": Double(oracle.skip), "scale": Double(oracle.scale),
            "epsilon": Double(oracle.epsilon),
          ],
          arrays: [
            rows("q", oracle.q, dk), rows("k", oracle.k, dk, gap: 2), rows("v", oracle.v, dv), rows("a", oracle.a, dk),
            rows("b", oracle.b, dk), rows("decay", oracle.decay, oracle.decayColumns, gap: 3), rows("rate", oracle.rate, 1),
            .input("bonus", oracle.bonus, columns: dk),
            .output("o", Float.self, rows: tokens, columns: dv, stride: dv + 2, expectation(result.o, result.oSize)),
            .inPlace(
              "state", oracle.state, rows: dk, columns: dv, stride: dv + 1, expectation(result.state, result.stateSize)),
            .inPlace("z", oracle.z, columns: dk, expectation(result.z, result.z)),
          ]))
    }
  }
}
