import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Calls one GEMM kernel through the C ABI on operands that end at pages which may not be touched,
/// with NaN between rows, and compares all of C with the oracle.
@safe final class GemmCaller {
  let kernel: KernelDescriptor
  private(set) var calls = 0
  private(set) var shapes: Set<[Int]> = []

  private let a = GuardedMemory(capacity: 1 << 19)
  private let b = GuardedMemory(capacity: 1 << 20)
  private let c = GuardedMemory(capacity: 1 << 17)
  private let residual = GuardedMemory(capacity: 1 << 17)
  private let accumulators = GuardedMemory(capacity: 1 << 17)
  private let scratch = GuardedMemory(capacity: 1 << 19)
  private let bias = GuardedMemory(capacity: 1 << 12)
  private let aScale = GuardedMemory(capacity: 1 << 12)
  private let aOffset = GuardedMemory(capacity: 1 << 12)
  private let aSum = GuardedMemory(capacity: 1 << 14)
  private let bScale = GuardedMemory(capacity: 1 << 12)
  private let bSum = GuardedMemory(capacity: 1 << 12)
  private let geluRow: KernelDescriptor

  init(_ kernel: KernelDescriptor) throws {
    self.kernel = kernel
    geluRow = try KernelTable.named("gelu_f32_scalar")
  }

  private var args = unsafe wc_gemm_args()
  private var codes: [UInt8] = []
  private var paddedK = 0

  /// A's element at index i of an operand of type `kernel.a`.
  private func storeActivation(_ value: Double, _ p: UnsafeMutableRawPointer, _ i: Int) {
    switch kernel.a! {
    case .f32: unsafe p.storeBytes(of: Float(value), toByteOffset: 4 * i, as: Float.self)
    case .bf16:
      unsafe p.storeBytes(
        of: UInt16(truncatingIfNeeded: Float(value).bitPattern >> 16), toByteOffset: 2 * i, as: UInt16.self)
    case .s8: unsafe p.storeBytes(of: Int8(value), toByteOffset: i, as: Int8.self)
    case .u8: unsafe p.storeBytes(of: UInt8(value + 128), toByteOffset: i, as: UInt8.self)
    default: unsafe p.storeBytes(of: Int16(value), toByteOffset: 2 * i, as: Int16.self)
    }
  }

  private var activationBytes: Int { Int(kernel.a!.bitsPerValue) / 8 }

  /// Lays out A, `m` rows, row stride beyond k by `gap` elements of NaN, and what belongs to its rows.
  func load(_ oracle: GemmOracle, m: Int, gap: Int) {
    let k = oracle.k
    paddedK = (k + kernel.kr - 1) / kernel.kr * kernel.kr
    let lda = paddedK + gap
    let elements = m == 0 ? 0 : (m - 1) * lda + paddedK
    // Rows begin where they may, not at multiples of the vector size.
    let data = unsafe UnsafeMutableRawPointer(
      a.place(elements * activationBytes, of: UInt8.self, alignment: activationBytes))
    for i in 0..<m {
      for p in 0..<paddedK {
        unsafe storeActivation(p < k ? oracle.activations[i * k + p] : 0, data, i * lda + p)
      }
    }
    unsafe args.m = m
    unsafe args.k = k
    unsafe args.a = UnsafeRawPointer(data)
    unsafe args.lda = lda
    if oracle.isInteger {
      let perRow = oracle.activationScalesPerRow
      let scales = unsafe aScale.place(m * perRow, of: Float.self)
      for i in 0..<m * perRow { unsafe scales[i] = oracle.activationScales[i] }
      unsafe args.a_scale = UnsafePointer(scales)
      unsafe args.lda_scale = perRow
      if !oracle.activationOffsets.isEmpty {
        let offsets = unsafe aOffset.place(m, of: Float.self)
        for i in 0..<m { unsafe offsets[i] = oracle.activationOffsets[i] }
        unsafe args.a_offset = UnsafePointer(offsets)
      } else {
        unsafe args.a_offset = nil
      }
      if let group = kernel.b?.groupSize {
        let groups = k / group
        let sums = unsafe aSum.place(m * groups, of: Int32.self)
        for i in 0..<m { for g in 0..<groups { unsafe sums[i * groups + g] = oracle.groupSum(i, g) } }
        unsafe args.a_sum = UnsafePointer(sums)
        unsafe args.lda_sum = groups
      }
    }
  }

