import CWallclockKernels
import WallclockCore

/// How a token is drawn by its logits.
///
/// Weights are e^(logit/temperature); of the `topK` greatest, ties by index, the fewest that have `topP` of their weight
/// stay, and among those a uniform number decides, in the order of indices. The same numbers draw the same tokens on every
/// ISA.
public struct TokenSampling: Sendable, Hashable {
  /// 0: always the greatest, as argmax.
  public let temperature: Float
  /// nil: all of them.
  public let topK: Int?
  public let topP: Float

  /// - Throws: `KernelError.shapeMismatch` when a number is outside of what kernels take.
  public init(temperature: Float = 1, topK: Int? = nil, topP: Float = 1) throws(KernelError) {
    guard temperature == 0 || (0x1p-20...0x1p20).contains(temperature) else {
      throw KernelError(.shapeMismatch, "temperature \(temperature): expected 0, or 2⁻²⁰ to 2²⁰")
    }
    guard topK == nil || (1...Int(WC_LARGEST_TOP_K)).contains(topK!) else {
      throw KernelError(.shapeMismatch, "top-k \(topK!): expected 1 to \(WC_LARGEST_TOP_K), or none")
    }
    guard topP > 0, topP <= 1 else {
      throw KernelError(.shapeMismatch, "top-p \(topP): expected more than 0 and at most 1")
    }
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
  }

  func apply(to args: inout wc_rowwise_args) {
    unsafe args.temperature = temperature
    unsafe args.k = topK ?? 0
    unsafe args.top_p = topP
  }
}

extension RowwiseOperator {
  /// The token of each row of logits that `sampling` and its uniform number draw; −1 where a row has a NaN, or its
  /// greatest is infinite.
  ///
  /// - Parameters:
  ///   - logits: rows×vocabulary, row-major without gaps.
  ///   - uniform: a number in 0 ..< 1 for each row.
  /// - Throws: `KernelError.shapeMismatch` when sizes do not fit or a number is no uniform one.
  public func sample(
    _ logits: Span<Float>, vocabulary: Int, sampling: TokenSampling, uniform: Span<Double>, on executor: any Executor
  ) throws(KernelError) -> [Int32] {
    guard kernel.op == .sampling else {
      throw KernelError(.unsupported, "\(kernel.name) computes \(kernel.op.rawValue), not sampling")
    }
    guard (1...1 << 20).contains(vocabulary), logits.count == uniform.count * vocabulary else {
      throw KernelError(
        .shapeMismatch,
        "\(logits.count) logits for \(uniform.count) rows of \(vocabulary): expected rows × vocabulary, of at most \(1 << 20)")
    }
    for i in 0..<uniform.count where !(uniform[i] >= 0 && uniform[i] < 1) {
      throw KernelError(.shapeMismatch, "uniform[\(i)] is \(uniform[i]): expected 0 or more and less than 1")
    }
    let tokens = AlignedBuffer<Int32>(count: uniform.count)
    unsafe logits.withUnsafeBufferPointer { logits in
      unsafe uniform.withUnsafeBufferPointer { uniform in
        var args = unsafe wc_rowwise_args()
        unsafe args.columns = vocabulary
        unsafe args.x = logits.baseAddress
        unsafe args.ldx = vocabulary
        unsafe args.indices = tokens.unsafePointer
        unsafe args.ld_indices = 1
        unsafe args.uniform = uniform.baseAddress
        unsafe sampling.apply(to: &args)
        unsafe runRows(kernel, args, count: uniform.count, grain: grain, on: executor)
      }
    }
    return tokens.array()
  }
}
