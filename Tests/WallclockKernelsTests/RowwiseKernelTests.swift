import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Calls one row-wise kernel through the C ABI on operands that end at pages which may not be
/// touched, with NaN between rows.
@safe private final class RowwiseCaller {
  let kernel: KernelDescriptor
  var calls = 0
  var args = unsafe wc_rowwise_args()
  private let x = GuardedMemory(capacity: 1 << 16)
  private let y = GuardedMemory(capacity: 1 << 16)
  private let residual = GuardedMemory(capacity: 1 << 16)
  private let weight = GuardedMemory(capacity: 1 << 13)
  private let bias = GuardedMemory(capacity: 1 << 13)
  private let q = GuardedMemory(capacity: 1 << 16)
  private let scales = GuardedMemory(capacity: 1 << 12)
  private let offsets = GuardedMemory(capacity: 1 << 12)
  private let sums = GuardedMemory(capacity: 1 << 13)
  private let starts = GuardedMemory(capacity: 1 << 12)
  private let tables = (0..<3).map { _ in GuardedMemory(capacity: 1 << 16) }
  private let ids = (0..<3).map { _ in GuardedMemory(capacity: 1 << 12) }
  private var columns = 0
  private var gap = 0

  init(_ kernel: KernelDescriptor) { self.kernel = kernel }

  private func lay(_ rows: [[Float]], gap: Int, in memory: GuardedMemory) -> UnsafeMutablePointer<Float> {
    let columns = rows.first?.count ?? 0
    let stride = columns + gap
    let p = unsafe memory.place(rows.isEmpty ? 0 : (rows.count - 1) * stride + columns, of: Float.self)
    for (i, row) in rows.enumerated() {
      for (c, value) in row.enumerated() { unsafe p[i * stride + c] = value }
    }
    return unsafe p
  }

  /// Begins a call: the rows of x, `gap` NaN between them.
  func begin(_ rows: [[Float]], columns: Int, gap: Int) {
    self.columns = columns
    self.gap = gap
    unsafe args = wc_rowwise_args()
    unsafe args.rows = rows.count
    unsafe args.columns = columns
    unsafe args.x = UnsafePointer(lay(rows, gap: gap, in: x))
    unsafe args.ldx = columns + gap
  }

  func setResidual(_ rows: [[Float]]) {
    unsafe args.residual = UnsafePointer(lay(rows, gap: gap, in: residual))
    unsafe args.ldr = columns + gap
  }

  func setAffine(weight w: [Float], bias b: [Float], epsilon: Float) {
    unsafe args.weight = UnsafePointer(lay([w], gap: 0, in: weight))
    unsafe args.bias = UnsafePointer(lay([b], gap: 0, in: bias))
    unsafe args.epsilon = epsilon
  }

  func setTables(_ values: [[Float]], ids: [[Int32]]) {
    var pointers: [UnsafePointer<Float>] = unsafe []
    var numbers: [UnsafePointer<Int32>] = unsafe []
    for t in values.indices {
      unsafe pointers.append(UnsafePointer(lay([values[t]], gap: 0, in: tables[t])))
      let p = unsafe self.ids[t].place(ids[t].count, of: Int32.self)
      for (i, id) in ids[t].enumerated() { unsafe p[i] = id }
      unsafe numbers.append(UnsafePointer(p))
    }
    unsafe args.x = nil
    unsafe args.rows = ids[0].count
    unsafe args.tables = (
      pointers[0], values.count > 1 ? pointers[1] : nil, values.count > 2 ? pointers[2] : nil)
    unsafe args.ids = (numbers[0], values.count > 1 ? numbers[1] : nil, values.count > 2 ? numbers[2] : nil)
    unsafe args.table_count = values.count
  }

  func setSequences(_ values: [Int64], normalize: Bool) {
    let p = unsafe starts.place(values.count, of: Int64.self)
    for (i, value) in values.enumerated() { unsafe p[i] = value }
    unsafe args.starts = UnsafePointer(p)
    unsafe args.rows = values.count - 1
    unsafe args.normalize = normalize ? 1 : 0
  }

  enum Output { case apart, overX, overResidual }