  /// Packs the first `n` columns of W, and what belongs to its columns.
  func pack(_ oracle: GemmOracle, n: Int) throws {
    let k = oracle.k
    let type = kernel.b!
    let bytes = type == .f32 ? 4 : type == .bf16 ? 2 : 1
    codes = Array(repeating: 0, count: max(1, n * k * bytes))
    unsafe codes.withUnsafeMutableBytes { out in
      for i in 0..<n * k {
        let w = oracle.weights[i]
        switch type {
        case .f32: unsafe out.storeBytes(of: Float(w), toByteOffset: 4 * i, as: Float.self)
        case .bf16:
          unsafe out.storeBytes(
            of: UInt16(truncatingIfNeeded: Float(w).bitPattern >> 16), toByteOffset: 2 * i, as: UInt16.self)
        case .s8: unsafe out.storeBytes(of: Int8(w), toByteOffset: i, as: Int8.self)
        default: unsafe out.storeBytes(of: oracle.storedCode(i), toByteOffset: i, as: UInt8.self)
        }
      }
    }
    var stride = 0
    let total = unsafe wc_gemm_packed_bytes(kernel.row, n, k, &stride)
    let panels = unsafe b.place(total, of: UInt8.self, alignment: 64)
    let sums = unsafe bSum.place(n, of: Int32.self)
    let status = unsafe wc_gemm_pack(
      kernel.row, n, k, codes, oracle.weightScales, panels, type == .s8 ? sums : nil)
    #expect(status == WC_OK)
    #expect(b.isIntact && bSum.isIntact, "packing \(n)×\(k) wrote outside its output")
    unsafe args.n = n
    unsafe args.b = UnsafeRawPointer(panels)
    unsafe args.b_panel_bytes = stride
    if type == .s8 {
      let sumsAgree = (0..<n).allSatisfy { unsafe sums[$0] == oracle.columnSum($0) }
      #expect(sumsAgree, "b_sum of \(n)×\(k)")
      let scales = unsafe bScale.place(n, of: Float.self)
      for j in 0..<n { unsafe scales[j] = oracle.weightScales[j] }
      unsafe args.b_scale = UnsafePointer(scales)
      unsafe args.b_sum = UnsafePointer(sums)
    }
    let biases = unsafe bias.place(n, of: Float.self)
    for j in 0..<n { unsafe biases[j] = oracle.bias[j] }
    unsafe args.bias = UnsafePointer(biases)
  }

