import Foundation
import WallclockCore
import WallclockKernels

/// Cases for every op, with expected results by plain loops in f64: what `scripts/test-kernels-emulated`
/// runs on CPUs that the test process is not on. Few and small, since an emulated instruction takes
/// about a thousand times as long; sizes sit beside the edges of the largest tiles.
package struct KernelCases {
  package internal(set) var cases: [KernelCase] = []
  private var random: SplitMix64

  /// No cases yet.
  init(empty seed: UInt64) { random = SplitMix64(state: seed) }

  package init(seed: UInt64) {
    self.init(empty: seed)
    for shape in Self.gemmShapes { addGemms(shape) }
    addAttentions()
    for (rows, columns) in [(1, 1), (3, 15), (2, 33), (5, 67), (1, 384)] { addRowwise(rows, columns) }
    for (tokens, dk, dv, chunk) in [(1, 17, 33, 1), (21, 70, 50, 4), (9, 16, 16, 8)] {
      addRecurrences(tokens: tokens, dk: dk, dv: dv, chunk: chunk)
    }
    addSequences(seed: seed)
    for (rows, columns) in [(1, 1), (3, 15), (2, 133), (1, 4200)] { addDecoderRows(rows, columns, seed: seed) }
  }

  /// The same as a file.
  package static func file(seed: UInt64) -> CaseFile { CaseFile(KernelCases(seed: seed).cases) }
}

// MARK: - GEMM

extension KernelCases {
  private struct GemmShape {
    var m, n, k: Int
    var split = 0
    var epilogue: Epilogue = []
    /// Every factor at its largest magnitude: sums that would saturate 16 bits.
    var extreme = false
  }

  private static var gemmShapes: [GemmShape] {
    [
      GemmShape(m: 1, n: 1, k: 1), GemmShape(m: 2, n: 17, k: 0, epilogue: .bias),
      GemmShape(m: 7, n: 33, k: 65, epilogue: [.bias, .gelu]),
      GemmShape(m: 15, n: 97, k: 130, split: 64, epilogue: [.bias, .residual]),
      GemmShape(m: 3, n: 65, k: 129, split: 32, epilogue: [.bias, .gelu, .residual]),
      GemmShape(m: 13, n: 49, k: 96, extreme: true),
      // More rows and columns than AMX's blocks have, and steps of 64 bytes with some left over.
      GemmShape(m: 50, n: 70, k: 200, split: 96, epilogue: [.bias, .gelu]), GemmShape(m: 35, n: 33, k: 128, extreme: true),
      // Panels enough to run abreast, and some left over.
      GemmShape(m: 1, n: 577, k: 66, split: 32, epilogue: [.bias, .gelu]), GemmShape(m: 2, n: 345, k: 32, epilogue: .residual),
      GemmShape(m: 7, n: 106, k: 33, epilogue: [.bias, .silu, .gated]),
      GemmShape(m: 1, n: 578, k: 34, epilogue: [.geluTanh, .gated, .residual, .bf16]),
      GemmShape(m: 9, n: 51, k: 40, split: 32, epilogue: [.bias, .relu, .s8]),
      GemmShape(m: 5, n: 70, k: 24, epilogue: [.silu, .gated, .u8]),
    ]
  }

  /// The A types that one B type is multiplied by, and how A's values are stored.
  private mutating func addGemms(_ shape: GemmShape) {
    addFloatGemm(shape, a: .f32, b: .f32)
    addFloatGemm(shape, a: .f32, b: .bf16)
    addFloatGemm(shape, a: .bf16, b: .bf16)
    addFloatGemm(shape, a: .f32, b: .s8)
    addFloatGemm(shape, a: .bf16, b: .s8)
    addIntegerGemm(shape, b: .s8)
    addIntegerGemm(shape, b: .s8g32)
    for b in [ElementType.q4g32, .q4g64, .q4g128, .q4zg32, .q4zg64, .q4zg128] {
      addIntegerGemm(shape, b: b)
      addFloatGemm(shape, a: .f32, b: b)
      addFloatGemm(shape, a: .bf16, b: b)
    }
  }

