public import WallclockCore
public import WallclockFormats

extension ModelGraph {
  /// The forward pass of a BERT encoder with one vector per text at its end.
  ///
  /// Query, key and value projections are one GEMM over their weights laid end to end. Residual sums,
  /// biases and GELU happen in the GEMM before them. The layers are alike, so each node stands for its
  /// place in all of them.
  public static func bert(_ configuration: BERTConfiguration) -> ModelGraph {
    let h = configuration.hiddenSize
    let i = configuration.intermediateSize
    let layers = configuration.layers
    func linear(_ role: BERTLinearRole) -> Node {
      let (n, k) = role.shape(configuration)
      return Node(role.rawValue, .gemm(n: n, k: k, epilogue: role.epilogue), count: layers)
    }
    func norm(_ role: BERTNormRole, count: Int) -> Node {
      Node(role.rawValue, .rowwise(.layerNorm, channels: h), count: count)
    }
    let nodes = [
      Node("embeddings", .rowwise(.embedding, channels: h), count: 1),
      norm(.embeddings, count: 1),
      linear(.attentionQKV),
      Node(
        "attention.scores",
        .attention(heads: configuration.heads, headDim: configuration.headDim, mask: .full), count: layers),
      linear(.attentionOutput),
      norm(.attention, count: layers),
      linear(.ffnUp),
      linear(.ffnDown),
      norm(.ffn, count: layers),
      Node("pool", .rowwise(.meanPool, channels: h), count: 1),
    ]
    let rows = configuration.vocabularySize + configuration.maximumPositions + configuration.tokenTypes
    let norms = 2 * h * (1 + 2 * layers)
    let biases = layers * (3 * h + h + i + h)
    return ModelGraph(
      name: "bert \(layers)×\(h)", nodes: nodes, fixedBytes: 4 * (rows * h + norms + biases),
      maximumTokens: configuration.maximumPositions)
  }
}

/// The linear layers of an encoder layer; the raw value is the name of the graph's node.
public enum BERTLinearRole: String, Hashable, Sendable, CaseIterable {
  case attentionQKV = "attention.qkv"
  case attentionOutput = "attention.output"
  case ffnUp = "ffn.up"
  case ffnDown = "ffn.down"

  /// The weight is `n×k`: n outputs, k inputs.
  public func shape(_ configuration: BERTConfiguration) -> (n: Int, k: Int) {
    let h = configuration.hiddenSize
    let i = configuration.intermediateSize
    return switch self {
    case .attentionQKV: (3 * h, h)
    case .attentionOutput: (h, h)
    case .ffnUp: (i, h)
    case .ffnDown: (h, i)
    }
  }

  public var epilogue: Epilogue {
    switch self {
    case .attentionQKV: [.bias]
    case .attentionOutput, .ffnDown: [.bias, .residual]
    case .ffnUp: [.bias, .gelu]
    }
  }

  /// The modules of the checkpoint whose weights, laid end to end along n, make this one.
  var modules: [String] {
    switch self {
    case .attentionQKV: ["attention.self.query", "attention.self.key", "attention.self.value"]
    case .attentionOutput: ["attention.output.dense"]
    case .ffnUp: ["intermediate.dense"]
    case .ffnDown: ["output.dense"]
    }
  }
}

/// The layer norms; the raw value is the name of the graph's node.
public enum BERTNormRole: String, Hashable, Sendable, CaseIterable {
  /// After the sum of the embeddings; once in the model.
  case embeddings = "embeddings.norm"
  case attention = "attention.norm"
  case ffn = "ffn.norm"
}

/// The embedding tables.
public enum BERTEmbeddingRole: String, Hashable, Sendable, CaseIterable {
  /// `vocabularySize×H`.
  case word = "word_embeddings"
  /// `maximumPositions×H`.
  case position = "position_embeddings"
  /// `tokenTypes×H`.
  case tokenType = "token_type_embeddings"
}
