import CWallclockKernels
import WallclockCore

/// Whether GEMM kernels with integer operands give the exact integer result on inputs made to break them:
/// factors at the ends of their range, in the orders that overflow 16-bit sums of products, alone and mixed.
///
/// Kernels are called below the operators, so that values are seen that no quantiser makes: an s8 of −128
/// above all. Scales are 1 and K is short enough for an s32, so every result is a whole number.
public enum ExactnessAudit {
  public enum Verdict: String, Sendable, Codable {
    case exact
    /// Differs, and as it would if sums of two products were cut off at 16 bits.
    case saturates
    case differs
  }

  public struct Finding: Sendable {
    public let kernel: String
    public let isa: ISA
    public let verdict: Verdict
    /// Results compared.
    public let results: Int
    /// The first that differed: its input, what was expected and what came out.
    public let example: Example?
  }

  public struct Example: Sendable, Codable, Equatable {
    public let input: String
    public let expected: Double
    public let found: Double
  }

  /// The kernels of this build an audit is about that run on `isas`.
  public static func kernels(isas: Set<ISA>) -> [KernelDescriptor] {
    KernelTable.rows(.gemm, isas: isas).filter(\.isExact)
  }

  package typealias Call = (inout wc_gemm_args) -> wc_status

  /// - Throws: `KernelError.rejected` when the kernel refuses a call it should take.
  public static func audit(_ kernel: KernelDescriptor) throws(KernelError) -> Finding {
    let gemm = unsafe kernel.row.pointee.gemm!
    return try unsafe audit(kernel) { args in unsafe gemm(&args) }
  }

  /// - Parameter call: stands for the kernel's function.
  package static func audit(_ kernel: KernelDescriptor, call: Call) throws(KernelError) -> Finding {
    var results = 0
    var first: (example: Example, saturated: Bool)?
    for shape in shapes(kernel) {
      for a in Pattern.activations {
        for w in Pattern.weights(kernel) {
          let product = try Product(kernel, shape, a, w)
          results += shape.m * shape.n
          if first == nil { first = try unsafe product.firstDifference(call) }
        }
      }
    }
    let verdict: Verdict = first.map { $0.saturated ? .saturates : .differs } ?? .exact
    return Finding(kernel: kernel.name, isa: kernel.isa, verdict: verdict, results: results, example: first?.example)
  }

  struct Shape {
    let m, n, k: Int
  }

  /// One row and some, a panel and some; K short, uneven, and long where one row is enough.
  private static func shapes(_ kernel: KernelDescriptor) -> [Shape] {
    let unit = kernel.b?.groupSize ?? 1
    let odd = unit > 1 ? unit : 2 * kernel.kr + 1
    return [
      Shape(m: 1, n: kernel.nr + 1, k: odd), Shape(m: kernel.mr + 1, n: 2 * kernel.nr + 1, k: 3 * max(unit, 21)),
      Shape(m: 2, n: kernel.nr, k: 4096 + unit), Shape(m: 1, n: 3 * kernel.nr, k: 11_008),
    ].map { Shape(m: $0.m, n: $0.n, k: ($0.k + unit - 1) / unit * unit) }
  }

  /// Values as a function of row (or column) and place along K.
  struct Pattern: Sendable {
    let name: String
    let value: @Sendable (_ line: Int, _ p: Int) -> Int

    private static func patterns(low: Int, high: Int) -> [Pattern] {
      [
        Pattern(name: "all \(high)") { _, _ in high },
        Pattern(name: "all \(low)") { _, _ in low },
        Pattern(name: "\(high), \(low) in turn") { line, p in (line + p) % 2 == 0 ? high : low },
        Pattern(name: "\(high) twice, \(low) twice") { line, p in (line + p / 2) % 2 == 0 ? high : low },
        Pattern(name: "mixed") { line, p in
          let mixed = (UInt64(line + 1) &* 0x9E37_79B9 &+ UInt64(p)) &* 0xBF58_476D_1CE4_E5B9
          return low + Int((mixed >> 33) % UInt64(high - low + 1))
        },
      ]
    }

    static let activations = patterns(low: -128, high: 127)

    /// Of 4-bit weights the codes less eight, or less their group's zero point.
    static func weights(_ kernel: KernelDescriptor) -> [Pattern] {
      guard let b = kernel.b, let group = b.groupSize, b != .s8g32 else { return patterns(low: -128, high: 127) }
      guard b.hasZeroPoints else { return patterns(low: -8, high: 7) }
      return patterns(low: 0, high: 15).map { codes in
        Pattern(name: "codes \(codes.name)") { line, p in codes.value(line, p) - zeroPoint(line, p / group) }
      }
    }

    /// Of group `g` of a column: both ends of the range, and some between.
    static func zeroPoint(_ line: Int, _ g: Int) -> Int { [0, 15, 8, 3][(line + g) % 4] }
  }

  /// One product of a kernel's own operands.
  private struct Product: ~Copyable {
    let kernel: KernelDescriptor
    let shape: Shape
    let input: String
    let a: [Int]
    let w: [Int]
    let panels: AlignedBuffer<UInt8>
    let stride: Int
    let sums: AlignedBuffer<Int32>
    let ones: AlignedBuffer<Float>