  private mutating func addFloatGemm(_ given: GemmShape, a: ElementType, b: ElementType) {
    var shape = given
    let group = b.groupSize ?? 0
    if group > 0 { shape.k = (shape.k + group - 1) / group * group }
    let (m, n, k) = (shape.m, shape.n, shape.k)
    let activations = (0..<m * k).map { _ in a == .bf16 ? bf16Value(random.signed()) : random.signed() }
    var weights: [Double] = []
    var arrays: [CaseArray] = []
    switch b {
    case .f32, .bf16:
      let values = (0..<n * k).map { _ in b == .bf16 ? bf16Value(random.signed()) : random.signed() }
      weights = values.map(Double.init)
      arrays.append(
        b == .bf16
          ? .input("weights", values.map(bf16Bits), rows: n, columns: k)
          : .input("weights", values, rows: n, columns: k))
    case .s8: weights = addS8(n: n, k: k, extreme: shape.extreme, to: &arrays)
    default:
      weights = addQ4(b, n: n, k: k, extreme: shape.extreme, to: &arrays)
    }
    let padded = k.roundedUp(to: 8)
    arrays.append(
      a == .bf16
        ? .input(
          "a", pad(activations.map(bf16Bits), rows: m, k, to: padded, with: 0), rows: m, columns: padded,
          stride: padded + 2)
        : .input(
          "a", pad(activations, rows: m, k, to: padded, with: 0), rows: m, columns: padded, stride: padded + 3
        ))
    let factors = activations.map(Double.init)
    addGemm("gemm_\(a.rawValue)\(b.rawValue)", shape, arrays) { i, j in
      var sum = 0.0
      var magnitude = 0.0
      for p in 0..<k {
        let product = factors[i * k + p] * weights[j * k + p]
        sum += product
        magnitude += abs(product)
      }
      return (sum, magnitude)
    }
  }

  private mutating func addIntegerGemm(_ given: GemmShape, b: ElementType) {
    var shape = given
    let group = b.groupSize ?? 0
    if group > 0 { shape.k = (shape.k + group - 1) / group * group }
    let (m, n, k) = (shape.m, shape.n, shape.k)
    let a = (0..<m * k).map { _ in shape.extreme ? Int8(127) : Int8(random.integer(-127...127)) }
    let perRow = b == .s8g32 ? k / group : 1
    let aScales = (0..<m * perRow).map { _ in 0.001 + abs(random.signed()) * 0.02 }
    var arrays: [CaseArray] = [
      b == .s8g32
        ? .input("a_scale", aScales, rows: m, columns: perRow) : .input("a_scale", aScales, columns: m)
    ]
    var weights: [Double] = []
    var offsets = [Float](repeating: 0, count: m)
    if b == .s8 {
      weights = addS8(n: n, k: k, extreme: shape.extreme, to: &arrays)
      offsets = (0..<m).map { _ in random.signed() }
      arrays.append(.input("a_offset", offsets, columns: m))
    } else {
      weights =
        b == .s8g32
        ? addS8(n: n, k: k, group: group, extreme: shape.extreme, to: &arrays)
        : addQ4(b, n: n, k: k, extreme: shape.extreme, to: &arrays)
      let sums = (0..<m * (k / group)).map { at in
        a[at * group..<(at + 1) * group].reduce(Int32(0)) { $0 + Int32($1) }
      }
      arrays.append(.input("a_sum", sums, rows: m, columns: k / group, stride: k / group + 1))
    }
    let value = { (i: Int, j: Int) in
      var sum = 0.0
      var magnitude = 0.0
      for p in 0..<k {
        let scale = aScales[i * perRow + (perRow > 1 ? p / group : 0)]
        let product = Double(a[i * k + p]) * Double(scale) * weights[j * k + p]
        let offset = Double(offsets[i]) * weights[j * k + p]
        sum += product + offset
        magnitude += abs(product) + abs(offset)
      }
      return (sum, magnitude)
    }
    let padded = k.roundedUp(to: 8)
    func storage<T: CaseElement>(_ zero: T, _ store: (Int8) -> T) -> CaseArray {
      .input(
        "a", pad(a.map(store), rows: m, k, to: padded, with: zero), rows: m, columns: padded,
        stride: padded + 5)
    }
    addGemm("gemm_s8\(b.rawValue)", shape, arrays + [storage(0 as Int8) { $0 }], value)
    if b == .s8 { addGemm("gemm_u8s8", shape, arrays + [storage(128 as UInt8) { UInt8(Int($0) + 128) }], value) }
    guard b == .s8 || b == .s8g32 else { return }
    addGemm("gemm_s16\(b.rawValue)", shape, arrays + [storage(0 as Int16) { Int16($0) }], value)
  }

