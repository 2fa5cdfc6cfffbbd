import CWallclockKernels
import WallclockCore

/// Where a kernel's gated panels have the columns of W, whose rows are all gates and then all ups.
@safe package struct GatedOrder {
  private let kernel: KernelDescriptor
  private let n: Int

  package init(_ kernel: KernelDescriptor, n: Int) {
    self.kernel = kernel
    self.n = n
  }

  /// Columns of whole panels.
  package var columns: Int { (n + kernel.nr - 1) / kernel.nr * kernel.nr }

  /// The packed column of W's row.
  package func column(of row: Int) -> Int { unsafe wc_gemm_gated_column(kernel.row, n, row) }

  /// `parts` values of each row of W, in the order of columns, zeros where nothing is.
  package func arranged<Element: BitwiseCopyable & AdditiveArithmetic>(
    _ values: borrowing AlignedBuffer<Element>
  ) -> AlignedBuffer<Element> {
    let parts = values.count / max(1, n)
    let out = AlignedBuffer<Element>(count: columns * parts)
    for row in 0..<n where parts > 0 {
      unsafe (out.unsafePointer + column(of: row) * parts).update(from: values.unsafePointer + row * parts, count: parts)
    }
    return out
  }
}

/// Rows of codes and scales in the order in which they are packed; valid while this and the weights live.
@safe struct PackedRows: ~Copyable {
  let count: Int
  private let weights: QuantizedWeights
  private let arrangedCodes: AlignedBuffer<UInt8>
  private let arrangedScales: AlignedBuffer<Float>
  private let gated: Bool

  init(_ weights: QuantizedWeights, kernel: KernelDescriptor, gated: Bool) {
    self.weights = weights
    self.gated = gated
    guard gated else {
      count = weights.n
      arrangedCodes = AlignedBuffer(count: 0)
      arrangedScales = AlignedBuffer(count: 0)
      return
    }
    let order = GatedOrder(kernel, n: weights.n)
    count = order.columns
    arrangedCodes = order.arranged(weights.codes)
    arrangedScales = order.arranged(weights.scales)
  }

  var codes: UnsafePointer<UInt8> { unsafe UnsafePointer((gated ? arrangedCodes.unsafePointer : weights.codes.unsafePointer)) }
  var scales: UnsafePointer<Float> {
    unsafe UnsafePointer((gated ? arrangedScales.unsafePointer : weights.scales.unsafePointer))
  }
}
