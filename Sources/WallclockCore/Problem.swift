#if canImport(Glibc)
  import Glibc
#endif

/// An operation kernels compute. The names are those of the command line.
public enum Op: String, Hashable, Sendable, Codable, CaseIterable {
  case gemm
  /// Gated experts, each token through some of them.
  case moeGemm = "moe-gemm"
  case attention
  case quantize
  case layerNorm = "layer-norm"
  case gelu
  case residual
  case embedding
  case meanPool = "mean-pool"
  case linearAttention = "linear-attention"
  case retention, gla, rwkv6, rwkv7
  case deltaNet = "delta-net"
  case gatedDeltaNet = "gated-delta-net"
  case mamba2
  case mamba1
  case causalConv1d = "causal-conv1d"
  case longConv = "long-conv"
  case rwkv4, s4d
  case rmsNorm = "rms-norm"
  case silu
  case geluTanh = "gelu-tanh"
  case softplus, swiglu, softmax
  /// Values i and i + rotary/2 of a head are a pair.
  case rope
  /// Neighbours are a pair.
  case ropeInterleaved = "rope-interleaved"
  case argmax
  case topK = "top-k"
  case sampling

  /// The op whose kernels compute this one.
  public var kernelOp: Op { self == .moeGemm ? .gemm : self }
}

/// The name of one size of a Problem; each is also a command-line flag.
public enum Dimension: String, Hashable, Sendable, Codable, CaseIterable, Comparable, CodingKeyRepresentable {
  case m, n, k
  case batch, tokens, context, heads
  case kvHeads = "kv-heads"
  case headDim = "head-dim"
  case rows, channels, state
  case hidden, experts
  case topK = "top-k"
  /// Taps of a short convolution.
  case width
  /// Values of a head that a rotary embedding turns.
  case rotary

  private var order: Int { Self.allCases.firstIndex(of: self)! }
  public static func < (a: Dimension, b: Dimension) -> Bool { a.order < b.order }
}

/// The sizes of a Problem, by name.
public struct Shape: Hashable, Sendable, ExpressibleByDictionaryLiteral {
  public internal(set) var sizes: [Dimension: Int]

  public init(_ sizes: [Dimension: Int]) { self.sizes = sizes }
  public init(dictionaryLiteral elements: (Dimension, Int)...) {
    sizes = Dictionary(uniqueKeysWithValues: elements)
  }

  /// The size of `dimension`, or 1 where the Problem does not have it.
  public subscript(dimension: Dimension) -> Int {
    get { sizes[dimension] ?? 1 }
    set { sizes[dimension] = newValue }
  }
}

extension Shape: Codable {
  public init(from decoder: any Decoder) throws {
    sizes = try [Dimension: Int](from: decoder)
    if let bad = sizes.first(where: { $0.value < 0 }) {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "\(bad.key.rawValue) is \(bad.value); a size is ≥ 0"))
    }
  }
  public func encode(to encoder: any Encoder) throws { try sizes.encode(to: encoder) }
}

/// Where the operands lie when a Problem is timed: each state is a Problem of its own.
public enum OperandState: String, Hashable, Sendable, Codable, CaseIterable {
  /// Operands in the nearest cache they fit, as repeated runs leave them: what a kernel can reach.
  case hot
  /// As inside a model that fits the last-level cache: weights come from there, rotating over more than
  /// the private caches hold, and the activations were just written by the other threads too.
  case warm
  /// As inside a model that does not: weights streamed from DRAM, rotating over more than the
  /// last-level cache holds, and the activations just written.
  case cold
}

/// One operation with types, shape and variant. Equal Problems do the same work.
///
/// A GEMM Problem is f32 in and, unless its epilogue converts, f32 out: with `a8` formats the quantisation of activations belongs to
/// it, and counts in its time.
public struct Problem: Hashable, Sendable, Codable {
  public var op: Op
  public var format: Format
  public var shape: Shape
  public var epilogue: Epilogue
  public var mask: Mask
  public var state: OperandState

  public init(
    _ op: Op, format: Format = .f32, shape: Shape, epilogue: Epilogue = [], mask: Mask = .full,
    state: OperandState = .hot
  ) {
    self.op = op
    self.format = format
    self.shape = shape
    self.epilogue = epilogue
    self.mask = mask
    self.state = state
  }

  public static func gemm(
    _ format: Format, m: Int, n: Int, k: Int, epilogue: Epilogue = [], state: OperandState = .hot
  ) -> Problem {
    Problem(.gemm, format: format, shape: [.m: m, .n: n, .k: k], epilogue: epilogue, state: state)
  }