  /// Codes and scales of 8-bit weights, per column or (exact in f16) per group; returns their values.
  private mutating func addS8(
    n: Int, k: Int, group: Int? = nil, extreme: Bool, to arrays: inout [CaseArray]
  ) -> [Double] {
    let sign: Int8 = random.integer(0...1) == 0 ? 127 : -127
    let codes = (0..<n * k).map { _ in extreme ? sign : Int8(random.integer(-127...127)) }
    let perColumn = group.map { k / $0 } ?? 1
    let scales = (0..<n * perColumn).map { _ in
      group == nil ? 0.001 + abs(random.signed()) * 0.01 : Float(random.integer(1...63)) / 4096
    }
    arrays += [
      .input("weights", codes, rows: n, columns: k), .input("weight_scales", scales, rows: n, columns: perColumn),
    ]
    return codes.indices.map { Double(codes[$0]) * Double(scales[$0 / (group ?? max(k, 1))]) }
  }

  /// Codes, zero points and scales (exact in f16) of 4-bit weights; returns their values.
  private mutating func addQ4(
    _ type: ElementType, n: Int, k: Int, extreme: Bool, to arrays: inout [CaseArray]
  ) -> [Double] {
    let group = type.groupSize!
    let codes = (0..<n * k).map { _ in UInt8(extreme ? 0 : random.integer(0...15)) }
    let zeros = (0..<n * (k / group)).map { _ in
      UInt8(!type.hasZeroPoints ? 8 : extreme ? 15 : random.integer(0...15))
    }
    let scales = (0..<n * (k / group)).map { _ in Float(random.integer(1...63)) / 1024 }
    let stored = codes.indices.map { codes[$0] | (type.hasZeroPoints ? zeros[$0 / group] << 4 : 0) }
    arrays += [
      .input("weights", stored, rows: n, columns: k),
      .input("weight_scales", scales, rows: n, columns: k / group),
    ]
    return codes.indices.map { (Double(codes[$0]) - Double(zeros[$0 / group])) * Double(scales[$0 / group]) }
  }

