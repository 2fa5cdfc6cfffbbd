#if canImport(Glibc)
  import Glibc
#endif

/// Ops on sequences whose channels do not mix: state-space scans and convolutions along time.
extension Op {
  /// Whether its Problems are of `batch` sequences of `tokens` rows of `channels`.
  public var isSequence: Bool { Op.sequences.contains(self) }
  public static let sequences: [Op] = [.mamba1, .causalConv1d, .longConv, .rwkv4, .s4d]
}

extension Problem {
  /// Mamba-1's selective scan over `batch` sequences, gated, with a state of `state` values per channel in and out;
  /// one token is a step of decoding.
  public static func mamba1(
    batch: Int = 1, tokens: Int, channels: Int, state: Int, operands: OperandState = .hot
  ) -> Problem {
    Problem(
      .mamba1, shape: [.batch: batch, .tokens: tokens, .channels: channels, .state: state], state: operands)
  }

  /// A causal convolution along time with one filter of `width` taps per channel and the last `width` − 1 rows in and
  /// out; with SiLU behind it where the epilogue says so.
  public static func causalConv1d(
    batch: Int = 1, tokens: Int, channels: Int, width: Int, epilogue: Epilogue = .silu, state: OperandState = .hot
  ) -> Problem {
    Problem(
      .causalConv1d, shape: [.batch: batch, .tokens: tokens, .channels: channels, .width: width], epilogue: epilogue,
      state: state)
  }

  /// A causal convolution along time with one filter of `tokens` taps per channel.
  public static func longConv(batch: Int = 1, tokens: Int, channels: Int, state: OperandState = .hot) -> Problem {
    Problem(.longConv, shape: [.batch: batch, .tokens: tokens, .channels: channels], state: state)
  }

  /// RWKV-4's WKV operator over `batch` sequences, its state in and out; one token is a step of decoding.
  public static func rwkv4(batch: Int = 1, tokens: Int, channels: Int, operands: OperandState = .hot) -> Problem {
    Problem(.rwkv4, shape: [.batch: batch, .tokens: tokens, .channels: channels], state: operands)
  }

  /// A diagonal state space with `state` / 2 conjugate pairs per channel over `batch` whole sequences, which begin with an
  /// empty state, by recurrence or convolution; one token is a step of decoding instead, its state in and out.
  public static func s4d(
    batch: Int = 1, tokens: Int, channels: Int, state: Int, operands: OperandState = .hot
  ) -> Problem {
    Problem(.s4d, shape: [.batch: batch, .tokens: tokens, .channels: channels, .state: state], state: operands)
  }

  /// Values of state that a channel of a sequence carries from token to token.
  public var statePerChannel: Int {
    switch op {
    case .mamba1, .s4d: shape[.state]
    case .rwkv4: 3
    case .causalConv1d: max(0, shape[.width] - 1)
    default: 0
    }
  }

  /// As `operations`. A step of a scan counts its nine multiply-adds, five of them the exponential's, so that a rate
  /// beside the f32 ceiling is a fraction of what the FMA pipes allow; WKV's token counts thirteen in that way. A long
  /// convolution counts what two transforms of twice its length and their product take, however it is made; s4d what
  /// its recurrence takes, six multiply-adds a conjugate pair, also where it is run as a convolution.
  var sequenceOperations: Double {
    let elements = Double(shape[.batch]) * Double(shape[.tokens]) * Double(shape[.channels])
    switch op {
    case .mamba1: return 18 * elements * Double(shape[.state])
    case .s4d: return 6 * elements * Double(shape[.state])
    case .rwkv4: return 26 * elements
    case .longConv: return elements * (10 * log2(2 * Double(max(1, shape[.tokens]))) + 6)
    default: return 2 * elements * Double(shape[.width])
    }
  }

  /// As `bytes`: the sequences, the parameters of the channels, and the state, read and written.
  var sequenceBytes: Double {
    let (batch, channels) = (Double(shape[.batch]), Double(shape[.channels]))
    let rows = batch * Double(shape[.tokens])
    let states = 8 * batch * channels * Double(statePerChannel)
    if op == .mamba1 {
      return 16 * rows * channels + 8 * rows * Double(shape[.state]) + 4 * channels * Double(shape[.state] + 2) + states
    }
    // λ and C are as large as the state; a state that begins empty and is left behind need not be moved.
    if op == .s4d {
      let fixed = 4 * channels * Double(2 * shape[.state] + 1)
      return 8 * rows * channels + fixed + (shape[.tokens] == 1 ? states : 0)
    }
    if op == .rwkv4 { return 12 * rows * channels + 16 * channels + states }
    // A spectrum has two values for each tap.
    if op == .longConv { return 8 * rows * channels + 8 * Double(shape[.tokens]) * channels + 4 * channels }
    return 8 * rows * channels + 4 * channels * Double(shape[.width] + 1) + states
  }

  /// - Throws: when the epilogue is none a sequence's op takes.
  func checkSequence() throws(ProblemTextError) {
    guard epilogue.isSubset(of: op == .causalConv1d ? .silu : []) else {
      throw ProblemTextError(
        message: "epilogue=\(epilogue): \(op.rawValue) takes \(op == .causalConv1d ? "none, or silu" : "none")")
    }
    guard op != .s4d || shape[.state] % 2 == 0 else {
      throw ProblemTextError(message: "state=\(shape[.state]): s4d's values of state are conjugate pairs; give an even number")
    }
  }
}
