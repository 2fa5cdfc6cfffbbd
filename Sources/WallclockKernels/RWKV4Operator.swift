import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// What an RWKV-4 layer's WKV operator knows of its channels (Peng et al., arXiv 2305.13048).
public struct RWKV4Parameters: ~Copyable {
  public let channels: Int
  let panels: AlignedBuffer<Float>
  /// The panels that kernels take, see `wc_rwkv4_args`.
  package var values: AlignedBuffer<Float> { AlignedBuffer(panels.array()) }
  /// Values a channel has in `panels`, and in a state.
  static let fixed = 4
  public static let state = 3

  /// From here on sums and outputs need units of their own, see `wc_rwkv4_args`.
  private static let mostHalvings = 60.0

  /// - Parameters:
  ///   - decay: w, what exponents fall by a token, one for each channel: checkpoints hold its logarithm as `time_decay`. Above
  ///     a million, where nothing is left of a token either way, it counts as 2²¹·ln 2.
  ///   - bonus: u, what is added to a token's own exponent: `time_first`.
  /// - Throws: `KernelError.shapeMismatch` when sizes differ, a w is negative, or one is no number.
  public init(decay: [Float], bonus: [Float]) throws(KernelError) {
    let channels = try ChannelPanels.channels(of: decay, each: 1, "w")
    try ChannelPanels.requireEach(bonus, of: channels, "u", optional: false)
    guard decay.allSatisfy({ $0 >= 0 && $0.isFinite }), bonus.allSatisfy(\.isFinite) else {
      throw KernelError(.shapeMismatch, "w has to be exp(time_decay), finite and not negative, and u finite")
    }
    let log2e = 1.442_695_040_888_963_4
    let panels = AlignedBuffer<Float>(count: ChannelPanels.size(channels: channels, count: Self.fixed))
    for panel in stride(from: 0, to: channels, by: ChannelPanels.channels) {
      let range = panel..<min(channels, panel + ChannelPanels.channels)
      let isWide = range.contains {
        Double(decay[$0]) * log2e > Self.mostHalvings || abs(Double(bonus[$0])) * log2e > Self.mostHalvings
      }
      for channel in range {
        let (w, u) = (Double(decay[channel]), Double(bonus[channel]))
        let halvings = min(w * log2e, 0x1p21)
        let whole = halvings > Self.mostHalvings ? Double(Float(halvings).rounded(.toNearestOrEven)) : 0
        let values = [exp2(whole - halvings), halvings, isWide ? 0 : exp(u), u * log2e]
        for (index, value) in values.enumerated() {
          unsafe panels.unsafePointer[ChannelPanels.place(channel: channel, index: index, count: Self.fixed)] = Float(value)
        }
      }
    }
    self.channels = channels
    self.panels = panels
  }

  /// The state ahead of a sequence's first token.
  public func emptyState() -> AlignedBuffer<Float> {
    ChannelPanels.pack((0..<channels).flatMap { _ in [0, 0, -1e38] as [Float] }, channels: channels, count: Self.state)
  }
}

/// RWKV-4's WKV operator over a batch of sequences; a token at a time when decoding.
public final class RWKV4Operator: Sendable {
  public let kernel: KernelDescriptor
  private let bt: Int
  private let bc: Int

  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    try kernel.requireSequence(.rwkv4, knobs: knobs, isas: isas)
    self.kernel = kernel
    bt = knobs[.bt] ?? 4
    bc = knobs[.bc] ?? 1 << 24
  }

  /// Runs `tokens` of each of `batch` sequences.
  ///
  /// - Parameters:
  ///   - k: `batch·tokens×channels`, row-major without gaps; v the same.
  ///   - y: the same; overwritten. Neither k nor v.
  ///   - state: `batch` times the panels of A, B, P: before the first token, then after the last.
  package func run(
    batch: Int, tokens: Int, parameters: borrowing RWKV4Parameters, k: UnsafePointer<Float>, v: UnsafePointer<Float>,
    y: UnsafeMutablePointer<Float>, state: UnsafeMutablePointer<Float>, on executor: any Executor
  ) {
    let channels = parameters.channels
    let all = unsafe RWKV4Operator.arguments(parameters, tokens: tokens, k: k, v: v, y: y, state: state, bt: bt)
    let function = unsafe kernel.row.pointee.rwkv4!
    let stateSize = ChannelPanels.size(channels: channels, count: RWKV4Parameters.state)
    ChannelRanges(batch: batch, channels: channels, perRange: bc).forEach(on: executor) { sequence, range, _ in
      var args = unsafe RWKV4Operator.part(all, range)
      let row = sequence * tokens * channels
      unsafe args.k += row
      unsafe args.v += row
      unsafe args.y += row
      unsafe args.state += sequence * stateSize
      // Every field is within what the header allows.
      _ = unsafe function(&args)
    }
  }

  /// All channels of the first sequence.
  static func arguments(
    _ parameters: borrowing RWKV4Parameters, tokens: Int, k: UnsafePointer<Float>, v: UnsafePointer<Float>,
    y: UnsafeMutablePointer<Float>, state: UnsafeMutablePointer<Float>, bt: Int
  ) -> wc_rwkv4_args {
    var args = unsafe wc_rwkv4_args()
    unsafe args.tokens = tokens
    unsafe args.channels = parameters.channels
    unsafe args.k = k
    unsafe args.ldk = parameters.channels
    unsafe args.v = v
    unsafe args.ldv = parameters.channels
    unsafe args.parameters = UnsafePointer(parameters.panels.unsafePointer)
    unsafe args.y = y
    unsafe args.ldy = parameters.channels
    unsafe args.state = state
    unsafe args.bt = bt
    return unsafe args
  }

  /// The range of channels, which begins at a panel.
  static func part(_ all: wc_rwkv4_args, _ range: Range<Int>) -> wc_rwkv4_args {
    let first = range.lowerBound
    var args = unsafe all
    unsafe args.channels = range.count
    unsafe args.k += first
    unsafe args.v += first
    unsafe args.y += first
    unsafe args.parameters += first * RWKV4Parameters.fixed
    unsafe args.state += first * RWKV4Parameters.state
    return unsafe args
  }
}