  /// The rows of y, or why there are none. The residual is y, or x is, as asked.
  func run(_ output: Output = .apart) -> (rows: [[Float]], wrong: String?) {
    calls += 1
    let rows = unsafe args.rows
    let stride = columns + gap
    let count = rows == 0 ? 0 : (rows - 1) * stride + columns
    let out: UnsafeMutablePointer<Float>
    switch output {
    case .apart: unsafe out = y.place(count, of: Float.self)
    case .overX: unsafe out = UnsafeMutablePointer(mutating: args.x)
    case .overResidual: unsafe out = UnsafeMutablePointer(mutating: args.residual)
    }
    unsafe args.y = out
    unsafe args.ldy = stride
    let status = unsafe kernel.row.pointee.rowwise!(&args)
    guard status == WC_OK else { return ([], "status \(status.rawValue)") }
    guard x.isIntact && y.isIntact && residual.isIntact else { return ([], "wrote outside its output") }
    var result: [[Float]] = []
    for i in 0..<rows {
      unsafe result.append(Array(UnsafeBufferPointer(start: out + i * stride, count: columns)))
      for c in columns..<stride where i * stride + c < count {
        if unsafe out[i * stride + c].bitPattern != 0xFFFF_FFFF { return ([], "wrote right of row \(i)") }
      }
    }
    return (result, nil)
  }

  /// Quantises; what goes wrong, or nil. `padding` columns follow each row of q.
  func quantizeMismatch(_ rows: [[Float]], group: Int, padding: Int, centred: Bool = false) -> String? {
    calls += 1
    let type = kernel.c!
    let bytes = Int(type.bitsPerValue) / 8
    let ldq = columns + padding
    let out = unsafe UnsafeMutableRawPointer(q.place(rows.count * ldq * bytes, of: UInt8.self, alignment: bytes))
    let scale = unsafe scales.place(rows.count, of: Float.self)
    let groups = group > 0 ? (columns + group - 1) / group : 0
    let sum = unsafe sums.place(rows.count * groups, of: Int32.self)
    unsafe args.q = out
    unsafe args.ldq = ldq
    unsafe args.scale = scale
    let offset = unsafe offsets.place(rows.count, of: Float.self)
    unsafe args.offset = centred ? offset : nil
    unsafe args.group = group
    unsafe args.ld_scale = 0
    unsafe args.sums = group > 0 ? sum : nil
    unsafe args.ld_sums = groups
    let status = unsafe kernel.row.pointee.rowwise!(&args)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    guard q.isIntact && scales.isIntact && offsets.isIntact && sums.isIntact else { return "wrote outside its output" }
    for (i, row) in rows.enumerated() {
      if type == .bf16 {
        for c in 0..<ldq {
          let expected = c < columns ? RowwiseOracle.bf16(row[c]) : 0
          let found = unsafe out.load(fromByteOffset: 2 * (i * ldq + c), as: UInt16.self)
          if found != expected { return "q[\(i), \(c)] is \(found), the oracle says \(expected)" }
        }
        continue
      }
      let (codes, expectedScale, expectedOffset) = RowwiseOracle.quantize(row, centred: centred)
      if centred, unsafe offset[i] != expectedOffset {
        return "offset[\(i)] is \(unsafe offset[i]), the oracle says \(expectedOffset)"
      }
      let foundScale = unsafe scale[i]
      if foundScale.bitPattern != expectedScale.bitPattern, !(foundScale.isNaN && expectedScale.isNaN) {
        return "scale[\(i)] is \(foundScale), the oracle says \(expectedScale)"
      }
      for c in 0..<ldq {
        let expected = c < columns ? codes[c] : 0
        let found: Int
        switch type {
        case .s8: found = unsafe Int(out.load(fromByteOffset: i * ldq + c, as: Int8.self))
        case .u8: found = unsafe Int(out.load(fromByteOffset: i * ldq + c, as: UInt8.self)) - 128
        default: found = unsafe Int(out.load(fromByteOffset: 2 * (i * ldq + c), as: Int16.self))
        }
        if found != expected { return "q[\(i), \(c)] is \(found), the oracle says \(expected)" }
      }
      for g in 0..<groups {
        let expected = codes[g * group..<min(columns, (g + 1) * group)].reduce(0, +)
        let found = unsafe Int(sum[i * groups + g])
        if found != expected { return "sums[\(i), \(g)] is \(found), the oracle says \(expected)" }
      }
    }
    return nil
  }