  private mutating func addGemm(
    _ family: String, _ shape: GemmShape, _ operands: [CaseArray],
    _ product: (_ row: Int, _ column: Int) -> (sum: Double, magnitude: Double)
  ) {
    let (m, n) = (shape.m, shape.n)
    let ends = shape.epilogue
    // The bounds depend on a row's operand types alone.
    guard let row = KernelTable.all.first(where: { $0.name.hasPrefix(family + "_") }) else { return }
    var arrays = operands
    let bias = (0..<n).map { _ in random.signed() }
    let outputs = ends.outputs(n: n)
    let residual = (0..<m * outputs).map { _ in random.signed() }
    let codeScales = (0..<m).map { _ in 0.004 + abs(random.signed()) * 0.02 }
    if ends.contains(.bias) { arrays.append(.input("bias", bias, columns: n)) }
    if ends.outputType == .s8 || ends.outputType == .u8 { arrays.append(.input("c_scale", codeScales, columns: m)) }
    func biased(_ i: Int, _ j: Int) -> (value: Double, magnitude: Double) {
      let (sum, magnitude) = product(i, j)
      return ends.contains(.bias) ? (sum + Double(bias[j]), magnitude + abs(Double(bias[j]))) : (sum, magnitude)
    }
    var expected: [Double] = []
    var bounds: [Double] = []
    for i in 0..<m {
      for j in 0..<outputs {
        let element = finishedElement(
          biased(i, j), up: ends.contains(.gated) ? biased(i, n / 2 + j) : (1, 0), ends,
          residual: residual[i * outputs + j], codeScale: codeScales[i])
        expected.append(element.value)
        bounds.append(
          Tolerance.gemm(row, k: shape.k, epilogue: ends, element, scale: Double(codeScales[i])))
      }
    }
    // The residual is where C goes, as the runtime calls it, when that is f32.
    let inPlace = ends.contains(.residual) && ends.outputType == .f32
    if ends.contains(.residual), !inPlace {
      arrays.append(.input("residual", residual, rows: m, columns: outputs, stride: outputs + 1))
    }
    arrays.append(
      .gemmOutput(
        ends, rows: m, columns: outputs, stride: outputs + 3, .within(expected, bounds: bounds),
        inPlace: inPlace ? residual : nil))
    var label = "m=\(m) n=\(n) k=\(shape.k)"
    if shape.split > 0 { label += " k_block=\(shape.split)" }
    if !ends.isEmpty { label += " ends=\(ends.rawValue)" }
    if shape.extreme { label += " extreme" }
    cases.append(
      KernelCase(
        kernel: family + "_*", label: label,
        scalars: [
          "m": Double(m), "n": Double(n), "k": Double(shape.k), "k_block": Double(shape.split),
          "epilogue": Double(ends.rawValue), "prefetch": shape.split > 0 ? 512 : 0,
        ], arrays: arrays))
  }

  private func pad<T>(_ values: [T], rows: Int, _ k: Int, to padded: Int, with zero: T) -> [T] {
    (0..<rows * padded).map { $0 % padded < k ? values[$0 / padded * k + $0 % padded] : zero }
  }
}

// MARK: - Row-wise ops

