import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// A diagonal state space's channels, held for the length of a step (Gu et al., arXiv 2206.11893).
public struct S4DParameters: ~Copyable {
  public let channels: Int
  /// Conjugate pairs of a channel; its state is two values for each.
  public let pairs: Int
  let lambda: AlignedBuffer<Float>
  let c: AlignedBuffer<Float>
  let skip: [Float]
  fileprivate let skipPanels: AlignedBuffer<Float>

  /// Holds the continuous system by zero-order hold: λ = e^(ΔA) and C·(λ − 1)/A, in f64, then rounded.
  ///
  /// - Parameters:
  ///   - delta: Δ, the length of a step, `channels`.
  ///   - a: one of each conjugate pair of A, `channels×pairs` times its real and its imaginary part, row-major.
  ///   - c: C, the same; B is folded into it.
  ///   - skip: D, `channels`, or nothing.
  /// - Throws: `KernelError.shapeMismatch` when sizes do not fit, Δ is not positive, A has a positive real part, or something
  ///   is no finite number.
  public init(delta: [Float], a: [Float], c: [Float], pairs: Int, skip: [Float] = []) throws(KernelError) {
    let channels = try ChannelPanels.channels(of: a, each: 2 * pairs, "A's pairs")
    try ChannelPanels.requireEach(c, of: channels, count: 2 * pairs, "C", optional: false)
    try ChannelPanels.requireEach(delta, of: channels, "Δ", optional: false)
    try ChannelPanels.requireEach(skip, of: channels, "D")
    guard delta.allSatisfy({ $0 > 0 && $0.isFinite }), a.allSatisfy(\.isFinite), c.allSatisfy(\.isFinite) else {
      throw KernelError(.shapeMismatch, "Δ has to be positive, and Δ, A and C finite")
    }
    var (lambdas, factors) = (a, c)
    for i in stride(from: 0, to: a.count, by: 2) {
      let (re, im) = (Double(a[i]), Double(a[i + 1]))
      guard re <= 0 else { throw KernelError(.shapeMismatch, "A has a real part of \(re), which grows without bound; give −exp(log_A_real)") }
      let step = Double(delta[i / (2 * pairs)])
      let size = exp(step * re)
      let (lr, li) = (size * cos(step * im), size * sin(step * im))
      lambdas[i] = Float(lr)
      lambdas[i + 1] = Float(li)
      // (λ − 1)/A, of which Δ is the limit where A vanishes; near it λ − 1 is made without cancelling.
      let grown = expm1(step * re)
      let (sine, half) = (sin(step * im), sin(step * im / 2))
      let (nr, ni) = (grown * cos(step * im) - 2 * half * half, size * sine)
      let norm = re * re + im * im
      let (hr, hi) = norm > 0 ? ((nr * re + ni * im) / norm, (ni * re - nr * im) / norm) : (step, 0)
      let (cr, ci) = (Double(c[i]), Double(c[i + 1]))
      factors[i] = Float(2 * (cr * hr - ci * hi))
      factors[i + 1] = Float(-2 * (cr * hi + ci * hr))
    }
    self.channels = channels
    self.pairs = pairs
    lambda = ChannelPanels.pack(lambdas, channels: channels, count: 2 * pairs)
    self.c = ChannelPanels.pack(factors, channels: channels, count: 2 * pairs)
    self.skip = skip
    skipPanels = AlignedBuffer(skip)
  }

  /// λ and C as the kernels have them, `channels×pairs×2`.
  package func lambdaAndC() -> (lambda: [Float], c: [Float]) {
    (
      ChannelPanels.unpack(lambda, channels: channels, count: 2 * pairs),
      ChannelPanels.unpack(c, channels: channels, count: 2 * pairs)
    )
  }

  /// The first `length` taps of the convolution that the system is, `length×channels`, without D. Phases are made in f64.
  public func taps(length: Int) throws(KernelError) -> AlignedBuffer<Float> {
    let taps = AlignedBuffer<Float>(count: length * channels)
    let scratch = AlignedBuffer<Double>(count: Int(WC_S4D_FILTER_SCRATCH) * pairs)
    try unsafe check(
      wc_s4d_filter(
        length, channels, pairs, lambda.unsafePointer, c.unsafePointer, taps.unsafePointer, channels, scratch.unsafePointer),
      "s4d's \(length) taps")
    return taps
  }
}

/// A diagonal state space as a recurrence over a batch of sequences; a token at a time when decoding.
///
/// As a convolution the same system is a `LongConvOperator` with the filter of `S4DParameters.taps`: for whole
/// sequences, since it keeps no state.
public final class S4DOperator: Sendable {
  public let kernel: KernelDescriptor
  private let bt: Int
  private let bc: Int

