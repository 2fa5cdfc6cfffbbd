import WallclockCore

/// What a model is asked to do: the sizes its Problems depend on.
public struct Workload: Hashable, Sendable, Codable, CustomStringConvertible {
  public enum Phase: String, Hashable, Sendable, Codable, CaseIterable {
    /// Whole sequences in, hidden states or embeddings out.
    case encode
  }

  public var phase: Phase
  /// Sequences per call.
  public var batch: Int
  /// Tokens per sequence.
  public var tokens: Int

  public init(phase: Phase = .encode, batch: Int, tokens: Int) {
    self.phase = phase
    self.batch = batch
    self.tokens = tokens
  }

  public var description: String { "\(phase.rawValue) batch \(batch) × \(tokens) tokens" }
}

/// A model as the Problems it solves and how often each occurs, as a function of the workload.
public struct ModelGraph: Hashable, Sendable, Codable {
  /// A place in the model, the same in each of the layers it occurs in: `ffn.up` of all encoder layers.
  public struct Node: Hashable, Sendable, Codable {
    public enum Work: Hashable, Sendable, Codable {
      /// A linear layer with an `n×k` weight.
      case gemm(n: Int, k: Int, epilogue: Epilogue)
      case attention(heads: Int, headDim: Int, mask: Mask)
      case rowwise(Op, channels: Int)
    }

    public var name: String
    public var work: Work
    /// Occurrences in the model.
    public var count: Int

    public init(_ name: String, _ work: Work, count: Int) {
      self.name = name
      self.work = work
      self.count = count
    }

    /// Whether a Format can be chosen for it.
    public var hasWeights: Bool {
      if case .gemm = work { true } else { false }
    }

    /// The Problem that one occurrence solves, its operands in `state`.
    public func problem(_ workload: Workload, format: Format, state: OperandState) -> Problem {
      let rows = workload.batch * workload.tokens
      switch work {
      case .gemm(let n, let k, let epilogue):
        return .gemm(format, m: rows, n: n, k: k, epilogue: epilogue, state: state)
      case .attention(let heads, let headDim, let mask):
        return .attention(
          batch: workload.batch, tokens: workload.tokens, heads: heads, headDim: headDim, mask: mask, state: state)
      case .rowwise(let op, let channels):
        return .rowwise(op, rows: rows, channels: channels, state: state)
      }
    }

    /// Bytes of one occurrence's weight in `format`; 0 without weights.
    public func weightBytes(_ format: Format) -> Int {
      if case .gemm(let n, let k, _) = work { format.weightBytes(n: n, k: k) } else { 0 }
    }
  }

  /// The model's family and sizes, for people: `bert 6×384`.
  public var name: String
  /// In the order a forward pass meets them.
  public var nodes: [Node]
  /// Parameters no Format applies to (embeddings, norms, biases), in f32 bytes.
  public var fixedBytes: Int
  /// The longest sequence the model takes.
  public var maximumTokens: Int

  public init(name: String, nodes: [Node], fixedBytes: Int, maximumTokens: Int) {
    self.name = name
    self.nodes = nodes
    self.fixedBytes = fixedBytes
    self.maximumTokens = maximumTokens
  }

  /// Bytes of all weights that a Format applies to, each node in the format given for it.
  public func weightBytes(_ format: (Node) -> Format) -> Int {
    nodes.reduce(0) { $0 + $1.count * $1.weightBytes(format($1)) }
  }
}
