import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// How far a kernel's output may be from the f64 oracle. Defined once, for tests, bench and tuner.
public enum Tolerance {
  /// The unit roundoff of f32, 2⁻²⁴.
  public static let u = 0x1p-24

  /// For one element of a GEMM's output.
  ///
  /// Integer accumulation is exact; its scaled output is within 4u of the f64 value of the same
  /// integers. Floating accumulation over K is within `min(8√K·u, γ_K)` of the sum of absolute
  /// products. An epilogue adds its own roundings: GELU's slope is at most 1.13, see `gelu` for its own error.
  ///
  /// - Parameters:
  ///   - magnitude: Σ|a·w| behind the element, scaled as the output is, plus |bias|.
  ///   - value: the oracle's element.
  ///   - residual: the residual that was added, or 0.
  public static func gemm(
    _ kernel: KernelDescriptor, k: Int, epilogue: Epilogue, value: Double, magnitude: Double,
    residual: Double
  ) -> Double {
    gemm(
      a: kernel.a, b: kernel.b, k: k, epilogue: epilogue, value: value, magnitude: magnitude, residual: residual)
  }

  /// For the types that are multiplied.
  ///
  /// - Parameter rounding: how far rounding of the activations may move the sum beside.
  static func gemm(
    a: ElementType?, b: ElementType?, k: Int, epilogue: Epilogue, value: Double, magnitude: Double, residual: Double,
    rounding: Double = 0
  ) -> Double {
    let exactSums = a == .s8 || a == .u8 || a == .s16
    let groups = b?.groupSize.map { Double(max(1, k / $0)) } ?? 1
    let growth: Double
    if exactSums {
      growth = 4 * u + (groups > 1 ? min(8 * groups.squareRoot() * u, groups * u / (1 - groups * u)) : 0)
    } else {
      let terms = Double(max(1, k))
      growth = min(8 * terms.squareRoot() * u, terms * u / (1 - terms * u)) + 2 * u
    }
    var bound = growth * magnitude + rounding
    if epilogue.contains(.gelu) { bound = 1.13 * bound + gelu(value - residual) }
    if epilogue.contains(.residual) { bound += u * (abs(value) + abs(residual)) }
    return bound + 2 * u * abs(value) + 1e-40
  }

  /// What rounding activations to a grid of `step` may move a sum over K by: half a step each at the most, and six
  /// deviations of as many independent errors, which are uniform over a step.
  ///
  /// - Parameters:
  ///   - absolute: Σ|w| of the column.
  ///   - squares: Σw².
  static func rounding(step: Double, absolute: Double, squares: Double) -> Double {
    step * min(absolute / 2, 6 * (squares / 12).squareRoot())
  }

  /// For GELU itself, given its value: what kernels/common/math_scalar.hpp states. Within 5 ulp above
  /// −1; below, (5 + 2x²)·u of the value, where x² ≤ 2·ln(1/|value|) since |x·Φ(x)| is at most the
  /// normal density; and the tail is lost below 10⁻¹².
  static func gelu(_ value: Double) -> Double {
    let size = abs(value)
    let tail = value < 0 && size < 1 && size > 0 ? 4 * log(1 / size) : 0
    return (10 + tail) * u * size + 1e-12
  }

  /// Frobenius error of attention in f32, for outputs of Frobenius norm `norm`.
  ///
  /// - Parameter magnitude: the norm of what the outputs would be with |V| for V. Where values cancel (one
  ///   column, queries that are alike) the rounding of the products alone, u of each, exceeds any multiple of
  ///   their sum, so four of it are allowed beside 5·10⁻⁶ of the norm.
  public static func attention(norm: Double, magnitude: Double) -> Double {
    5e-6 * norm + 4 * u * magnitude + 1e-30
  }

  /// For one element of a row-wise op, relative to the scale of its row.
  ///
  /// - Parameter rowScale: the largest magnitude the element's row has in the oracle's output; for
  ///   layer norm the largest |y| + 2·|bias|, which bounds both terms of the last sum.
  public static func rowwise(_ op: Op, channels: Int, value: Double, rowScale: Double) -> Double {
    switch op {
    case .gelu: gelu(value)
    case .residual: u * abs(value) + 1e-40
    case .embedding: 3 * u * rowScale + 1e-40
    case .layerNorm, .meanPool: 8 * Double(max(1, channels)).squareRoot() * u * max(rowScale, abs(value)) + 1e-30
    case .quantize, .gemm, .attention: 0
    }
  }
}