  /// - Throws: `KernelError.unsupported` for a row that convolves.
  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    try kernel.requireSequence(.s4d, knobs: knobs, isas: isas)
    guard !kernel.isLongConvolution else {
      throw KernelError(.unsupported, "\(kernel.name) convolves and keeps no state; take one that scans, or a LongConvOperator")
    }
    self.kernel = kernel
    bt = knobs[.bt] ?? 16
    bc = knobs[.bc] ?? 1 << 24
  }

  /// Runs `tokens` of each of `batch` sequences.
  ///
  /// - Parameters:
  ///   - u: `batch·tokens×channels`, row-major without gaps.
  ///   - y: the same; overwritten. Not u.
  ///   - state: `batch` times the panels of `2·pairs`: before the first token, then after the last.
  ///   - begins: whether sequences begin here: the state is then written only.
  package func run(
    batch: Int, tokens: Int, parameters: borrowing S4DParameters, u: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>,
    state: UnsafeMutablePointer<Float>, begins: Bool, on executor: any Executor
  ) {
    let channels = parameters.channels
    let all = unsafe S4DOperator.arguments(
      parameters, tokens: tokens, u: u, y: y, state: state, begins: begins, bt: bt)
    let function = unsafe kernel.row.pointee.s4d!
    let stateSize = ChannelPanels.size(channels: channels, count: 2 * parameters.pairs)
    ChannelRanges(batch: batch, channels: channels, perRange: bc).forEach(on: executor) { sequence, range, _ in
      var args = unsafe S4DOperator.part(all, range)
      let row = sequence * tokens * channels
      unsafe args.u += row
      unsafe args.y += row
      unsafe args.state += sequence * stateSize
      // Every field is within what the header allows.
      _ = unsafe function(&args)
    }
  }

  /// All channels of the first sequence.
  static func arguments(
    _ parameters: borrowing S4DParameters, tokens: Int, u: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>,
    state: UnsafeMutablePointer<Float>, begins: Bool, bt: Int
  ) -> wc_s4d_args {
    var args = unsafe wc_s4d_args()
    unsafe args.tokens = tokens
    unsafe args.channels = parameters.channels
    unsafe args.pairs = parameters.pairs
    unsafe args.u = u
    unsafe args.ldu = parameters.channels
    unsafe args.lambda = UnsafePointer(parameters.lambda.unsafePointer)
    unsafe args.c = UnsafePointer(parameters.c.unsafePointer)
    if !parameters.skip.isEmpty { unsafe args.skip = UnsafePointer(parameters.skipPanels.unsafePointer) }
    unsafe args.y = y
    unsafe args.ldy = parameters.channels
    unsafe args.state = state
    unsafe args.begins = begins ? 1 : 0
    unsafe args.bt = bt
    return unsafe args
  }

  /// The range of channels, which begins at a panel.
  static func part(_ all: wc_s4d_args, _ range: Range<Int>) -> wc_s4d_args {
    let first = range.lowerBound
    var args = unsafe all
    unsafe args.channels = range.count
    unsafe args.u += first
    unsafe args.y += first
    if unsafe args.skip != nil { unsafe args.skip += first }
    let place = unsafe first * 2 * args.pairs
    unsafe args.lambda += place
    unsafe args.c += place
    unsafe args.state += place
    return unsafe args
  }

  /// Rows that can run `problem`, each ISA's likelier one first: a step of decoding is a scan's.
  static func ordered(_ rows: [KernelDescriptor], for problem: Problem) -> [KernelDescriptor] {
    let s = problem.shape
    if s[.tokens] == 1 { return rows.filter { !$0.isLongConvolution } }
    let elements = Double(s[.batch]) * Double(s[.tokens]) * Double(s[.channels])
    let transforms = Problem.longConv(batch: s[.batch], tokens: s[.tokens], channels: s[.channels]).operations / elements
    let convolves = 6 * Double(s[.state]) > Self.transformsCost(tokens: s[.tokens]) * transforms
    func rank(_ kernel: KernelDescriptor) -> Int { kernel.isLongConvolution == convolves ? 0 : 1 }
    return rows.enumerated().sorted {
      ($1.element.isa, rank($0.element), $0.offset) < ($0.element.isa, rank($1.element), $1.offset)
    }.map(\.element)
  }

  /// What an operation of a transform costs in operations of the scan: the scan reached 230 GFLOP/s whatever the length,
  /// transforms 162 at 1024 tokens, 107 at 4096 and 81 at 16384, on a Zen 5 guest with 256 channels.
  private static func transformsCost(tokens: Int) -> Double { tokens <= 2048 ? 1.4 : tokens <= 8192 ? 2.1 : 2.8 }
}
