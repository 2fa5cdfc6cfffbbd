import WallclockCore
import WallclockKernels

/// Cases of a decoder's row-wise ops for the case-runner.
extension KernelCases {
  mutating func addDecoderRows(_ rows: Int, _ columns: Int, seed: UInt64) {
    var random = TestRandom(seed: seed &+ UInt64(columns))
    func values(_ scale: Float) -> [Float] { (0..<rows * columns).map { _ in Float(random.normal()) * scale } }
    var x = values(3)
    let other = values(1)
    let weight = (0..<columns).map { _ in random.signed() }
    func row(_ values: [Float], _ r: Int) -> [Float] { Array(values[r * columns..<(r + 1) * columns]) }
    func add(_ kernel: String, _ scalars: [String: Double] = [:], _ arrays: [CaseArray], label: String = "") {
      let size = ["rows": Double(rows), "columns": Double(columns)]
      cases.append(
        KernelCase(
          kernel: kernel + "_f32_*", label: "\(rows)x\(columns)\(label)", scalars: size.merging(scalars) { $1 }, arrays: arrays))
    }
    func input(_ name: String, _ values: [Float], gap: Int) -> CaseArray {
      .input(name, values, rows: rows, columns: columns, stride: columns + gap)
    }
    func output(_ op: Op, _ expected: [Double], x: [Float]? = nil) -> CaseArray {
      let bounds = expected.indices.map { i in
        let scale = expected[i / columns * columns..<(i / columns + 1) * columns].reduce(0) { max($0, abs($1)) }
        return Tolerance.rowwise(op, channels: columns, value: expected[i], rowScale: scale, x: Double(x?[i] ?? 0))
      }
      return .output("y", Float.self, rows: rows, columns: columns, stride: columns + 2, .elementwise(expected, bounds: bounds))
    }

    let h = zip(x, other).map { $0 + $1 }
    let normed = (0..<rows).flatMap { DecoderRowOracle.rmsNorm(row(h, $0), weight: weight, epsilon: 1e-5) }
    add(
      "rmsnorm", ["epsilon": 1e-5],
      [
        input("x", x, gap: 1), .input("weight", weight, columns: columns), output(.rmsNorm, normed),
        .inPlace("residual", alias: "sum", other, rows: rows, columns: columns, stride: columns + 3, .exact(h)),
      ])
    // The last of several is no number, or none that weighs anything.
    if rows > 1 { x[x.count - 1] = columns % 2 == 0 ? .nan : -.infinity }
    add("silu", [:], [input("x", x, gap: 1), output(.silu, x.map { DecoderRowOracle.silu(Double($0)) })])
    add("gelutanh", [:], [input("x", x, gap: 1), output(.geluTanh, x.map { DecoderRowOracle.geluTanh(Double($0)) })])
    add(
      "softplus", [:], [input("x", x, gap: 0), output(.softplus, x.map { $0.isNaN ? .nan : DecoderRowOracle.softplus(Double($0)) })])
    add(
      "swiglu", [:],
      [
        input("x", x, gap: 1), input("residual", other, gap: 0),
        output(.swiglu, zip(x, other).map { DecoderRowOracle.silu(Double($0)) * Double($1) }, x: x),
      ])
    add("softmax", [:], [input("x", x, gap: 2), output(.softmax, (0..<rows).flatMap { DecoderRowOracle.softmax(row(x, $0)) })])
    if rows > 1 {
      let nothing = [Float](repeating: -.infinity, count: rows * columns)
      add("softmax", [:], [input("x", nothing, gap: 0), output(.softmax, nothing.map { _ in 0 })], label: " nothing")
    }

    for k in Set([1, min(40, columns), min(256, columns)]).sorted() {
      let order = (0..<rows).flatMap { DecoderRowOracle.topK(row(x, $0), k) }
      let indices = CaseArray.output("indices", Int32.self, rows: rows, columns: k, stride: k + 1, .exact(order))
      let found = order.enumerated().map { i, index in index < 0 ? .nan : Double(x[i / k * columns + Int(index)]) }
      if k == 1 { add("argmax", [:], [input("x", x, gap: 1), indices]) }
      add(
        "topk", ["k": Double(k)],
        [
          input("x", x, gap: 1), indices,
          .output("y", Float.self, rows: rows, columns: k, stride: k + 2, .bound(found, absolute: 0, relative: 0)),
        ], label: " k=\(k)")
    }
    addDraws(x, rows, columns, &random)
    addRopes(rows: rows, heads: max(1, columns / 60), headDim: columns < 2 ? 2 : min(60, columns / 2 * 2), &random)
  }