extension KernelCases {
  mutating func addRowwise(_ rows: Int, _ columns: Int) {
    let label = "\(rows)x\(columns)"
    let size: [String: Double] = ["rows": Double(rows), "columns": Double(columns)]
    let x = (0..<rows * columns).map { _ in random.signed() * 4 }
    let other = (0..<rows * columns).map { _ in random.signed() }
    let input = CaseArray.input("x", x, rows: rows, columns: columns, stride: columns + 3)
    func output(_ op: Op, _ values: [Double], alike: Int) -> CaseArray {
      let bounds = values.indices.map { at in
        let row = values[at / columns * columns..<(at / columns + 1) * columns]
        return Tolerance.rowwise(
          op, channels: alike, value: values[at], rowScale: row.map(abs).max() ?? 0)
      }
      return .output(
        "y", Float.self, rows: rows, columns: columns, stride: columns + 1,
        .elementwise(values, bounds: bounds))
    }
    func add(_ kernel: String, _ scalars: [String: Double], _ arrays: [CaseArray]) {
      cases.append(
        KernelCase(
          kernel: kernel, label: label, scalars: size.merging(scalars) { $1 }, arrays: arrays))
    }

    let activated = x.map { gelu(Double($0)) }
    // What math_scalar.hpp promises: the tail's error grows with its exponent.
    let slack = zip(x, activated).map { x, y in
      (5 + 2 * Double(x) * Double(x)) * Tolerance.u * abs(y) + 1e-12
    }
    add(
      "gelu_f32_*", [:],
      [
        input,
        .output(
          "y", Float.self, rows: rows, columns: columns, stride: columns + 1,
          .elementwise(activated, bounds: slack)),
      ])
    add(
      "residual_f32_*", [:],
      [
        .input("residual", other, rows: rows, columns: columns, stride: columns + 1),
        .inPlace(
          "x", alias: "y", x, rows: rows, columns: columns, stride: columns + 2,
          .exact(zip(x, other).map { $0 + $1 })),
      ])

    let weight = (0..<columns).map { _ in 1 + random.signed() }
    let bias = (0..<columns).map { _ in random.signed() }
    let epsilon = Float(1e-5)
    var normed: [Double] = []
    for r in 0..<rows {
      let row = (0..<columns).map { Double(x[r * columns + $0]) + Double(other[r * columns + $0]) }
      let mean = row.reduce(0, +) / Double(columns)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
      let factor = 1 / (variance + Double(epsilon)).squareRoot()
      normed += (0..<columns).map { (row[$0] - mean) * factor * Double(weight[$0]) + Double(bias[$0]) }
    }
    // One column: x − mean cancels to nothing but rounding.
    if columns > 1 {
      add(
        "layernorm_f32_*", ["epsilon": Double(epsilon)],
        [
          input, .input("residual", other, rows: rows, columns: columns, stride: columns + 2),
          .input("weight", weight, columns: columns), .input("bias", bias, columns: columns),
          output(.layerNorm, normed, alike: columns),
        ])
    }

    let ids = (0..<2).map { _ in (0..<rows).map { _ in Int32(random.integer(0...6)) } }
    let tables = (0..<2).map { _ in (0..<7 * columns).map { _ in random.signed() } }
    let gathered = (0..<rows * columns).map { at in
      (0..<2).reduce(0.0) { $0 + Double(tables[$1][Int(ids[$1][at / columns]) * columns + at % columns]) }
    }
    add(
      "embedding_f32_*", ["table_count": 2],
      [
        .input("table0", tables[0], rows: 7, columns: columns), .input("ids0", ids[0], columns: rows),
        .input("table1", tables[1], rows: 7, columns: columns), .input("ids1", ids[1], columns: rows),
        output(.embedding, gathered, alike: columns),
      ])

    // Sequences of 0, 1, 2, … rows.
    let starts = (0...rows).map { Int64($0 * ($0 - 1) / 2) }
    let tokens = (0..<max(1, Int(starts[rows])) * columns).map { _ in random.signed() }
    var pooled: [Double] = []
    for s in 0..<rows {
      let range = Int(starts[s])..<Int(starts[s + 1])
      let mean = (0..<columns).map { c in
        range.isEmpty ? 0 : range.reduce(0.0) { $0 + Double(tokens[$1 * columns + c]) } / Double(range.count)
      }
      let norm = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
      pooled += mean.map { norm > 0 ? $0 / norm : 0 }
    }
    add(
      "meanpool_f32_*", ["normalize": 1],
      [
        .input("x", tokens, rows: tokens.count / columns, columns: columns, stride: columns + 1),
        .input("starts", starts, columns: rows + 1), output(.meanPool, pooled, alike: columns + rows),
      ])
    addQuantize(x, rows, columns, label: label)
  }

