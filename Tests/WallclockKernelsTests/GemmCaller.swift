import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

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
  private let codeScale = GuardedMemory(capacity: 1 << 12)
  private let scalar: KernelDescriptor

  init(_ kernel: KernelDescriptor) throws {
    self.kernel = kernel
    scalar = try KernelTable.named("gemm_f32f32_scalar_1x8")
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
    let steps = unsafe codeScale.place(m, of: Float.self)
    for i in 0..<m { unsafe steps[i] = oracle.codeScales[i] }
    unsafe args.c_scale = UnsafePointer(steps)
    unsafe args.c_scale_step = 1
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

  /// Packs the first `n` columns of W, and what belongs to its columns; gated, the first half of them are gates.
  func pack(_ oracle: GemmOracle, n: Int, gated: Bool = false) throws {
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
    let order = GatedOrder(kernel, n: n)
    let columns = gated ? order.columns : n
    func place(_ row: Int) -> Int { gated ? order.column(of: row) : row }
    func arranged<T>(_ values: [T], _ zero: T) -> [T] {
      let parts = values.count / max(1, n)
      var result = Array(repeating: zero, count: max(1, columns * parts))
      for row in 0..<n {
        for part in 0..<parts { result[place(row) * parts + part] = values[row * parts + part] }
      }
      return result
    }
    let packedCodes = arranged(Array(codes.prefix(n * k * bytes)), 0)
    let scaleRows = oracle.weightScales.count / oracle.columns
    let packedScales = arranged(Array(oracle.weightScales.prefix(n * scaleRows)), 0)
    var stride = 0
    let total = unsafe wc_gemm_packed_bytes(kernel.row, columns, k, &stride)
    let panels = unsafe b.place(total, of: UInt8.self, alignment: 64)
    let sums = unsafe bSum.place(columns, of: Int32.self)
    let status = unsafe wc_gemm_pack(
      kernel.row, columns, k, packedCodes, packedScales, panels, type == .s8 ? sums : nil)
    #expect(status == WC_OK)
    #expect(b.isIntact && bSum.isIntact, "packing \(n)×\(k) wrote outside its output")
    unsafe args.n = n
    unsafe args.b = UnsafeRawPointer(panels)
    unsafe args.b_panel_bytes = stride
    if type == .s8 {
      let sumsAgree = (0..<n).allSatisfy { unsafe sums[place($0)] == oracle.columnSum($0) }
      #expect(sumsAgree, "b_sum of \(n)×\(k)")
      let scales = unsafe bScale.place(columns, of: Float.self)
      for j in 0..<columns { unsafe scales[j] = packedScales[j] }
      unsafe args.b_scale = UnsafePointer(scales)
      unsafe args.b_sum = UnsafePointer(sums)
    }
    let biases = unsafe bias.place(columns, of: Float.self)
    for (j, value) in arranged(Array(oracle.bias.prefix(n)), 0).prefix(columns).enumerated() { unsafe biases[j] = value }
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
    let type = epilogue.outputType
    let outputs = epilogue.outputs(n: n)
    let bytes = Int(type.bitsPerValue) / 8
    let ldc = outputs + gap
    let count = m == 0 ? 0 : (m - 1) * ldc + outputs
    let out = unsafe UnsafeMutableRawPointer(c.place(count * bytes, of: UInt8.self, alignment: bytes))
    let adds = epilogue.contains(.residual)
    if adds {
      let source = unsafe inPlace && type == .f32 ? out.assumingMemoryBound(to: Float.self) : residual.place(count, of: Float.self)
      for i in 0..<m {
        for j in 0..<outputs { unsafe source[i * ldc + j] = oracle.residual[i * oracle.columns + j] }
      }
      unsafe args.residual = UnsafePointer(source)
      unsafe args.ldr = ldc
    }
    let before = unsafe Array(UnsafeRawBufferPointer(start: out, count: count * bytes))

    var call = unsafe args
    unsafe call.c = out
    unsafe call.ldc = ldc
    unsafe call.epilogue = UInt32(epilogue.rawValue)
    if !epilogue.contains(.bias) { unsafe call.bias = nil }
    if !adds { unsafe call.residual = nil }
    if type == .f32 || type == .bf16 { unsafe call.c_scale = nil }
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
        if unsafe memcmp(out, before, count * bytes) != 0 { return failed("C was written before the last K block") }
      }
      k0 += part
    }

    if !(c.isIntact && accumulators.isIntact && scratch.isIntact) { return failed("wrote outside its outputs") }
    for i in 0..<m {
      for at in (i * ldc + outputs) * bytes..<min((i + 1) * ldc, count) * bytes
      where unsafe out.load(fromByteOffset: at, as: UInt8.self) != 0xFF {
        return failed("wrote right of the last column of row \(i)")
      }
      for j in 0..<outputs {
        let found = unsafe Self.output(out, i * ldc + j, type)
        let excess = oracle.excess(found, i, j, epilogue, n: n, kernel)
        if excess > 1 {
          return failed(
            "C[\(i), \(j)] is \(found), the oracle says \(oracle.element(i, j, epilogue, n: n).value): \(excess)× the tolerance")
        }
        guard kernel.isExact else { continue }
        let exact = exactValue(oracle, i, j, epilogue, n: n)
        if found != exact || found.sign != exact.sign, !(found.isNaN && exact.isNaN) {
          return failed("C[\(i), \(j)] is \(found), exact arithmetic gives \(exact)")
        }
      }
    }
    return nil
  }

  /// Element `index` of C; codes without the 128 of u8.
  private static func output(_ c: UnsafeMutableRawPointer, _ index: Int, _ type: ElementType) -> Double {
    switch type {
    case .bf16:
      unsafe Double(Float(bitPattern: UInt32(c.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16))
    case .s8: unsafe Double(c.load(fromByteOffset: index, as: Int8.self))
    case .u8: unsafe Double(c.load(fromByteOffset: index, as: UInt8.self)) - 128
    default: unsafe Double(c.loadUnaligned(fromByteOffset: 4 * index, as: Float.self))
    }
  }

  /// What an exact kernel must give to the bit. Activations have the bits of the scalar kernel, which is
  /// compared with the f64 oracle elsewhere.
  private func exactValue(_ oracle: GemmOracle, _ i: Int, _ j: Int, _ epilogue: Epilogue, n: Int) -> Double {
    var t = activated(oracle.exactSum(i, j, epilogue), epilogue)
    if epilogue.contains(.gated) { t *= oracle.exactSum(i, n / 2 + j, epilogue) }
    if epilogue.contains(.residual) { t += oracle.residual[i * oracle.columns + j] }
    switch epilogue.outputType {
    case .bf16: return Double(roundedToBF16(t))
    case .s8, .u8:
      let scale = oracle.codeScales[i]
      let code = scale >= .leastNormalMagnitude ? t * (1 / scale) : 0
      return code.isNaN ? 0 : Double(min(max(code, -127), 127).rounded(.toNearestOrEven)) + 0
    default: return Double(t)
    }
  }

  /// The scalar kernel's activation of a bias, nothing being multiplied.
  private func activated(_ t: Float, _ epilogue: Epilogue) -> Float {
    let activation = epilogue.intersection(.activations)
    guard !activation.isEmpty else { return t }
    var result: Float = 0
    var one = unsafe wc_gemm_args()
    unsafe one.m = 1
    unsafe one.n = 1
    unsafe one.flags = UInt32(WC_GEMM_FIRST) | UInt32(WC_GEMM_LAST)
    unsafe one.epilogue = UInt32(activation.union(.bias).rawValue)
    unsafe withUnsafePointer(to: t) { bias in
      unsafe withUnsafeMutablePointer(to: &result) { c in
        unsafe one.bias = bias
        unsafe one.c = UnsafeMutableRawPointer(c)
        _ = unsafe scalar.row.pointee.gemm!(&one)
      }
    }
    return result
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
        for j in 0..<epilogue.outputs(n: n) {
          var found = wc_gemm_element()
          let status = unsafe wc_gemm_reference(
            kernel.row, m, n, oracle.k, &call, codes, oracle.weightScales, i, j, &found)
          let expected = oracle.element(i, j, epilogue, n: n)
          func agree(_ x: Double, _ y: Double) -> Bool {
            abs(x - y) <= 1e-12 * (abs(y) + (expected.magnitude + 1) * (expected.upMagnitude + 1)) + 1e-300
              || (x.isNaN && y.isNaN) || x == y
          }
          let same =
            agree(found.value, expected.value) && agree(found.magnitude, expected.magnitude)
            && agree(found.activated, expected.activated) && agree(found.up, expected.up)
            && agree(found.up_magnitude, expected.upMagnitude) && agree(found.residual, expected.residual)
          if status != WC_OK || !same {
            return "the library's reference says C[\(i), \(j)] of \(m)×\(n)×\(oracle.k), \(epilogue) is \(found), not \(expected)"
          }
        }
      }
      return nil
    }
  }
}