  /// Draws that no rounding of a weight changes: the number is taken from the middle of the share of the token that comes.
  private mutating func addDraws(_ x: [Float], _ rows: Int, _ columns: Int, _ random: inout TestRandom) {
    for (temperature, topK, topP) in [(1, nil, 1), (0.7, nil, 0.9), (2, 40, 0.8), (0, 1, 1)] as [(Float, Int?, Float)] {
      var uniform: [Double] = []
      var tokens: [Int32] = []
      for r in 0..<rows {
        let logits = Array(x[r * columns..<(r + 1) * columns])
        let order = DecoderRowOracle.topK(logits, columns)
        // One of the first three, which a nucleus of these shares always has unless it is smaller.
        let answer = order.prefix(temperature == 0 ? 1 : random.integer(1...3)).last!
        let k = min(topK ?? columns, columns)
        if let share = DecoderRowOracle.share(of: Int(answer), logits, temperature: temperature, topK: k, topP: topP) {
          uniform.append((share.before + share.with) / 2)
          tokens.append(answer)
        } else {
          uniform.append(0.5)
          // Not in the nucleus: the greatest is all of it, or there is no order.
          let first = order[0]
          let alone = first >= 0 ? DecoderRowOracle.share(of: Int(first), logits, temperature: temperature, topK: k, topP: topP) : nil
          tokens.append(alone == nil ? -1 : first)
          if let alone { uniform[r] = (alone.before + alone.with) / 2 }
        }
      }
      cases.append(
        KernelCase(
          kernel: "sampling_f32_*", label: "\(rows)x\(columns) T=\(temperature) k=\(topK ?? 0) p=\(topP)",
          scalars: [
            "rows": Double(rows), "columns": Double(columns), "temperature": Double(temperature), "k": Double(topK ?? 0),
            "top_p": Double(topP),
          ],
          arrays: [
            .input("x", x, rows: rows, columns: columns, stride: columns + 1), .input("uniform", uniform, columns: rows),
            .output("indices", Int32.self, rows: rows, columns: 1, .exact(tokens)),
          ]))
    }
  }

  private mutating func addRopes(rows: Int, heads: Int, headDim: Int, _ random: inout TestRandom) {
    for op in [Op.rope, .ropeInterleaved] {
      let rotary = max(2, headDim / 4 * 2 + (op == .rope ? 2 : 0))
      let x = (0..<rows * heads * headDim).map { _ in random.signed() }
      let positions = (0..<rows).map { _ in Int32(random.integer(0...6)) }
      guard rotary <= headDim, let angles = try? RotaryAngles(op, positions: 7, rotary: rotary) else {
        preconditionFailure("no angles for rotary=\(rotary) of \(headDim)")
      }
      let tables = angles.tables()
      let expected = (0..<rows * heads).flatMap { i in
        DecoderRowOracle.rope(
          op, Array(x[i * headDim..<(i + 1) * headDim]), position: Int(positions[i / heads]), rotary: rotary)
      }
      let bounds = expected.map { Tolerance.rowwise(op, channels: headDim, value: $0, rowScale: 1.5) }
      cases.append(
        KernelCase(
          kernel: op == .rope ? "rope_f32_*" : "ropeinterleaved_f32_*", label: "\(rows) rows of \(heads)x\(headDim), \(rotary)",
          scalars: [
            "rows": Double(rows), "columns": Double(heads * headDim), "head_dim": Double(headDim), "rotary": Double(rotary),
          ],
          arrays: [
            .input("x", x, rows: rows, columns: heads * headDim, stride: heads * headDim + 1),
            .input("ids0", positions, columns: rows),
            .input("cosines", tables.cosines, rows: 7, columns: tables.cosines.count / 7),
            .input("sines", tables.sines, rows: 7, columns: tables.sines.count / 7),
            .output(
              "y", Float.self, rows: rows, columns: heads * headDim, stride: heads * headDim + 2,
              .elementwise(expected, bounds: bounds)),
          ]))
    }
  }
}