  /// Plain codes and centred ones, to the bit.
  private mutating func addQuantize(_ given: [Float], _ rows: Int, _ columns: Int, label: String) {
    var x = given
    // Row 0 has scale 1 and values halfway between codes; the last of several holds an infinity: its scale
    // is NaN and its codes are zero.
    for c in 0..<columns { x[c] = c < 2 ? 127 - 254 * Float(c) : Float(c % 252) - 125.5 }
    if rows > 1 { x[x.count - 1] = .infinity }
    let group = 32
    let groups = (columns + group - 1) / group
    let padded = columns.roundedUp(to: 8)
    func add<T: CaseElement>(
      _ type: String, _ label: String, _ x: [Float], _ codes: [T], _ more: [CaseArray], scaleStride: Int = 0
    ) {
      cases.append(
        KernelCase(
          kernel: "quantize_f32\(type)_*", label: label,
          scalars: [
            "rows": Double(rows), "columns": Double(columns), "group": Double(more.isEmpty ? 0 : group),
            "ld_scale": Double(scaleStride),
          ],
          arrays: [
            .input("x", x, rows: rows, columns: columns, stride: columns + 1),
            .output("q", T.self, rows: rows, columns: padded, .exact(codes)),
          ] + more))
    }
    // Row 0: halfway between two bf16, odd and even; and a NaN whose payload would be rounded away.
    var wide = x
    for c in 0..<columns { wide[c] = Float(bitPattern: 0x3f80_8000 + UInt32(c) << 16) }
    if columns > 3 { wide[3] = Float(bitPattern: 0x7f80_0001) }
    add("bf16", label, wide, pad(wide.map(RowwiseOracle.bf16), rows: rows, columns, to: padded, with: 0), [])
    for centred in [false, true] {
      let made = (0..<rows).map { RowwiseOracle.quantize(Array(x[$0 * columns..<($0 + 1) * columns]), centred: centred) }
      let codes = made.flatMap { $0.codes + [Int](repeating: 0, count: padded - columns) }
      let sums = made.flatMap { row in
        (0..<groups).map { g in Int32(row.codes[g * group..<min(columns, (g + 1) * group)].reduce(0, +)) }
      }
      var more: [CaseArray] = [
        .output(
          "scale", Float.self, columns: rows, .bound(made.map { Double($0.scale) }, absolute: 0, relative: 0)),
        .output("sums", Int32.self, rows: rows, columns: groups, stride: groups + 1, .exact(sums)),
      ]
      if centred { more.append(.output("offset", Float.self, columns: rows, .exact(made.map(\.offset)))) }
      let label = centred ? label + " centred" : label
      add("s8", label, x, codes.map { Int8($0) }, more)
      add("u8", label, x, codes.map { UInt8($0 + 128) }, more)
      add("s16", label, x, codes.map { Int16($0) }, more)
    }
    var codes: [Int] = []
    var scales: [Double] = []
    var sums: [Int32] = []
    for r in 0..<rows {
      for first in stride(from: 0, to: columns, by: group) {
        let end = min(columns, first + group)
        let made = RowwiseOracle.quantize(Array(x[(r * columns + first)..<(r * columns + end)]))
        codes += made.codes
        scales.append(Double(made.scale))
        sums.append(Int32(made.codes.reduce(0, +)))
      }
      codes += Array(repeating: 0, count: padded - columns)
    }
    let more: [CaseArray] = [
      .output("scale", Float.self, rows: rows, columns: groups, .bound(scales, absolute: 0, relative: 0)),
      .output("sums", Int32.self, rows: rows, columns: groups, .exact(sums)),
    ]
    add("s8", label + " by groups", x, codes.map { Int8($0) }, more, scaleStride: groups)
    add("s16", label + " by groups", x, codes.map { Int16($0) }, more, scaleStride: groups)
  }
}

// MARK: - Numbers

private func gelu(_ x: Double) -> Double { 0.5 * x * (1 + erf(x * 0.5.squareRoot())) }

/// The nearest bf16, ties to even; `x` is not a NaN.
private func bf16Bits(_ x: Float) -> UInt16 {
  UInt16(truncatingIfNeeded: (x.bitPattern &+ 0x7fff &+ (x.bitPattern >> 16 & 1)) >> 16)
}

private func bf16Value(_ x: Float) -> Float { Float(bitPattern: UInt32(bf16Bits(x)) << 16) }

extension Int {
  fileprivate func roundedUp(to step: Int) -> Int { (self + step - 1) / step * step }
}

/// Steele, Lea and Flood 2014: the same cases from the same seed everywhere.
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Uniform in −1 … 1.
  mutating func signed() -> Float { Float(Int32(truncatingIfNeeded: next())) * 0x1p-31 }

  mutating func integer(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
}