  /// What goes wrong in one GEMM, or nil. `load` and `pack` came before.
  ///
  /// - Parameters:
  ///   - split: extents of the K blocks.
  ///   - inPlace: the residual is C itself.
  ///   - gap: NaN elements between rows of C.
  func mismatch(
    _ oracle: GemmOracle, epilogue: Epilogue, split: [Int], inPlace: Bool = false, gap: Int
  ) -> String? {
    let m = unsafe args.m
    let n = unsafe args.n
    let k = oracle.k
    shapes.insert([m, n, k])
    calls += split.count
    func failed(_ why: String) -> String {
      "m=\(m) n=\(n) k=\(k) split=\(split) epilogue=\(epilogue) in place=\(inPlace): \(why)"
    }
    let ldc = n + gap
    let count = m == 0 ? 0 : (m - 1) * ldc + n
    let out = unsafe c.place(count, of: Float.self)
    let empty = Float(bitPattern: 0xFFFF_FFFF)
    for i in 0..<count { unsafe out[i] = empty }
    let adds = epilogue.contains(.residual)
    if adds {
      let source = unsafe inPlace ? out : residual.place(count, of: Float.self)
      for i in 0..<m {
        for j in 0..<n { unsafe source[i * ldc + j] = oracle.residual[i * oracle.columns + j] }
      }
      unsafe args.residual = UnsafePointer(source)
      unsafe args.ldr = ldc
    }
    let before = unsafe Array(UnsafeBufferPointer(start: out, count: count)).map(\.bitPattern)

    var call = unsafe args
    unsafe call.c = out
    unsafe call.ldc = ldc
    unsafe call.epilogue = UInt32(epilogue.rawValue)
    if !epilogue.contains(.bias) { unsafe call.bias = nil }
    if !adds { unsafe call.residual = nil }
    let ldacc = (n + kernel.nr - 1) / kernel.nr * kernel.nr
    unsafe call.ldacc = ldacc
    unsafe call.acc =
      split.count > 1
      ? UnsafeMutableRawPointer(accumulators.place(m * ldacc, of: Int32.self, alignment: 64)) : nil
    var k0 = 0
    for (index, part) in split.enumerated() {
      let needed = unsafe kernel.row.pointee.gemm_scratch_bytes(part)
      unsafe call.scratch =
        needed > 0 ? UnsafeMutableRawPointer(scratch.place(needed, of: UInt8.self, alignment: 64)) : nil
      unsafe call.k = part
      unsafe call.a = args.a! + k0 * activationBytes
      unsafe call.b = args.b! + wc_gemm_packed_offset(kernel.row, k0)
      if let group = kernel.b?.groupSize {
        unsafe call.a_sum = args.a_sum.map { unsafe $0 + k0 / group }
        if kernel.b == .s8g32 { unsafe call.a_scale = args.a_scale.map { unsafe $0 + k0 / group } }
      }
      unsafe call.flags =
        UInt32(index == 0 ? WC_GEMM_FIRST : 0) | UInt32(index == split.count - 1 ? WC_GEMM_LAST : 0)
      let status = unsafe kernel.row.pointee.gemm!(&call)
      if status != WC_OK { return failed("status \(status.rawValue)") }
      if index < split.count - 1 {
        for i in 0..<count where unsafe out[i].bitPattern != before[i] {
          return failed("C was written before the last K block")
        }
      }
      k0 += part
    }

    if !(c.isIntact && accumulators.isIntact && scratch.isIntact) { return failed("wrote outside its outputs") }
    for i in 0..<m {
      for j in n..<ldc where i * ldc + j < count {
        if unsafe out[i * ldc + j].bitPattern != before[i * ldc + j] {
          return failed("wrote C[\(i), \(j)], right of the last column")
        }
      }
      for j in 0..<n {
        let found = unsafe out[i * ldc + j]
        let excess = oracle.excess(found, i, j, epilogue, kernel)
        if excess > 1 {
          return failed(
            "C[\(i), \(j)] is \(found), the oracle says \(oracle.value(i, j, epilogue).value): \(excess)× the tolerance")
        }
        guard kernel.isExact else { continue }
        let exact = exactValue(oracle, i, j, epilogue)
        if found.bitPattern != exact.bitPattern, !(found.isNaN && exact.isNaN) {
          return failed("C[\(i), \(j)] is \(found), exact arithmetic gives \(exact)")
        }
      }
    }
    return nil
  }

  /// What an exact kernel must give to the bit. GELU has the bits of the row-wise kernel, which is
  /// compared with the f64 oracle elsewhere.
  private func exactValue(_ oracle: GemmOracle, _ i: Int, _ j: Int, _ epilogue: Epilogue) -> Float {
    var t = oracle.exactSum(i, j, epilogue)
    if epilogue.contains(.gelu) {
      var result: Float = 0
      var one = unsafe wc_rowwise_args()
      unsafe one.rows = 1
      unsafe one.columns = 1
      unsafe one.ldx = 1
      unsafe one.ldy = 1
      unsafe withUnsafePointer(to: t) { x in
        unsafe withUnsafeMutablePointer(to: &result) { y in
          unsafe one.x = x
          unsafe one.y = y
          _ = unsafe geluRow.row.pointee.rowwise!(&one)
        }
      }
      t = result
    }
    if epilogue.contains(.residual) { t += oracle.residual[i * oracle.columns + j] }
    return t
  }

  /// Asks the references of the library for every element and compares them with this oracle.
  func referenceMismatch(_ oracle: GemmOracle, epilogue: Epilogue) -> String? {
    var call = unsafe args
    unsafe call.epilogue = UInt32(epilogue.rawValue)
    let m = unsafe args.m
    let n = unsafe args.n
    return unsafe oracle.residual.withUnsafeBufferPointer { residual in
      unsafe call.residual = residual.baseAddress
      unsafe call.ldr = oracle.columns
      for i in 0..<m {
        for j in 0..<n {
          var value = 0.0
          var magnitude = 0.0
          let status = unsafe wc_gemm_reference(
            kernel.row, m, n, oracle.k, &call, codes, oracle.weightScales, i, j, &value, &magnitude)
          let (expected, size) = oracle.value(i, j, epilogue)
          let close = abs(value - expected) <= 1e-12 * (abs(expected) + size) + 1e-300
          if status != WC_OK || !(close || (value.isNaN && expected.isNaN) || value == expected) {
            return "the library's reference says C[\(i), \(j)] of \(m)×\(n)×\(oracle.k), \(epilogue) is \(value), not \(expected)"
          }
        }
      }
      return nil
    }
  }
}
