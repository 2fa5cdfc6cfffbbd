import WallclockCore
import WallclockKernels

/// Cases at the edges of every tile up to 8×16 and of every k-step up to eight values, with what the
/// oracles say: what `scripts/test-arm` runs on emulated Arm CPUs, whose tiles no table of this host names.
extension KernelCases {
  package static func edges(seed: UInt64) -> CaseFile {
    var made = KernelCases(empty: seed)
    for (a, b) in operandTypes { made.addGemmEdges(a: a, b: b, seed: seed) }
    for pattern in AttentionOracle.Pattern.allCases {
      for (turn, (queries, keys, d)) in attentionEdges.enumerated() {
        for (kind, mask) in Mask.kinds.enumerated() {
          let oracle = AttentionOracle(
            queries: queries, keys: keys, d: d, group: [1, 3, 4][(turn + kind) % 3], pattern: pattern, seed: seed)
          made.addAttention(oracle, first: min(2, queries - 1), mask: mask, bq: 6, bk: 16, part: [0, 16][(turn + kind) % 2])
        }
      }
    }
    for columns in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 384] {
      made.addRowwise(4, columns)
    }
    for columns in [1, 5, 16, 33, 130] { made.addDecoderRows(3, columns, seed: seed) }
    for (tokens, dk, dv, chunk) in recurrenceEdges { made.addRecurrences(tokens: tokens, dk: dk, dv: dv, chunk: chunk) }
    made.addSequences(seed: seed)
    made.addGELU()
    made.addActivations()
    return CaseFile(made.cases)
  }

  private static let attentionEdges = [
    (1, 1, 1), (5, 17, 4), (8, 16, 16), (9, 33, 17), (13, 31, 32), (19, 50, 63), (3, 0, 8), (9, 3, 5),
  ]

  private static let operandTypes: [(ElementType, ElementType)] =
    [(.f32, .f32), (.f32, .bf16), (.bf16, .bf16), (.f32, .s8), (.s8, .s8), (.s16, .s8), (.s8, .s8g32)]
    + [.q4g32, .q4g64, .q4g128, .q4zg32, .q4zg64, .q4zg128].flatMap { [(ElementType.s8, $0), (.f32, $0), (.bf16, $0)] }
}

// MARK: - GEMM

/// One call on the first rows and columns of an oracle.
private struct GemmEdge {
  var m, n: Int
  var split = 0
  var prefetch = 0
  var epilogue: Epilogue
  var inPlace = false
  var note = ""
}