  /// Quantises with a scale for each group of 32; what goes wrong, or nil: each group has to be what it is alone.
  func groupedMismatch(_ rows: [[Float]]) -> String? {
    calls += 1
    let group = 32
    let groups = (columns + group - 1) / group
    let ldq = groups * group
    let out = unsafe q.place(rows.count * ldq, of: Int8.self)
    let scale = unsafe scales.place(rows.count * groups, of: Float.self)
    let sum = unsafe sums.place(rows.count * groups, of: Int32.self)
    unsafe args.q = UnsafeMutableRawPointer(out)
    unsafe args.ldq = ldq
    unsafe args.scale = scale
    unsafe args.ld_scale = groups
    unsafe args.offset = nil
    unsafe args.group = group
    unsafe args.sums = sum
    unsafe args.ld_sums = groups
    let status = unsafe kernel.row.pointee.rowwise!(&args)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    guard q.isIntact && scales.isIntact && sums.isIntact else { return "wrote outside its output" }
    let values = reference(rows: rows.count)
    for (i, row) in rows.enumerated() {
      for g in 0..<groups {
        let (codes, expected, _) = RowwiseOracle.quantize(Array(row[g * group..<min(columns, (g + 1) * group)]))
        let found = unsafe scale[i * groups + g]
        if found != expected, !(found.isNaN && expected.isNaN) { return "scale[\(i), \(g)] is \(found), not \(expected)" }
        if unsafe Int(sum[i * groups + g]) != codes.reduce(0, +) { return "sums[\(i), \(g)]" }
        for c in 0..<group {
          let code = unsafe Int(out[i * ldq + g * group + c])
          if code != (c < codes.count ? codes[c] : 0) { return "q[\(i), \(g * group + c)] is \(code)" }
          guard c < codes.count else { continue }
          let value = values[i * columns + g * group + c]
          if value != Double(code) * Double(expected), !(value.isNaN && expected.isNaN) { return "the library's reference, row \(i)" }
        }
      }
    }
    return nil
  }

  /// Asks for codes that are not centred.
  func askPlain() { unsafe args.offset = nil }

  /// The library's reference for the call that was begun.
  func reference(rows: Int) -> [Double] {
    var out = [Double](repeating: .nan, count: rows * columns)
    let status = unsafe wc_rowwise_reference(kernel.op.c, &args, &out)
    #expect(status == WC_OK)
    return out
  }
}

