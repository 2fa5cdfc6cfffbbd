import CWallclockKernels
import WallclockCore

/// What a Mamba-1 layer's scan knows of its channels (Gu and Dao, arXiv 2312.00752).
public struct Mamba1Parameters: ~Copyable {
  public let channels: Int
  public let states: Int
  let a: AlignedBuffer<Float>
  let skip: AlignedBuffer<Float>
  let deltaBias: AlignedBuffer<Float>

  /// - Parameters:
  ///   - a: A, `channels×states`, row-major: −exp(A_log), so not positive.
  ///   - skip: D, `channels`, or nothing.
  ///   - deltaBias: what is added to Δ ahead of its softplus, `channels`, or nothing.
  /// - Throws: `KernelError.shapeMismatch` when sizes do not fit, or A has a value that is positive or no number.
  public init(a: [Float], states: Int, skip: [Float] = [], deltaBias: [Float] = []) throws(KernelError) {
    let channels = try ChannelPanels.channels(of: a, each: states, "A's states")
    guard let greatest = a.max(), greatest <= 0, !a.contains(where: \.isNaN) else {
      throw KernelError(.shapeMismatch, "A has to be −exp(A_log): at least one value, none positive or NaN")
    }
    try ChannelPanels.requireEach(skip, of: channels, "D")
    try ChannelPanels.requireEach(deltaBias, of: channels, "Δ's bias")
    self.channels = channels
    self.states = states
    // The kernels raise 2, not e, to a power.
    self.a = ChannelPanels.pack(a.map { $0 * Float(1.442_695_040_888_963_4) }, channels: channels, count: states)
    self.skip = AlignedBuffer(skip)
    self.deltaBias = AlignedBuffer(deltaBias)
  }
}

/// The rows of a batch of sequences that a scan reads and writes; row-major, without gaps.
@safe package struct Mamba1Rows {
  /// `batch·tokens×channels`: the input, Δ before bias and softplus, and the gate, or none.
  var u: UnsafePointer<Float>
  var delta: UnsafePointer<Float>
  var z: UnsafePointer<Float>?
  /// `batch·tokens×states`.
  var b: UnsafePointer<Float>
  var c: UnsafePointer<Float>
  /// `batch·tokens×channels`; overwritten.
  var y: UnsafeMutablePointer<Float>
  /// `batch` times the panels of `states`: before the first token, then after the last.
  var state: UnsafeMutablePointer<Float>

  package init(
    u: UnsafePointer<Float>, delta: UnsafePointer<Float>, z: UnsafePointer<Float>?, b: UnsafePointer<Float>,
    c: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, state: UnsafeMutablePointer<Float>
  ) {
    unsafe self.u = u
    unsafe self.delta = delta
    unsafe self.z = z
    unsafe self.b = b
    unsafe self.c = c
    unsafe self.y = y
    unsafe self.state = state
  }
}

/// Mamba-1's selective scan over a batch of sequences; a token at a time when decoding.
public final class Mamba1Operator: Sendable {
  public let kernel: KernelDescriptor
  private let bt: Int
  private let bc: Int

  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    try kernel.requireSequence(.mamba1, knobs: knobs, isas: isas)
    self.kernel = kernel
    bt = knobs[.bt] ?? 32
    bc = knobs[.bc] ?? 1 << 24
  }

  /// Runs `tokens` of each of `batch` sequences.
  package func run(
    batch: Int, tokens: Int, parameters: borrowing Mamba1Parameters, rows: Mamba1Rows, on executor: any Executor
  ) {
    let (channels, states) = (parameters.channels, parameters.states)
    let a = unsafe UnsafePointer(parameters.a.unsafePointer)
    let skip = unsafe parameters.skip.count == 0 ? nil : UnsafePointer(parameters.skip.unsafePointer)
    let bias = unsafe parameters.deltaBias.count == 0 ? nil : UnsafePointer(parameters.deltaBias.unsafePointer)
    let function = unsafe kernel.row.pointee.mamba1!
    let stateSize = ChannelPanels.size(channels: channels, count: states)
    let bt = self.bt
    ChannelRanges(batch: batch, channels: channels, perRange: bc).forEach(on: executor) { sequence, range, _ in
      let row = sequence * tokens
      let first = range.lowerBound
      var args = unsafe Mamba1Operator.arguments(
        rows, row: row, tokens: tokens, channels: channels, states: states, state: rows.state + sequence * stateSize)
      unsafe args.channels = range.count
      unsafe args.u += first
      unsafe args.delta += first
      if unsafe args.z != nil { unsafe args.z += first }
      unsafe args.y += first
      unsafe args.a = a + first * states
      unsafe args.state += first * states
      unsafe args.skip = skip.map { unsafe $0 + first }
      unsafe args.delta_bias = bias.map { unsafe $0 + first }
      unsafe args.bt = bt
      // Every field is within what the header allows.
      _ = unsafe function(&args)
    }
  }

  /// All channels of one sequence whose first row is `row`; without what the parameters give.
  static func arguments(
    _ rows: Mamba1Rows, row: Int, tokens: Int, channels: Int, states: Int, state: UnsafeMutablePointer<Float>
  ) -> wc_mamba1_args {
    var args = unsafe wc_mamba1_args()
    unsafe args.tokens = tokens
    unsafe args.channels = channels
    unsafe args.states = states
    unsafe args.u = rows.u + row * channels
    unsafe args.ldu = channels
    unsafe args.delta = rows.delta + row * channels
    unsafe args.ld_delta = channels
    unsafe args.z = rows.z.map { unsafe $0 + row * channels }
    unsafe args.ldz = channels
    unsafe args.b = rows.b + row * states
    unsafe args.ldb = states
    unsafe args.c = rows.c + row * states
    unsafe args.ldc = states
    unsafe args.y = rows.y + row * channels
    unsafe args.ldy = channels
    unsafe args.state = state
    return unsafe args
  }
}
