import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

private let widths = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 257]

private func rows(_ count: Int, _ columns: Int, scale: Float, _ random: inout TestRandom) -> [[Float]] {
  (0..<count).map { _ in (0..<columns).map { _ in Float(random.normal()) * scale } }
}

/// Norms, activations, softmax and rotary embeddings of the table against f64 oracles.
@Suite struct DecoderRowTests {
  static func kernels(_ ops: Op...) -> [KernelDescriptor] { KernelTable.all.filter { ops.contains($0.op) } }

  /// The largest error of a row as a fraction of the tolerance.
  private func worst(_ found: [Float], _ expected: [Double], _ op: Op, x: [Float]? = nil) -> Double {
    let scale = expected.reduce(0) { max($0, abs($1)) }
    return expected.indices.reduce(0) { so, c in
      let allowed = Tolerance.rowwise(
        op, channels: expected.count, value: expected[c], rowScale: scale, x: Double(x?[c] ?? 0))
      return max(so, excess(Double(found[c]), expected[c], allowed: allowed))
    }
  }

  private func agrees(_ reference: [Double], _ expected: [Double]) -> Bool {
    reference.count == expected.count
      && zip(reference, expected).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) || abs($0 - $1) <= 1e-9 * abs($1) + 1e-300 }
  }

  // MARK: - Norm

  @Test(arguments: kernels(.rmsNorm)) func normalizes(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    var random = TestRandom(seed: 11)
    for columns in widths {
      let weight = rows(1, columns, scale: 1, &random)[0]
      var x = rows(3, columns, scale: 2, &random)
      // Squares beyond f32 at both ends, ends of f32, no values at all, what is no number.
      for scale in [1e25, 1e-25, 3e38, 1e-38] as [Float] { x.append((0..<columns).map { _ in random.signed() * scale }) }
      x.append(Array(repeating: 0, count: columns))
      x.append(Array(repeating: -0.0, count: columns))
      for special in [Float.nan, .infinity, -.infinity] {
        var row = (0..<columns).map { _ in random.signed() }
        row[random.integer(0...columns - 1)] = special
        x.append(row)
      }
      let residual = rows(x.count, columns, scale: 1, &random)
      for (gap, adds, sum) in [(0, false, nil), (1, true, nil), (3, true, .apart), (2, true, .overResidual), (1, true, .overX)]
        as [(Int, Bool, DecoderRowCaller.Output?)] {
        for output in [DecoderRowCaller.Output.apart, .overX, .overResidual] {
          // No output may be another.
          if output == .overResidual && (!adds || sum == .overResidual) || output == .overX && sum == .overX { continue }
          let caller = DecoderRowCaller(kernel, x, gap: gap)
          if adds { caller.setResidual(residual) }
          caller.set(weight: weight)
          if let sum { caller.setSum(sum) }
          let reference = caller.reference(x.count * columns)
          let (found, wrong) = caller.run(output)
          try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
          for i in x.indices {
            let h = adds ? zip(x[i], residual[i]).map { $0 + $1 } : x[i]
            let expected = DecoderRowOracle.rmsNorm(h, weight: weight, epsilon: 1e-5)
            let error = worst(found[i], expected, .rmsNorm)
            try #require(error <= 1, "\(kernel.name), \(columns) columns, row \(i), \(output): \(error)× the tolerance")
            if !adds { #expect(agrees(Array(reference[i * columns..<(i + 1) * columns]), expected), "the library's reference") }
            if sum != nil {
              let sums = caller.sums()
              try #require(sums.wrong == nil, "\(sums.wrong!)")
              #expect(zip(sums.rows[i], h).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }, "\(kernel.name): the sum")
            }
          }
        }
      }
    }
    report(kernel, "\(widths.count) widths")
  }

  // MARK: - Activations

  /// Every 40009th float of all, both signs, and −20 … 20 by small steps.
  private static let sample: [Float] = {
    let edges: [Float] = [0, -0.0, .nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude]
    return edges + stride(from: UInt32(0), to: .max - 40009, by: 40009).map { Float(bitPattern: $0) }
      + (0..<20_000).map { -20 + Float($0) * 0.002 }
  }()

  private static func exact(_ op: Op, _ x: Double) -> Double {
    switch op {
    case .silu, .swiglu: DecoderRowOracle.silu(x)
    case .geluTanh: DecoderRowOracle.geluTanh(x)
    default: x.isNaN ? x : DecoderRowOracle.softplus(x)
    }
  }

  /// The worst errors that kernels/common/math_scalar.hpp states, over the range of f32; and the scalar kernel's bits.
  @Test(arguments: kernels(.silu, .geluTanh, .softplus)) func activates(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let scalar = KernelTable.all.first { $0.op == kernel.op && $0.isa == .scalar }!
    let (found, wrong) = DecoderRowCaller(kernel, [Self.sample]).run()
    try #require(wrong == nil, "\(kernel.name): \(wrong!)")
    let bits = DecoderRowCaller(scalar, [Self.sample]).run().rows[0]
    let reference = DecoderRowCaller(kernel, [Self.sample]).reference(Self.sample.count)
    var worstUnits = 0.0
    for (i, x) in Self.sample.enumerated() {
      let value = found[0][i]
      let expected = Self.exact(kernel.op, Double(x))
      #expect(agrees([reference[i]], [expected]), "the library's reference at \(x)")
      try #require(value.bitPattern == bits[i].bitPattern || (value.isNaN && bits[i].isNaN), "\(kernel.name)(\(x)) is \(value), scalar \(bits[i])")
      if !x.isFinite || abs(expected) > 3.4e38 {
        try #require(value.isNaN == expected.isNaN && (value.isNaN || Double(value) == Double(Float(expected))), "\(kernel.name)(\(x)) is \(value)")
        continue
      }
      let below = max(0, -Double(x))
      let stated: Double
      switch kernel.op {
      case .silu: stated = (8 + 2 * below) * Tolerance.u * abs(expected) + 1e-35
      case .geluTanh:
        let z = 2 * (2 / Double.pi).squareRoot() * (below + 0.044715 * below * below * below)
        stated = (8 + 4 * z) * Tolerance.u * abs(expected) + 1e-35
      default: stated = (6 + 2 * below) * Tolerance.u * expected + 1e-37
      }
      let error = abs(Double(value) - expected)
      try #require(error <= stated, "\(kernel.name)(\(x)) is \(value), not \(expected): \(error / stated)× what is stated")
      if x >= -1, expected != 0, abs(expected) >= Double(Float.leastNormalMagnitude) {
        worstUnits = max(worstUnits, error / Double(Float(abs(expected)).ulp))
      }
    }
    #expect(worstUnits <= 4)
    report(kernel, "\(Self.sample.count) values; from −1 up within \((worstUnits * 100).rounded() / 100) ulp")
  }

  @Test(arguments: kernels(.silu, .geluTanh, .softplus, .swiglu)) func activatesTails(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    var random = TestRandom(seed: 12)
    for columns in widths {
      var x = rows(3, columns, scale: 3, &random)
      x[1][columns / 2] = .nan
      x[2][columns - 1] = -.infinity
      let up = rows(3, columns, scale: 1, &random)
      for output in [DecoderRowCaller.Output.apart, .overX, .overResidual] where output != .overResidual || kernel.op == .swiglu {
        let caller = DecoderRowCaller(kernel, x, gap: columns % 4)
        if kernel.op == .swiglu { caller.setResidual(up) }
        let reference = caller.reference(x.count * columns)
        let (found, wrong) = caller.run(output)
        try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
        for i in x.indices {
          let expected = x[i].indices.map {
            Self.exact(kernel.op, Double(x[i][$0])) * (kernel.op == .swiglu ? Double(up[i][$0]) : 1)
          }
          let error = worst(found[i], expected, kernel.op, x: x[i])
          try #require(error <= 1, "\(kernel.name), \(columns) columns, row \(i), \(output): \(error)× the tolerance")
          #expect(agrees(Array(reference[i * columns..<(i + 1) * columns]), expected), "the library's reference")
        }
      }
    }
  }

  // MARK: - Softmax

  @Test(arguments: kernels(.softmax)) func weighs(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    var random = TestRandom(seed: 13)
    // The last ones by the online pass.
    for columns in widths + [65_536, 65_537, 80_003] {
      var x = rows(2, columns, scale: 3, &random)
      x.append((0..<columns).map { Float($0) * 0.01 })
      x.append((0..<columns).map { $0 == columns / 3 ? 60 : -60 })
      x.append(Array(repeating: 1e30, count: columns))
      x.append((0..<columns).map { $0 % 3 == 1 ? -.infinity : Float(random.normal()) * 1e3 })
      x.append(Array(repeating: -.infinity, count: columns))
      x.append((0..<columns).map { $0 == columns - 1 ? -.greatestFiniteMagnitude : -.infinity })
      for special in [Float.nan, .infinity] {
        var row = (0..<columns).map { _ in random.signed() }
        row[random.integer(0...columns - 1)] = special
        x.append(row)
        row = Array(repeating: -.infinity, count: columns)
        row[0] = special
        x.append(row)
      }
      for output in [DecoderRowCaller.Output.apart, .overX] {
        let caller = DecoderRowCaller(kernel, x, gap: columns % 3)
        let reference = caller.reference(x.count * columns)
        let (found, wrong) = caller.run(output)
        try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
        for i in x.indices {
          let expected = DecoderRowOracle.softmax(x[i])
          let error = worst(found[i], expected, .softmax)
          try #require(error <= 1, "\(kernel.name), \(columns) columns, row \(i), \(output): \(error)× the tolerance")
          #expect(agrees(Array(reference[i * columns..<(i + 1) * columns]), expected), "the library's reference")
        }
      }
    }
    report(kernel, "\(widths.count + 3) widths")
  }

  /// Beside a weight of 1 every other is e^x: within 2 ulp before both are divided.
  @Test(arguments: kernels(.softmax)) func exponentialsAreExact(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let x = [0] + (0..<60_000).map { -87.2 + Float($0) * 0.00145 }
    var least = Double.infinity
    for chunk in stride(from: 1, to: x.count, by: 4000) {
      let row = [0] + x[chunk..<min(x.count, chunk + 4000)]
      let found = DecoderRowCaller(kernel, [row]).run().rows[0]
      for c in 1..<row.count where Double(found[c]) > 1.2e-38 {
        let error = abs(Double(found[c]) / Double(found[0]) / exp(Double(row[c])) - 1)
        try #require(error <= 7 * Tolerance.u, "\(kernel.name): e^\(row[c]) is off by \(error / Tolerance.u) u")
        least = min(least, Double(row[c]))
      }
    }
    #expect(least < -75)
  }

  // MARK: - Rotary embedding

  @Test(arguments: kernels(.rope, .ropeInterleaved)) func turns(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    var random = TestRandom(seed: 14)
    var turn = 0
    for size in [2, 6, 16, 30, 64, 80, 128] {
      for rotary in Set([2, max(2, size / 4 * 2), size]) {
        turn += 1
        let (heads, positions) = (turn % 3 + 1, [0, 4000, 3, 3, 7])
        var x = rows(positions.count, heads * size, scale: 1, &random)
        x[0][0] = .infinity
        let angles = try RotaryAngles(kernel.op, positions: 4001, rotary: rotary)
        for output in [DecoderRowCaller.Output.apart, .overX] {
          let caller = DecoderRowCaller(kernel, x, gap: turn % 4)
          caller.set(angles, headDim: size, positions: positions)
          let reference = caller.reference(x.count * heads * size)
          let (found, wrong) = caller.run(output)
          try #require(wrong == nil, "\(kernel.name), \(rotary) of \(size): \(wrong!)")
          for (i, position) in positions.enumerated() {
            for head in 0..<heads {
              let range = head * size..<(head + 1) * size
              let expected = DecoderRowOracle.rope(kernel.op, Array(x[i][range]), position: position, rotary: rotary)
              let scale = x[i][range].reduce(0) { $1.isFinite ? max($0, abs(Double($1))) : $0 } * 2.0.squareRoot()
              for (c, expected) in zip(range, expected) {
                let allowed = Tolerance.rowwise(kernel.op, channels: size, value: expected, rowScale: scale)
                let error = excess(Double(found[i][c]), expected, allowed: allowed)
                try #require(error <= 1, "\(kernel.name), \(rotary) of \(size), position \(position): [\(c)] is \(found[i][c]), not \(expected)")
                let other = reference[i * heads * size + c]
                #expect(other == expected || (other.isNaN && expected.isNaN), "the library's reference")
              }
            }
          }
        }
      }
    }
    report(kernel, "\(turn) shapes")
  }

  @Test func hostileAnglesAreRefused() {
    func code(_ body: () throws(KernelError) -> Void) -> KernelError.Code? {
      do { try body() } catch { return error.code }
      return nil
    }
    for (op, positions, rotary, base) in [
      (.gelu, 4, 4, 1e4), (.rope, 0, 4, 1e4), (.rope, 4, 3, 1e4), (.rope, 4, 0, 1e4), (.rope, 4, 4, 0), (.rope, 4, 4, .infinity),
    ] as [(Op, Int, Int, Double)] {
      #expect(code { () throws(KernelError) in _ = try RotaryAngles(op, positions: positions, rotary: rotary, base: base) } == .shapeMismatch)
    }
    for line in ["rope batch=1 tokens=4 heads=2 head-dim=7", "rope batch=1 tokens=4 heads=2 head-dim=8 rotary=10",
      "top-k rows=1 channels=10 top-k=11", "top-k rows=1 channels=1000 top-k=257", "sampling rows=1 channels=2000000", "silu rows=4",
      "softmax rows=4 channels=4 epilogue=bias"] {
      #expect(throws: ProblemTextError.self, "\(line)") { try Problem(text: line) }
    }
  }
}

extension DecoderRowCaller {
  func set(_ angles: borrowing RotaryAngles, headDim: Int, positions: [Int]) {
    let before = unsafe args
    let ids = unsafe place([positions.map { Int32($0) }])
    unsafe args = RowwiseOperator.arguments(
      of: angles, rows: before.rows, heads: before.columns / headDim, headDim: headDim, positions: UnsafePointer(ids))
    unsafe args.x = before.x
    unsafe args.ldx = before.ldx
  }
}
