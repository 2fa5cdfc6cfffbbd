import CWallclockKernels
import WallclockCore

/// A weight matrix in one Format, as quantisation made it: codes N×K row-major (row n = output n)
/// and their scales. What packing and the oracle both start from.
public final class QuantizedWeights: Sendable {
  public let format: Format
  public let n: Int
  public let k: Int
  package let codes: AlignedBuffer<UInt8>
  package let scales: AlignedBuffer<Float>

  /// Quantises `weights`, N×K row-major f32, symmetrically and to nearest (see the kernel ABI for the
  /// exact rules).
  ///
  /// - Throws: `KernelError.shapeMismatch` when the count is not n·k, or K is not a multiple of the group.
  public convenience init(
    _ weights: borrowing AlignedBuffer<Float>, n: Int, k: Int, format: Format
  ) throws(KernelError) {
    guard weights.count == n * k else {
      throw KernelError(.shapeMismatch, "weights hold \(weights.count) values, expected \(n)×\(k) = \(n * k)")
    }
    try unsafe self.init(weights.unsafePointer, n: n, k: k, format: format)
  }

  package init(_ weights: UnsafePointer<Float>, n: Int, k: Int, format: Format) throws(KernelError) {
    guard format.admits(k: k) else {
      throw KernelError(
        .shapeMismatch,
        "\(format) needs K to be a multiple of its group of \(format.groupSize!), found K=\(k); choose a format without groups"
      )
    }
    self.format = format
    self.n = n
    self.k = k
    let bytesPerCode = format == .f32 ? 4 : format == .bf16 ? 2 : 1
    let scaleCount = format.groupSize.map { n * (k / $0) } ?? (format.weightType == .s8 ? n : 0)
    codes = AlignedBuffer<UInt8>(count: n * k * bytesPerCode)
    scales = AlignedBuffer<Float>(count: scaleCount)
    try unsafe check(
      wc_weights_quantize(
        format.weightType.c, n, k, weights, k, codes.unsafePointer, scales.unsafePointer),
      "quantising \(n)×\(k) weights to \(format)")
  }

  /// The K values that kernels multiply by for output `n`.
  func column(_ n: Int) -> [Float] {
    let bytesPerCode = format == .f32 ? 4 : format == .bf16 ? 2 : 1
    let scales = self.scales.count / max(1, self.n)
    return unsafe [Float](unsafeUninitializedCapacity: k) { out, count in
      let status = unsafe wc_weights_dequantize(
        format.weightType.c, 1, k, codes.unsafePointer + n * k * bytesPerCode,
        self.scales.unsafePointer + n * scales, out.baseAddress!, k)
      precondition(status == WC_OK, "weights of \(format) that this object made")
      count = k
    }
  }

  /// The values kernels multiply by, N×K f32.
  public func dequantized() throws(KernelError) -> AlignedBuffer<Float> {
    let out = AlignedBuffer<Float>(count: n * k)
    try unsafe check(
      wc_weights_dequantize(
        format.weightType.c, n, k, codes.unsafePointer, scales.unsafePointer, out.unsafePointer, k),
      "dequantising \(n)×\(k) weights of \(format)")
    return out
  }
}

/// Weights in the layout one family of kernels reads; made once, ahead of every call.
public final class PackedWeights: Sendable {
  /// The kernel they were packed for; kernels with equal layout, nr, kr and B type read them too.
  public let kernel: KernelDescriptor
  public let n: Int
  public let k: Int
  /// For gated epilogues: each panel has gates and then their ups.
  public let isGated: Bool
  /// Panels as the layout orders them.
  package let panels: AlignedBuffer<UInt8>
  package let panelBytes: Int
  /// Per output channel, for 8-bit weights.
  package let scales: AlignedBuffer<Float>
  package let sums: AlignedBuffer<Int32>

  /// - Parameter gated: W's rows are all gates and then all ups, which are brought together.
  /// - Throws: `KernelError.unsupported` when `kernel` does not serve the weights' format, `shapeMismatch` when
  ///   gated weights have an odd N.
  public init(_ weights: QuantizedWeights, for kernel: KernelDescriptor, gated: Bool = false) throws(KernelError) {
    guard kernel.serves(weights.format) else {
      throw KernelError(.unsupported, "\(kernel.name) does not take \(weights.format) weights")
    }
    guard !gated || weights.n % 2 == 0 else {
      throw KernelError(.shapeMismatch, "gated weights are half gates, half ups; found N=\(weights.n), an odd number")
    }
    self.kernel = kernel
    n = weights.n
    k = weights.k
    isGated = gated
    let rows = PackedRows(weights, kernel: kernel, gated: gated)
    var stride = 0
    let bytes = unsafe wc_gemm_packed_bytes(kernel.row, rows.count, k, &stride)
    panelBytes = stride
    panels = AlignedBuffer<UInt8>(count: bytes)
    let paddedN = (n + kernel.nr - 1) / kernel.nr * kernel.nr
    let perChannel = weights.format.weightType == .s8
    scales = AlignedBuffer<Float>(count: perChannel ? paddedN : 0)
    sums = AlignedBuffer<Int32>(count: perChannel ? paddedN : 0)
    if perChannel {
      for i in 0..<rows.count { unsafe scales.unsafePointer[i] = rows.scales[i] }
    }
    try unsafe check(
      wc_gemm_pack(
        kernel.row, rows.count, k, rows.codes, rows.scales,
        panels.unsafePointer, perChannel ? sums.unsafePointer : nil),
      "packing \(n)×\(k) \(weights.format) weights for \(kernel.name)")
  }

  /// The same bytes in fresh memory: cold measurements rotate over such copies.
  package init(copying other: PackedWeights) {
    kernel = other.kernel
    n = other.n
    k = other.k
    isGated = other.isGated
    panelBytes = other.panelBytes
    panels = unsafe AlignedBuffer(UnsafeBufferPointer(start: other.panels.unsafePointer, count: other.panels.count))
    scales = unsafe AlignedBuffer(UnsafeBufferPointer(start: other.scales.unsafePointer, count: other.scales.count))
    sums = unsafe AlignedBuffer(UnsafeBufferPointer(start: other.sums.unsafePointer, count: other.sums.count))
  }

  /// Bytes a full pass over the weights reads.
  public var bytes: Int { panels.count + 4 * scales.count + 4 * sums.count }
}