  /// `tokens` rows of `channels`, each through `topK` of `experts` gated experts of `hidden` channels inside.
  public static func moeGemm(
    _ format: Format, tokens: Int, channels: Int, hidden: Int, experts: Int, topK: Int, activation: Epilogue = .silu,
    state: OperandState = .hot
  ) -> Problem {
    Problem(
      .moeGemm, format: format,
      shape: [.tokens: tokens, .channels: channels, .hidden: hidden, .experts: experts, .topK: topK],
      epilogue: activation.union(.gated), state: state)
  }

  /// The GEMM that a kernel of this op is called for. A mixture: an average expert's gates and ups.
  public var kernelShape: Shape {
    guard op == .moeGemm else { return shape }
    let rows = (shape[.tokens] * shape[.topK] + shape[.experts] - 1) / max(1, shape[.experts])
    return [.m: max(1, rows), .n: 2 * shape[.hidden], .k: shape[.channels]]
  }

  /// Experts of a mixture that some token goes to, when all are as likely.
  public var distinctExperts: Double {
    let experts = Double(shape[.experts])
    return experts * (1 - pow(1 - Double(shape[.topK]) / experts, Double(shape[.tokens])))
  }

  /// Bytes of one expert's weights.
  var expertBytes: Int {
    format.weightBytes(n: 2 * shape[.hidden], k: shape[.channels])
      + format.weightBytes(n: shape[.channels], k: shape[.hidden])
  }

  /// Bytes of all weights of a GEMM or a mixture.
  public var weightBytes: Int {
    op == .moeGemm ? shape[.experts] * expertBytes : format.weightBytes(n: shape[.n], k: shape[.k])
  }

  /// A row-wise op over `rows×channels`.
  public static func rowwise(_ op: Op, rows: Int, channels: Int, state: OperandState = .hot) -> Problem {
    Problem(op, shape: [.rows: rows, .channels: channels], state: state)
  }

  /// Arithmetic operations of the unmasked work; a multiply-add is two. Row-wise ops count one per element.
  public var operations: Double {
    let s = shape
    switch op {
    case .gemm:
      return 2 * Double(s[.m]) * Double(s[.n]) * Double(s[.k])
    case .moeGemm:
      return 6 * Double(s[.tokens]) * Double(s[.topK]) * Double(s[.channels]) * Double(s[.hidden])
    case .attention:
      return attentionOperations
    case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool:
      return Double(s[.rows]) * Double(s[.channels])
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      return recurrenceOperations
    case .mamba1, .causalConv1d, .longConv, .rwkv4, .s4d: return sequenceOperations
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling:
      return decoderElements
    }
  }

  /// Bytes the algorithm must move at least: every operand once.
  public var bytes: Double {
    let s = shape
    switch op {
    case .gemm:
      let outputs = Double(s[.m]) * Double(epilogue.outputs(n: s[.n]))
      let c = outputs * epilogue.outputType.bitsPerValue / 8
      return Double(format.weightBytes(n: s[.n], k: s[.k])) + Double(s[.m]) * Double(s[.k]) * 4 + c
        + (epilogue.contains(.residual) ? 4 * outputs : 0)
    case .moeGemm:
      return distinctExperts * Double(expertBytes) + 8 * Double(s[.tokens]) * Double(s[.channels])
    case .attention:
      return attentionBytes
    case .quantize:
      return 5 * Double(s[.rows]) * Double(s[.channels])
    case .layerNorm, .residual, .embedding:
      return 12 * Double(s[.rows]) * Double(s[.channels])
    case .gelu:
      return 8 * Double(s[.rows]) * Double(s[.channels])
    case .meanPool:
      return 4 * Double(s[.rows]) * Double(s[.channels])
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      return recurrenceBytes
    case .mamba1, .causalConv1d, .longConv, .rwkv4, .s4d: return sequenceBytes
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling:
      return decoderBytes
    }
  }
}

extension Problem: CustomStringConvertible {
  /// `gemm w8a8 m=128 n=1536 k=384 epilogue=bias+gelu state=hot`: the form of a line in a .shapes file.
  public var description: String {
    var words = [op.rawValue, format.description]
    for (dimension, size) in shape.sizes.sorted(by: { $0.key < $1.key }) {
      words.append("\(dimension.rawValue)=\(size)")
    }
    if !epilogue.isEmpty { words.append("epilogue=\(epilogue)") }
    if op == .attention { words.append("mask=\(mask.rawValue)") }
    words.append("state=\(state.rawValue)")
    return words.joined(separator: " ")
  }
}