    init(_ kernel: KernelDescriptor, _ shape: Shape, _ a: Pattern, _ w: Pattern) throws(KernelError) {
      self.kernel = kernel
      self.shape = shape
      let (m, n, k) = (shape.m, shape.n, shape.k)
      input = "activations \(a.name), weights \(w.name), m=\(m) n=\(n) k=\(k)"
      self.a = (0..<m * k).map { a.value($0 / k, $0 % k) }
      self.w = (0..<n * k).map { w.value($0 / k, $0 % k) }
      let group = kernel.b?.groupSize
      let hasZeroPoints = kernel.b?.hasZeroPoints ?? false
      let codes = AlignedBuffer(
        self.w.enumerated().map { at, w in
          guard let group, kernel.b != .s8g32 else { return UInt8(truncatingIfNeeded: w) }
          guard hasZeroPoints else { return UInt8(w + 8) }
          let zero = Pattern.zeroPoint(at / k, at % k / group)
          return UInt8(w + zero | zero << 4)
        })
      let padded = (n + kernel.nr - 1) / kernel.nr * kernel.nr
      ones = AlignedBuffer([Float](repeating: 1, count: max(padded, m, group.map { max(m, n) * (k / $0) } ?? 0)))
      sums = AlignedBuffer(count: padded)
      var stride = 0
      panels = unsafe AlignedBuffer(count: wc_gemm_packed_bytes(kernel.row, n, k, &stride))
      self.stride = stride
      let packed = unsafe wc_gemm_pack(
        kernel.row, n, k, codes.unsafePointer, ones.unsafePointer, panels.unsafePointer,
        group == nil ? sums.unsafePointer : nil)
      try check(packed, "packing for \(kernel.name)")
    }

    func firstDifference(_ call: Call) throws(KernelError) -> (example: Example, saturated: Bool)? {
      let c = try unsafe run(call)
      for i in 0..<shape.m {
        for j in 0..<shape.n {
          let found = c[i * shape.n + j]
          let expected = result(i, j, pair: { $0 })
          if found == expected { continue }
          let cut = result(i, j) { min(max($0, Int(Int16.min)), Int(Int16.max)) }
          return (
            Example(input: input + ", row \(i), column \(j)", expected: Double(expected), found: Double(found)),
            found == cut
          )
        }
      }
      return nil
    }

    /// What C should hold: sums of `pair` of every two neighbouring products, and for 4-bit weights one
    /// group's after the other's in f32, as the ABI has it.
    private func result(_ i: Int, _ j: Int, pair: (Int) -> Int) -> Float {
      let k = shape.k
      let group = kernel.b?.groupSize ?? k
      var total: Float = 0
      for start in stride(from: 0, to: k, by: max(group, 1)) {
        var sum = 0
        for p in stride(from: start, to: start + group, by: 2) {
          let other = p + 1 < start + group ? a[i * k + p + 1] * w[j * k + p + 1] : 0
          sum += pair(a[i * k + p] * w[j * k + p] + other)
        }
        total = group == k ? Float(Int32(sum)) : total + Float(Int32(sum))
      }
      return total
    }

    private func stride(from: Int, to: Int, by: Int) -> StrideTo<Int> { Swift.stride(from: from, to: to, by: by) }

    private func run(_ call: Call) throws(KernelError) -> [Float] {
      let (m, n, k) = (shape.m, shape.n, shape.k)
      let lda = (k + kernel.kr - 1) / kernel.kr * kernel.kr
      let group = kernel.b?.groupSize
      let c = AlignedBuffer<Float>(count: m * n)
      let scratch = unsafe AlignedBuffer<UInt8>(count: kernel.row.pointee.gemm_scratch_bytes(k))
      let groupSums = AlignedBuffer<Int32>(
        group.map { group in
          (0..<m * (k / group)).map { at in
            Int32(a[at * group..<(at + 1) * group].reduce(0, +))
          }
        } ?? [])
      let codes = stored(lda: lda)
      var args = unsafe wc_gemm_args()
      unsafe args.m = m
      unsafe args.n = n
      unsafe args.k = k
      unsafe args.a = UnsafeRawPointer(codes.unsafePointer)
      unsafe args.lda = lda
      unsafe args.a_scale = UnsafePointer(ones.unsafePointer)
      unsafe args.lda_scale = group.map { k / $0 } ?? 0
      unsafe args.a_sum = UnsafePointer(groupSums.unsafePointer)
      unsafe args.lda_sum = group.map { k / $0 } ?? 0
      unsafe args.b = UnsafeRawPointer(panels.unsafePointer)
      unsafe args.b_panel_bytes = self.stride
      unsafe args.b_scale = UnsafePointer(ones.unsafePointer)
      unsafe args.b_sum = UnsafePointer(sums.unsafePointer)
      unsafe args.c = UnsafeMutableRawPointer(c.unsafePointer)
      unsafe args.ldc = n
      unsafe args.scratch = UnsafeMutableRawPointer(scratch.unsafePointer)
      unsafe args.flags = UInt32(WC_GEMM_FIRST | WC_GEMM_LAST)
      try check(unsafe call(&args), "\(kernel.name) on \(input)")
      return c.array()
    }

    /// The activations as the kernel's A type has them, rows padded to `lda`.
    private func stored(lda: Int) -> AlignedBuffer<UInt8> {
      let wide = kernel.a == .s16
      let padding = kernel.a == .u8 ? 128 : 0
      let buffer = AlignedBuffer<UInt8>(count: shape.m * lda * (wide ? 2 : 1))
      for i in 0..<shape.m {
        for p in 0..<lda {
          let value = p < shape.k ? a[i * shape.k + p] + padding : padding
          let at = i * lda + p
          if wide {
            unsafe UnsafeMutableRawPointer(buffer.unsafePointer)
              .storeBytes(of: Int16(value), toByteOffset: 2 * at, as: Int16.self)
          } else {
            unsafe buffer.unsafePointer[at] = UInt8(truncatingIfNeeded: value)
          }
        }
      }
      return buffer
    }
  }
}
