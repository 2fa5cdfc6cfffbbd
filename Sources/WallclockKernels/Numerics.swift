import WallclockCore

/// What decides the bits of a GEMM's result.
///
/// Kernels of one class give every row of C the same bits, and a row's bits depend on that row of A, on the
/// weights and on the epilogue alone: not on M, nor on which other rows are there, on blocks, on prefetching or
/// on threads. A decoder that checks drafted tokens many at a time (M > 1) against what it would have made one
/// at a time (M = 1) loses nothing as long as its Schedules are of one class.
///
/// Integer kernels that are exact are one class for each type of weights, on every ISA. Sums in floating point
/// depend on the instruction that adds: fused multiply-adds in ascending K are one class wherever they run;
/// plain C++, whose products are rounded, is another, and so are dot products of bf16 values for each instruction
/// set and number of values that it adds at once.
public struct NumericsClass: Hashable, Sendable, CustomStringConvertible {
  public let description: String

  /// - Returns: nil for what is no GEMM.
  init?(_ kernel: KernelDescriptor) {
    guard kernel.op == .gemm, let a = kernel.a, let b = kernel.b else { return nil }
    if kernel.isExact {
      description = "s8·\(b.rawValue)"
    } else if a == .f32, kernel.isa != .scalar {
      description = "f32·\(b.rawValue) fma"
    } else {
      description = "\(a.rawValue)·\(b.rawValue) \(kernel.isa.rawValue) k\(kernel.kr)"
    }
  }
}

extension KernelDescriptor {
  /// The class of a GEMM kernel; nil for other ops.
  public var numerics: NumericsClass? { NumericsClass(self) }
}