extension KernelCases {
  private mutating func addGemmEdges(a: ElementType, b: ElementType, seed: UInt64) {
    let ends = Epilogue.all.combinations
    let rows = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 17]
    let columns = [1, 3, 4, 7, 8, 9, 11, 12, 13, 15, 16, 17, 25, 31, 33, 49]
    let depths = b.groupSize.map { [0, $0, 2 * $0, 3 * $0] } ?? [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 64, 129]
    let splits = b.groupSize.map { [0, $0] } ?? [0, 8, 0, 32]
    var turn = 0
    for k in depths {
      for pattern in Self.patterns(a) where pattern == .random || [17, 64].contains(k) || (b.groupSize.map { k == 2 * $0 } ?? false) {
        var oracle = GemmOracle(
          a: a, b: b, rows: rows.last!, columns: columns.last! + 1, k: k, pattern: pattern, seed: seed &+ UInt64(k))
        for n in columns {
          turn += 1
          let edge = GemmEdge(
            m: rows[turn * 5 % rows.count], n: n, split: splits[turn % splits.count], prefetch: turn % 3 * 512,
            epilogue: ends[turn * 7 % ends.count], inPlace: turn % 2 == 0, note: pattern.rawValue)
          addGemmEdge(oracle, edge)
        }
        if k == 0 { addGemmEdge(oracle, GemmEdge(m: 0, n: 9, epilogue: .bias)) }
        guard pattern == .random, k >= 8 else { continue }
        // A NaN or an infinity stays in its row, and a row is alone in the second half of a pair.
        let poisoned = turn % 5
        if oracle.isInteger { oracle.poisonRow(poisoned) } else { oracle.setActivation(poisoned, k / 2, turn % 2 == 0 ? .nan : .infinity) }
        for poisoned in [[.bias, .gelu], [.silu, .gated], [.geluTanh, .bf16], [.relu, .u8]] as [Epilogue] {
          addGemmEdge(oracle, GemmEdge(m: 5, n: 17, epilogue: poisoned, note: "poisoned"))
        }
      }
    }
  }

  private static func patterns(_ a: ElementType) -> [GemmPattern] {
    switch a {
    case .f32: [.random, .extreme, .greatest, .cancelling, .denormal]
    // The instructions take bf16 subnormals as zero.
    case .bf16: [.random, .extreme, .greatest, .cancelling]
    default: [.random, .extreme, .greatest]
    }
  }

  private mutating func addGemmEdge(_ oracle: GemmOracle, _ given: GemmEdge) {
    var edge = given
    if edge.epilogue.contains(.gated) { edge.n += edge.n % 2 }
    // The bounds depend on a row's operand types alone.
    guard let row = KernelTable.all.first(where: { $0.a == oracle.a && $0.b == oracle.b }) else { return }
    let (m, n, k) = (edge.m, edge.n, oracle.k)
    let ends = edge.epilogue
    let outputs = ends.outputs(n: n)
    var arrays = [Self.activations(oracle, m), Self.weights(oracle, n)]
    if oracle.isInteger {
      let perRow = oracle.activationScalesPerRow
      arrays.append(
        oracle.b == .s8g32
          ? .input("a_scale", Array(oracle.activationScales[..<(m * perRow)]), rows: m, columns: perRow)
          : .input("a_scale", Array(oracle.activationScales[..<m]), columns: m))
      if !oracle.activationOffsets.isEmpty {
        arrays.append(.input("a_offset", Array(oracle.activationOffsets[..<m]), columns: m))
      }
      if let group = oracle.b.groupSize {
        let sums = (0..<m).flatMap { i in (0..<k / group).map { oracle.groupSum(i, $0) } }
        arrays.append(.input("a_sum", sums, rows: m, columns: k / group, stride: k / group + 1))
      }
    }
    if !oracle.weightScales.isEmpty || oracle.b.groupSize != nil {
      let scales = oracle.b.groupSize.map { k / $0 } ?? 1
      arrays.append(.input("weight_scales", Array(oracle.weightScales[..<(n * scales)]), rows: n, columns: scales))
    }
    if ends.contains(.bias) { arrays.append(.input("bias", Array(oracle.bias[..<n]), columns: n)) }
    if ends.outputType == .s8 || ends.outputType == .u8 {
      arrays.append(.input("c_scale", Array(oracle.codeScales[..<m]), columns: m))
    }
    let residual = (0..<m * outputs).map { oracle.residual[$0 / outputs * oracle.columns + $0 % outputs] }
    let inPlace = ends.contains(.residual) && edge.inPlace && ends.outputType == .f32
    if ends.contains(.residual), !inPlace {
      arrays.append(.input("residual", residual, rows: m, columns: outputs, stride: outputs + 1))
    }
    arrays.append(
      .gemmOutput(
        ends, rows: m, columns: outputs, stride: outputs + 2, Self.expectation(oracle, edge, row),
        inPlace: inPlace ? residual : nil))
    cases.append(
      KernelCase(
        kernel: "gemm_\(oracle.a.rawValue)\(oracle.b.rawValue)_*",
        label: "m=\(m) n=\(n) k=\(k) k_block=\(edge.split) ends=\(ends.rawValue) \(edge.note)",
        scalars: [
          "m": Double(m), "n": Double(n), "k": Double(k), "k_block": Double(edge.split),
          "epilogue": Double(ends.rawValue), "prefetch": Double(edge.prefetch),
        ], arrays: arrays))
  }

  /// Integer kernels give the bits of the ABI's arithmetic; an activation's own bits, and what follows it, are left
  /// to the comparison with the scalar row.
  private static func expectation(_ oracle: GemmOracle, _ edge: GemmEdge, _ row: KernelDescriptor) -> GemmExpectation {
    let ends = edge.epilogue
    let outputs = ends.outputs(n: edge.n)
    let places = (0..<edge.m * outputs).map { ($0 / outputs, $0 % outputs) }
    if oracle.isInteger, ends.isSubset(of: [.bias, .residual]) {
      let exact = places.map { i, j in
        oracle.exactSum(i, j, ends) + (ends.contains(.residual) ? oracle.residual[i * oracle.columns + j] : 0)
      }
      if exact.allSatisfy({ !$0.isNaN }) { return .exact(exact) }
    }
    let elements = places.map { i, j in oracle.element(i, j, ends, n: edge.n) }
    return .within(
      elements.map(\.value),
      bounds: zip(places, elements).map { place, element in
        Tolerance.gemm(row, k: oracle.k, epilogue: ends, element, scale: oracle.codeScale(place.0))
      })
  }

  /// Rows padded with zeros to a multiple of every kr.
  private static func activations(_ oracle: GemmOracle, _ m: Int) -> CaseArray {
    let k = oracle.k
    let padded = (k + 7) / 8 * 8
    func stored<T: CaseElement>(_ gap: Int, _ convert: (Double) -> T) -> CaseArray {
      let values = (0..<m * padded).map { at in
        convert(at % padded < k ? oracle.activations[at / padded * k + at % padded] : 0)
      }
      return .input("a", values, rows: m, columns: padded, stride: padded + gap)
    }
    switch oracle.a {
    case .f32: return stored(3, Float.init)
    case .bf16: return stored(1, bf16Pattern)
    case .s8: return stored(5) { Int8($0) }
    default: return stored(3) { Int16($0) }
    }
  }

  private static func weights(_ oracle: GemmOracle, _ n: Int) -> CaseArray {
    let values = oracle.weights[..<(n * oracle.k)]
    switch oracle.b {
    case .f32: return .input("weights", values.map { Float($0) }, rows: n, columns: oracle.k)
    case .bf16: return .input("weights", values.map(bf16Pattern), rows: n, columns: oracle.k)
    case .s8: return .input("weights", values.map { Int8($0) }, rows: n, columns: oracle.k)
    default: return .input("weights", values.indices.map(oracle.storedCode), rows: n, columns: oracle.k)
    }
  }

  /// The bits of a value that a bf16 holds.
  private static func bf16Pattern(_ value: Double) -> UInt16 {
    UInt16(truncatingIfNeeded: Float(value).bitPattern >> 16)
  }
}