/// Every row-wise kernel of the table against an f64 oracle; exact ones to the bit.
@Suite struct RowwiseKernelTests {
  static let widths = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 384]

  static func kernels(_ ops: Op...) -> [KernelDescriptor] {
    KernelTable.all.filter { ops.contains($0.op) }
  }

  private static func rows(_ count: Int, _ columns: Int, scale: Float, _ random: inout TestRandom) -> [[Float]] {
    (0..<count).map { _ in (0..<columns).map { _ in Float(random.normal()) * scale } }
  }

  /// The largest error of a row as a fraction of the tolerance; NaN must be NaN.
  private static func excess(
    _ found: [Float], _ expected: [Double], _ op: Op, bias: [Float]? = nil
  ) -> Double {
    let count = expected.count
    var scale = 0.0
    for c in expected.indices { scale = max(scale, abs(expected[c]) + 2 * Double(abs(bias?[c] ?? 0))) }
    var worst = 0.0
    for (found, expected) in zip(found, expected) {
      if found.isNaN && expected.isNaN || Double(found) == expected { continue }
      let allowed = Tolerance.rowwise(op, channels: count, value: expected, rowScale: scale)
      let ratio = abs(Double(found) - expected) / allowed
      worst = ratio.isNaN ? .infinity : max(worst, ratio)
    }
    return worst
  }

  @Test(arguments: kernels(.quantize)) func quantizes(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RowwiseCaller(kernel)
    var random = TestRandom(seed: 1)
    for columns in Self.widths {
      var rows = Self.rows(3, columns, scale: 2, &random)
      // Ties: the largest is 127 times a power of two, so halves fall between codes.
      rows.append((0..<columns).map { $0 == 0 ? 127 : Float(random.integer(-253...253)) / 2 })
      rows.append((0..<columns).map { Float(random.integer(-127...127)) * ($0 % 2 == 0 ? 1 : -1) })
      rows.append(Array(repeating: 0, count: columns))
      rows.append(Array(repeating: -0.0, count: columns))
      for scale in [7 * Float.leastNonzeroMagnitude, 1e-38, 3e-37, 1e30, .greatestFiniteMagnitude] {
        rows.append((0..<columns).map { _ in random.signed() * scale })
      }
      for special in [Float.nan, -.nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude] {
        var row = (0..<columns).map { _ in random.signed() }
        row[random.integer(0...columns - 1)] = special
        rows.append(row)
      }
      for (gap, padding, group) in [(0, 0, 0), (1, 3, 32), (3, 17, 5), (2, 64, 128)] {
        caller.begin(rows, columns: columns, gap: gap)
        let wrong = caller.quantizeMismatch(
          rows, group: kernel.c == .bf16 ? 0 : group, padding: padding,
          centred: kernel.c != .bf16 && (columns + padding) % 2 == 1)
        try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
      }
      if kernel.c == .s8 {
        caller.begin(rows, columns: columns, gap: 1)
        let grouped = caller.groupedMismatch(rows)
        try #require(grouped == nil, "\(kernel.name), \(columns) columns by groups: \(grouped!)")
        _ = caller.quantizeMismatch(rows, group: 0, padding: 0)
        caller.askPlain()
        let found = caller.reference(rows: rows.count)
        for (i, row) in rows.enumerated() {
          let (codes, scale, _) = RowwiseOracle.quantize(row)
          for c in 0..<columns {
            let value = found[i * columns + c]
            let expected = scale.isNaN ? .nan : Double(codes[c]) * Double(scale)
            #expect(value == expected || (value.isNaN && expected.isNaN), "the library's reference, row \(i)")
          }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths, \(caller.calls) calls")
  }

  @Test(arguments: kernels(.layerNorm)) func normalizes(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RowwiseCaller(kernel)
    var random = TestRandom(seed: 2)
    for columns in Self.widths {
      let weight = Self.rows(1, columns, scale: 1, &random)[0]
      let bias = Self.rows(1, columns, scale: 1, &random)[0]
      var rows = Self.rows(3, columns, scale: 2, &random)
      rows.append(Self.rows(1, columns, scale: 1, &random)[0].map { 100 + $0 })  // far from zero
      rows.append(Array(repeating: 3, count: columns))  // no variance
      rows.append(Self.rows(1, columns, scale: 1e-3, &random)[0])
      let residual = Self.rows(rows.count, columns, scale: 1, &random)
      var poisoned = rows
      poisoned[1][columns / 2] = .nan
      for (gap, x, adds) in [(0, rows, false), (1, rows, true), (2, poisoned, false), (3, poisoned, true)] {
        for output in [RowwiseCaller.Output.apart, .overX, .overResidual] where adds || output != .overResidual {
          caller.begin(x, columns: columns, gap: gap)
          if adds { caller.setResidual(residual) }
          caller.setAffine(weight: weight, bias: bias, epsilon: 1e-5)
          let reference = caller.reference(rows: rows.count)
          let (found, wrong) = caller.run(output)
          try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
          for i in x.indices {
            // The sum x + residual is an f32 sum: its rounding belongs to the op.
            let sum = adds ? zip(x[i], residual[i]).map { $0 + $1 } : x[i]
            let expected = RowwiseOracle.layerNorm(sum, residual: nil, weight: weight, bias: bias, epsilon: 1e-5)
            let excess = Self.excess(found[i], expected, .layerNorm, bias: bias)
            try #require(excess <= 1, "\(kernel.name), \(columns) columns, row \(i), \(output): \(excess)× the tolerance")
            let unrounded = RowwiseOracle.layerNorm(
              x[i], residual: adds ? residual[i] : nil, weight: weight, bias: bias, epsilon: 1e-5)
            for c in 0..<columns {
              let other = reference[i * columns + c]
              let close = abs(other - unrounded[c]) <= 1e-9 * max(1, abs(unrounded[c]))
              #expect(close || (other.isNaN && unrounded[c].isNaN), "the library's reference")
            }
          }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths, \(caller.calls) calls")
  }

  /// x where GELU changes its ways: zeros, the ends of f32, the tail down to underflow, and between.
  private static let geluInputs: [Float] = {
    var random = TestRandom(seed: 3)
    let edges: [Float] = [
      0, -0.0, .nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
      .leastNormalMagnitude, -.leastNormalMagnitude, .leastNonzeroMagnitude, 1e-20, -1e-20, 16, -16, 15.99, -15.99,
      5.5, -5.5, -13, -12.9, 1, -1,
    ]
    return edges + (0..<4000).map { -14 + Float($0) * 0.007 } + (0..<1000).map { _ in Float(random.normal()) }
  }()

  @Test(arguments: kernels(.gelu)) func appliesGELU(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RowwiseCaller(kernel)
    let scalar = RowwiseCaller(try KernelTable.named("gelu_f32_scalar"))
    for columns in Self.widths {
      // All values in the widest rows, the first twenty rows of them in the others.
      let starts = Array(stride(from: 0, to: Self.geluInputs.count, by: columns))
      let chosen = starts.prefix(columns == Self.widths.last ? starts.count : 20).map { start in
        (0..<columns).map { Self.geluInputs[(start + $0) % Self.geluInputs.count] }
      }
      for output in [RowwiseCaller.Output.apart, .overX] {
        caller.begin(chosen, columns: columns, gap: 1)
        let reference = caller.reference(rows: chosen.count)
        let (found, wrong) = caller.run(output)
        try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
        scalar.begin(chosen, columns: columns, gap: 0)
        let bits = scalar.run().rows
        for i in chosen.indices {
          for c in 0..<columns {
            let x = chosen[i][c]
            let expected = exactGELU(Double(x))
            let excess = Self.excess([found[i][c]], [expected], .gelu)
            try #require(excess <= 1, "\(kernel.name): gelu(\(x)) is \(found[i][c]), not \(expected): \(excess)× the tolerance")
            let same = found[i][c].bitPattern == bits[i][c].bitPattern || (found[i][c].isNaN && bits[i][c].isNaN)
            try #require(same, "\(kernel.name): gelu(\(x)) is \(found[i][c]), the scalar kernel gives \(bits[i][c])")
            let other = reference[i * columns + c]
            let close = abs(other - expected) <= 1e-14 * abs(expected)
            try #require(close || other == expected || (other.isNaN && expected.isNaN), "the library's reference at \(x)")
          }
        }
      }
    }
    report(kernel, "\(Self.geluInputs.count) values, \(caller.calls) calls")
  }

  @Test(arguments: kernels(.residual)) func addsResidual(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RowwiseCaller(kernel)
    var random = TestRandom(seed: 4)
    for columns in Self.widths {
      var rows = Self.rows(3, columns, scale: 2, &random)
      rows[2][columns - 1] = .infinity
      rows[1][0] = .nan
      let residual = Self.rows(3, columns, scale: 1e-3, &random)
      for output in [RowwiseCaller.Output.apart, .overX, .overResidual] {
        caller.begin(rows, columns: columns, gap: 3)
        caller.setResidual(residual)
        let (found, wrong) = caller.run(output)
        try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
        for i in rows.indices {
          for c in 0..<columns {
            let sum = rows[i][c] + residual[i][c]
            #expect(found[i][c] == sum || (sum.isNaN && found[i][c].isNaN), "\(kernel.name), \(columns) columns")
          }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths, \(caller.calls) calls")
  }

  @Test(arguments: kernels(.embedding)) func gathers(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RowwiseCaller(kernel)
    var random = TestRandom(seed: 5)
    for columns in Self.widths {
      for count in 1...3 {
        let sizes = [11, 3, 2].prefix(count)
        let tables = sizes.map { Self.rows(1, $0 * columns, scale: 1, &random)[0] }
        // First and last rows of each table are asked for.
        let ids = sizes.map { size in [0, Int32(size - 1)] + (0..<5).map { _ in Int32(random.integer(0...size - 1)) } }
        caller.begin([], columns: columns, gap: 2)
        caller.setTables(Array(tables), ids: Array(ids))
        let (found, wrong) = caller.run()
        try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
        for i in 0..<7 {
          for c in 0..<columns {
            var sum = tables[0][Int(ids[0][i]) * columns + c]
            for t in 1..<count where count > 1 { sum += tables[t][Int(ids[t][i]) * columns + c] }
            #expect(found[i][c] == sum, "\(kernel.name), \(columns) columns, \(count) tables")
          }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths, \(caller.calls) calls")
  }

  @Test(arguments: kernels(.meanPool)) func poolsMeans(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RowwiseCaller(kernel)
    var random = TestRandom(seed: 6)
    let starts: [Int64] = [0, 3, 3, 4, 20]
    for columns in Self.widths {
      for scale in [1, 1e-30] as [Float] {
        var rows = Self.rows(20, columns, scale: scale, &random)
        if scale == 1 { for c in 0..<columns { rows[3][c] = 0 } }
        for normalize in [false, true] {
          caller.begin(rows, columns: columns, gap: 1)
          caller.setSequences(starts, normalize: normalize)
          let reference = caller.reference(rows: 4)
          let (found, wrong) = caller.run()
          try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
          for s in 0..<4 {
            let expected = RowwiseOracle.meanPool(
              Array(rows[Int(starts[s])..<Int(starts[s + 1])]), columns: columns, normalize: normalize)
            let excess = Self.excess(found[s], expected, .meanPool)
            try #require(
              excess <= 1, "\(kernel.name), \(columns) columns, sequence \(s), normalize=\(normalize): \(excess)× the tolerance")
            for c in 0..<columns {
              #expect(abs(reference[s * columns + c] - expected[c]) <= 1e-12 * max(1e-30, abs(expected[c])))
            }
          }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths, \(caller.calls) calls")
  }
}
