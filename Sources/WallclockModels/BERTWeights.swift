public import WallclockCore
public import WallclockFormats

/// The weights of a BERT encoder by their role in the graph, f32.
///
/// Opening checks that every tensor the graph needs is there with the shape that the configuration
/// says and a type that can be read; values are read when asked for. Names may carry the prefix
/// `bert.` that task models have, and norms the names `gamma` and `beta` of the first checkpoints.
public struct BERTWeights: Sendable {
  /// A linear layer: `y = x · weightᵀ + bias`.
  public struct Linear: ~Copyable {
    /// Outputs and inputs.
    public let n: Int
    public let k: Int
    /// `n×k`, row-major.
    public let weight: AlignedBuffer<Float>
    /// `n`.
    public let bias: AlignedBuffer<Float>

    package init(n: Int, k: Int, weight: consuming AlignedBuffer<Float>, bias: consuming AlignedBuffer<Float>)
    {
      self.n = n
      self.k = k
      self.weight = weight
      self.bias = bias
    }
  }

  /// `y = (x − mean)/√(variance + ε) · gamma + beta`.
  public struct Norm: ~Copyable {
    /// Both `H`.
    public let gamma: AlignedBuffer<Float>
    public let beta: AlignedBuffer<Float>
    public let epsilon: Float

    package init(gamma: consuming AlignedBuffer<Float>, beta: consuming AlignedBuffer<Float>, epsilon: Float)
    {
      self.gamma = gamma
      self.beta = beta
      self.epsilon = epsilon
    }
  }

  public let configuration: BERTConfiguration
  private let checkpoint: SafetensorsCheckpoint
  private let prefix: String

  /// What tells these weights from others; see `SafetensorsCheckpoint.identity`.
  public func identity() throws(FormatError) -> String { try checkpoint.identity() }

  /// Checks `checkpoint` against `configuration`.
  public init(
    _ checkpoint: SafetensorsCheckpoint, configuration: BERTConfiguration
  ) throws(FormatError) {
    self.configuration = configuration
    self.checkpoint = checkpoint
    prefix = checkpoint.contains("bert.embeddings.word_embeddings.weight") ? "bert." : ""
    // A sparse file may be larger than memory, and buffers trap when memory is exhausted.
    let graph = ModelGraph.bert(configuration)
    let needed = graph.fixedBytes + graph.weightBytes { _ in .f32 }
    guard needed <= physicalMemoryBytes() else {
      throw FormatError(
        .tooLarge,
        "\(checkpoint.directory): the weights take \(needed >> 20) MiB as f32; this machine has "
          + "\(physicalMemoryBytes() >> 20) MiB of memory")
    }
    for role in BERTEmbeddingRole.allCases { _ = try tensor(role) }
    _ = try tensors(.embeddings, layer: 0)
    for layer in 0..<configuration.layers {
      for role in BERTLinearRole.allCases { _ = try tensors(role, layer: layer) }
      _ = try tensors(.attention, layer: layer)
      _ = try tensors(.ffn, layer: layer)
    }
  }

  /// The table of `role`, row-major with `H` columns.
  public func embedding(_ role: BERTEmbeddingRole) throws(FormatError) -> AlignedBuffer<Float> {
    try values(tensor(role))
  }

  /// - Parameter layer: of the encoder, from 0; ignored for `.embeddings`.
  public func norm(_ role: BERTNormRole, layer: Int = 0) throws(FormatError) -> Norm {
    let (gamma, beta) = try tensors(role, layer: layer)
    return Norm(
      gamma: try values(gamma), beta: try values(beta), epsilon: configuration.layerNormEpsilon)
  }

  /// The linear layer of `role`; query, key and value are laid end to end in this order.
  public func linear(layer: Int, role: BERTLinearRole) throws(FormatError) -> Linear {
    let parts = try tensors(role, layer: layer)
    let (n, k) = role.shape(configuration)
    return Linear(
      n: n, k: k, weight: try values(concatenating: parts.map(\.weight)),
      bias: try values(concatenating: parts.map(\.bias)))
  }

  // MARK: Names and shapes

  private func tensor(_ role: BERTEmbeddingRole) throws(FormatError) -> TensorView {
    let rows =
      switch role {
      case .word: configuration.vocabularySize
      case .position: configuration.maximumPositions
      case .tokenType: configuration.tokenTypes
      }
    return try tensor("embeddings.\(role.rawValue).weight", shape: [rows, configuration.hiddenSize])
  }

  private func tensors(
    _ role: BERTNormRole, layer: Int
  ) throws(FormatError) -> (gamma: TensorView, beta: TensorView) {
    let module =
      switch role {
      case .embeddings: "embeddings.LayerNorm"
      case .attention: "encoder.layer.\(layer).attention.output.LayerNorm"
      case .ffn: "encoder.layer.\(layer).output.LayerNorm"
      }
    let shape = [configuration.hiddenSize]
    if checkpoint.contains("\(prefix)\(module).gamma") {
      return (try tensor("\(module).gamma", shape: shape), try tensor("\(module).beta", shape: shape))
    }
    return (try tensor("\(module).weight", shape: shape), try tensor("\(module).bias", shape: shape))
  }

  private func tensors(
    _ role: BERTLinearRole, layer: Int
  ) throws(FormatError) -> [(weight: TensorView, bias: TensorView)] {
    let (n, k) = role.shape(configuration)
    let rows = n / role.modules.count
    var parts: [(weight: TensorView, bias: TensorView)] = []
    for module in role.modules {
      let name = "encoder.layer.\(layer).\(module)"
      parts.append(
        (try tensor("\(name).weight", shape: [rows, k]), try tensor("\(name).bias", shape: [rows])))
    }
    return parts
  }

  private func tensor(_ name: String, shape: [Int]) throws(FormatError) -> TensorView {
    let tensor = try checkpoint.tensor(named: prefix + name)
    guard tensor.shape == shape else {
      throw FormatError(
        .badShape,
        "\(checkpoint.directory): tensor \(quoted(tensor.name)) has shape \(tensor.shape); config.json makes "
          + "it \(shape). Weights and configuration belong to different models")
    }
    guard TensorView.floatTypes.contains(tensor.type) else {
      throw FormatError(
        .unknownType,
        "\(checkpoint.directory): tensor \(quoted(tensor.name)) is \(tensor.type.rawValue); weights are "
          + "read from \(TensorView.floatTypes.map(\.rawValue).joined(separator: ", "))")
    }
    return tensor
  }

  // MARK: Values

  private func values(_ tensor: TensorView) throws(FormatError) -> AlignedBuffer<Float> {
    try values(concatenating: [tensor])
  }

  /// The tensors end to end. A value that is not finite would make every result NaN, so it is an error.
  private func values(concatenating tensors: [TensorView]) throws(FormatError) -> AlignedBuffer<Float> {
    var buffer = AlignedBuffer<Float>(count: tensors.reduce(0) { $0 + $1.count })
    var span = buffer.mutableSpan
    var start = 0
    for tensor in tensors {
      try tensor.copyFloats(into: &span, at: start)
      var sum: Float = 0
      // x · 0 is NaN exactly when x is NaN or infinite.
      for i in start..<start + tensor.count { sum += span[i] * 0 }
      guard sum == 0 else {
        throw FormatError(
          .badValue,
          "\(checkpoint.directory): tensor \(quoted(tensor.name)) holds values that are not finite; the "
            + "weights are damaged")
      }
      start += tensor.count
    }
    return buffer
  }
}