// MARK: - GELU

extension KernelCases {
  private mutating func addGELU() {
    let x = Self.activationInputs
    let expected = x.map { exactGELU(Double($0)) }
    let bounds = zip(x, expected).map { x, y in
      x.isFinite ? (5 + 2 * Double(x) * Double(x)) * Tolerance.u * abs(y) + 1e-12 : 0
    }
    cases.append(
      KernelCase(
        kernel: "gelu_f32_*", label: "where it changes its ways", scalars: ["rows": 1, "columns": Double(x.count)],
        arrays: [
          .input("x", x, columns: x.count),
          .output("y", Float.self, columns: x.count, .elementwise(expected, bounds: bounds)),
        ]))
  }

  /// Where activations change their ways: zeros, the ends of f32, the tail down to underflow, and between.
  package static let activationInputs: [Float] = {
    let edges: [Float] = [
      0, -0.0, .nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNormalMagnitude,
      -.leastNormalMagnitude, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 16, -16, 15.99, -15.99, 5.5, -5.5, -12.9,
      87, -87, -88.5, -103, 128, -128, -129, 1e20, -1e20,
    ]
    return edges + (0..<877).map { -14 + Float($0) * 0.0285 } + (0..<96).map { -96 + Float($0) }
  }()

  /// Every GEMM row without a K: C is what the epilogue makes of the bias.
  private mutating func addActivations() {
    let x = Self.activationInputs
    let row = KernelTable.all.first { $0.a == .f32 && $0.b == .f32 }!
    for ends in [.gelu, .silu, .geluTanh, .relu] as [Epilogue] {
      let elements = x.map {
        finishedElement((Double($0), 0), up: (1, 0), ends, residual: 0, codeScale: 1)
      }
      cases.append(
        KernelCase(
          kernel: "gemm_f32f32_*", label: "\(ends) of the bias",
          scalars: ["m": 1, "n": Double(x.count), "k": 0, "epilogue": Double(ends.union(.bias).rawValue)],
          arrays: [
            .input("a", [Float](), rows: 1, columns: 0), .input("weights", [Float](), rows: x.count, columns: 0),
            .input("bias", x, columns: x.count),
            .gemmOutput(
              ends, rows: 1, columns: x.count, stride: x.count,
              .within(elements.map(\.value), bounds: elements.map { Tolerance.gemm(row, k: 0, epilogue: ends, $0) })),
          ]))
    }
  }
}

// MARK: - Outputs

/// What a GEMM's output should be, whatever its type.
enum GemmExpectation {
  case exact([Float])
  /// Codes without the 128 of u8.
  case within([Double], bounds: [Double])

  private func typed<Element>(plus: Double, _: Element.Type) -> CaseExpectation<Element> {
    switch self {
    case .exact(let values): .exact(values as! [Element])
    case .within(let values, let bounds): .elementwise(values.map { $0 + plus }, bounds: bounds)
    }
  }

  fileprivate func array(_ ends: Epilogue, rows: Int, columns: Int, stride: Int) -> CaseArray {
    switch ends.outputType {
    case .bf16: .output("c", UInt16.self, rows: rows, columns: columns, stride: stride, typed(plus: 0, UInt16.self))
    case .s8: .output("c", Int8.self, rows: rows, columns: columns, stride: stride, typed(plus: 0, Int8.self))
    case .u8: .output("c", UInt8.self, rows: rows, columns: columns, stride: stride, typed(plus: 128, UInt8.self))
    default: .output("c", Float.self, rows: rows, columns: columns, stride: stride, typed(plus: 0, Float.self))
    }
  }

  fileprivate func overResidual(_ residual: [Float], rows: Int, columns: Int, stride: Int) -> CaseArray {
    .inPlace(
      "c", alias: "residual", residual, rows: rows, columns: columns, stride: stride, typed(plus: 0, Float.self))
  }
}

extension CaseArray {
  /// C of an epilogue; where the residual is C itself, its values.
  static func gemmOutput(
    _ ends: Epilogue, rows: Int, columns: Int, stride: Int, _ expected: GemmExpectation, inPlace: [Float]? = nil
  ) -> CaseArray {
    guard let inPlace else { return expected.array(ends, rows: rows, columns: columns, stride: stride) }
    return expected.overResidual(inPlace, rows: rows, columns: columns, stride: stride)
  }
}
