import CWallclockKernels
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
  /// products. An epilogue adds its own roundings: the slope of activations is at most 1.13, see `activation`
  /// for their own errors; bf16 rounds by 2⁻⁸ at most, codes by half a step.
  ///
  /// - Parameter scale: what one code counts, where the epilogue makes codes.
  package static func gemm(
    _ kernel: KernelDescriptor, k: Int, epilogue: Epilogue, _ element: GemmElement, scale: Double = 1
  ) -> Double {
    gemm(a: kernel.a, b: kernel.b, k: k, epilogue: epilogue, element, scale: scale)
  }

  /// For the types that are multiplied.
  ///
  /// - Parameter rounding: how far rounding of the activations may move the sum beside.
  static func gemm(
    a: ElementType?, b: ElementType?, k: Int, epilogue: Epilogue, _ element: GemmElement, scale: Double = 1,
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
    var bound = growth * element.magnitude + rounding
    if !epilogue.isDisjoint(with: .activations) {
      bound = 1.13 * bound + activation(epilogue, element.activated)
    }
    if epilogue.contains(.gated) {
      let ofUp = growth * element.upMagnitude + 1e-40
      bound = (abs(element.up) + ofUp) * bound + abs(element.activated) * ofUp
        + 2 * u * abs(element.activated * element.up)
    }
    let value = element.activated * element.up + element.residual
    if epilogue.contains(.residual) { bound += u * (abs(value) + abs(element.residual)) }
    bound += 2 * u * abs(value) + 1e-40
    switch epilogue.outputType {
    case .bf16: return bound + 0x1p-8 * (abs(value) + bound) + 0x1p-134
    case .s8, .u8: return scale > 0 ? min(254, bound / scale) + 0.5 + 1e-4 : 0.5
    default: return bound
    }
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

  /// For an activation itself, given its value: what kernels/common/math_scalar.hpp states. Within 5 ulp above
  /// −1; below, the error grows with x, which the value bounds. GELU: (5 + 2x²)·u, where x² ≤ 2·ln(1/|value|)
  /// since |x·Φ(x)| is at most the normal density; and the tail is lost below 10⁻¹². The others: |value| is at
  /// most |x|·e^−z, so z, which is |x| for SiLU, is at most 1.6·ln(1/|value|).
  static func activation(_ epilogue: Epilogue, _ value: Double) -> Double {
    let size = abs(value)
    let fall = value < 0 && size < 1 && size > 0 ? log(1 / size) : 0
    if epilogue.contains(.gelu) { return (10 + 4 * fall) * u * size + 1e-12 }
    if epilogue.contains(.silu) { return (10 + 3.2 * fall) * u * size + 1e-35 }
    if epilogue.contains(.geluTanh) { return (12 + 6.4 * fall) * u * size + 1e-35 }
    return 0
  }

  /// Frobenius error of attention for outputs of Frobenius norm `norm`.
  ///
  /// - Parameter magnitude: the norm of what the outputs would be with |V| for V. Where values cancel (one
  ///   column, queries that are alike) the rounding of the products alone, u of each, exceeds any multiple of
  ///   their sum, so four of it are allowed beside 5·10⁻⁶ of the norm.
  /// - Parameter narrow: weights are rounded to bf16 ahead of V, each by up to 2⁻⁹: then 5·10⁻³ of the norm, and where
  ///   values cancel 2⁻⁹ of the magnitude.
  public static func attention(norm: Double, magnitude: Double, narrow: Bool = false) -> Double {
    narrow ? 5e-3 * norm + 0x1p-9 * magnitude + 1e-30 : 5e-6 * norm + 4 * u * magnitude + 1e-30
  }

  /// Frobenius error of a recurrence in f32, for outputs or a state of Frobenius norm `norm`.
  ///
  /// - Parameter size: the norm of wc_recurrence_result's sizes. Where summands cancel, as in a state of one element,
  ///   their rounding exceeds any multiple of the sum: eight u of them are allowed beside 10⁻⁵ of the norm.
  public static func recurrence(norm: Double, size: Double) -> Double { 1e-5 * norm + 8 * u * size + 1e-35 }
  /// Frobenius error of a scan or a short convolution in f32, for outputs, or a state, of Frobenius norm `norm`.
  ///
  /// - Parameter magnitude: the norm of the sums of absolute values, of which rounding leaves a few u.
  public static func sequence(norm: Double, magnitude: Double = 0) -> Double {
    1e-5 * norm + 4 * u * magnitude + 1e-30
  }

  /// For one element of a convolution with a filter of `length` taps.
  ///
  /// - Parameters:
  ///   - x: the norm of the sequence; `filter`: that of the filter.
  ///   - skip: the magnitude of what the input itself adds.
  public static func longConv(length: Int, x: Double, filter: Double, skip: Double) -> Double {
    8 * u * max(1, log2(2 * Double(length))) * x * filter + 4 * u * skip + 1e-40
  }

  /// For one element of a row-wise op, relative to the scale of its row.
  ///
  /// - Parameter rowScale: the largest magnitude the element's row has in the oracle's output; for
  ///   layer norm the largest |y| + 2·|bias|, which bounds both terms of the last sum.
  /// - Parameter x: the element itself; of swiglu, whose gate falls faster than its value tells.
  public static func rowwise(_ op: Op, channels: Int, value: Double, rowScale: Double, x: Double = 0) -> Double {
    switch op {
    case .silu: activation(.silu, value)
    case .geluTanh: activation(.geluTanh, value)
    case .softplus: (10 + 4 * (value > 0 && value < 1 ? log(1 / value) : 0)) * u * value + 1e-36
    case .swiglu: (12 + 2 * (x < 0 && x.isFinite ? -x : 0)) * u * abs(value) + 1e-33
    case .rmsNorm: (8 + Double(channels).squareRoot()) * u * abs(value) + 1e-38
    // The difference from the greatest is rounded, and its error grows with it; so does the sum's with their number.
    case .softmax:
      value.isNaN ? 0 : (8 + 2 * (value > 0 ? log(rowScale / value) : 0) + 2 * Double(channels).squareRoot()) * u * value + 2e-38
    case .rope, .ropeInterleaved: 3 * u * rowScale + 1e-38
    case .gelu: activation(.gelu, value)
    case .residual: u * abs(value) + 1e-40
    case .embedding: 3 * u * rowScale + 1e-40
    case .layerNorm, .meanPool: 8 * Double(max(1, channels)).squareRoot() * u * max(rowScale, abs(value)) + 1e-30
    default: 0
    }
  }
}

/// One element of C as an oracle makes it, and what its tolerance is taken of.
package struct GemmElement: Sendable {
  /// Of codes: in units of the scale, clamped, not rounded, without the 128 of u8.
  package var value: Double
  /// Σ|a·w|, scaled as the output is, plus |bias|, of what the activation takes.
  package var magnitude: Double
  /// What the activation gives; the sum itself without one.
  package var activated: Double
  /// The gated factor, and `magnitude` of it; 1 and 0 without.
  package var up = 1.0
  package var upMagnitude = 0.0
  /// The residual that was added, or 0.
  package var residual = 0.0

  package init(
    value: Double, magnitude: Double, activated: Double, up: Double = 1, upMagnitude: Double = 0, residual: Double = 0
  ) {
    self.value = value
    self.magnitude = magnitude
    self.activated = activated
    self.up = up
    self.upMagnitude = upMagnitude
    self.residual = residual
  }

  init(_ element: wc_gemm_element) {
    self.init(
      value: element.value, magnitude: element.magnitude, activated: element.activated, up: element.up,
      upMagnitude: element.up_magnitude, residual: element.residual)
  }
}
