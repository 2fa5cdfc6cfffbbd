import CWallclockKernels
import WallclockCore

/// The filters of a short causal convolution, one per channel.
public struct Conv1dParameters: ~Copyable {
  public let channels: Int
  public let width: Int
  let weight: AlignedBuffer<Float>
  let bias: AlignedBuffer<Float>

  /// - Parameters:
  ///   - weight: `channels×width`, row-major, the newest row's tap last, as PyTorch's depthwise Conv1d has them.
  ///   - bias: `channels`, or nothing.
  /// - Throws: `KernelError.shapeMismatch` when sizes do not fit.
  public init(weight: [Float], width: Int, bias: [Float] = []) throws(KernelError) {
    let channels = try ChannelPanels.channels(of: weight, each: width, "the filters' taps")
    try ChannelPanels.requireEach(bias, of: channels, "the bias")
    self.channels = channels
    self.width = width
    self.weight = ChannelPanels.pack(weight, channels: channels, count: width)
    self.bias = AlignedBuffer(bias)
  }
}

/// A short causal convolution along time, the last rows carried from call to call.
public final class Conv1dOperator: Sendable {
  public let kernel: KernelDescriptor
  private let bc: Int

  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    try kernel.requireSequence(.causalConv1d, knobs: knobs, isas: isas)
    self.kernel = kernel
    bc = knobs[.bc] ?? 1 << 24
  }

  /// Runs `tokens` of each of `batch` sequences.
  ///
  /// - Parameters:
  ///   - x: `batch·tokens×channels`, row-major without gaps.
  ///   - y: the same; overwritten. Not x.
  ///   - state: `batch` times the panels of `width − 1`, the oldest row first: before the first token, then after
  ///     the last.
  ///   - silu: whether SiLU follows.
  package func run(
    batch: Int, tokens: Int, parameters: borrowing Conv1dParameters, x: UnsafePointer<Float>,
    y: UnsafeMutablePointer<Float>, state: UnsafeMutablePointer<Float>, silu: Bool, on executor: any Executor
  ) {
    let (channels, width) = (parameters.channels, parameters.width)
    let all = unsafe Conv1dOperator.arguments(
      parameters, tokens: tokens, x: x, y: y, state: state, silu: silu)
    let function = unsafe kernel.row.pointee.conv1d!
    let stateSize = ChannelPanels.size(channels: channels, count: width - 1)
    ChannelRanges(batch: batch, channels: channels, perRange: bc).forEach(on: executor) { sequence, range, _ in
      var args = unsafe Conv1dOperator.part(all, range)
      let row = sequence * tokens * channels
      unsafe args.x += row
      unsafe args.y += row
      unsafe args.state += sequence * stateSize
      // Every field is within what the header allows.
      _ = unsafe function(&args)
    }
  }

  /// All channels of the first sequence.
  static func arguments(
    _ parameters: borrowing Conv1dParameters, tokens: Int, x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>,
    state: UnsafeMutablePointer<Float>, silu: Bool
  ) -> wc_conv1d_args {
    var args = unsafe wc_conv1d_args()
    unsafe args.tokens = tokens
    unsafe args.channels = parameters.channels
    unsafe args.width = parameters.width
    unsafe args.x = x
    unsafe args.ldx = parameters.channels
    unsafe args.weight = UnsafePointer(parameters.weight.unsafePointer)
    if parameters.bias.count > 0 { unsafe args.bias = UnsafePointer(parameters.bias.unsafePointer) }
    unsafe args.y = y
    unsafe args.ldy = parameters.channels
    unsafe args.state = state
    unsafe args.silu = silu ? 1 : 0
    return unsafe args
  }

  /// The range of channels, which begins at a panel.
  static func part(_ all: wc_conv1d_args, _ range: Range<Int>) -> wc_conv1d_args {
    let first = range.lowerBound
    var args = unsafe all
    unsafe args.channels = range.count
    unsafe args.x += first
    unsafe args.y += first
    unsafe args.weight += first * args.width
    if unsafe args.bias != nil { unsafe args.bias += first }
    unsafe args.state += first * (args.width - 1)
    return unsafe args
  }
}
