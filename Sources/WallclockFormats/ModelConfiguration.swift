/// A model's config.json, checked: its family and sizes.
public enum ModelConfiguration: Hashable, Sendable {
  case bert(BERTConfiguration)

  /// The families this version runs, as `model_type` names them.
  public static let supportedTypes = ["bert"]

  /// Reads `config.json`, or the one in a directory.
  ///
  /// - Throws: `FormatError.notAModel` when a directory holds none, `.missingKey`, `.badValue` or
  ///   `.unsupported` naming the file and key.
  public static func read(_ path: String) throws(FormatError) -> ModelConfiguration {
    let file: String
    switch FileKind(of: path) {
    case .absent:
      throw FormatError(.notFound, "\(path) does not exist; expected a model directory or a config.json")
    case .file: file = path
    case .directory:
      file = "\(path)/config.json"
      guard FileKind(of: file) != .absent else {
        throw FormatError(
          .notAModel,
          "\(path) is not a model: it has no config.json. Expected a Hugging Face directory with "
            + "config.json, model.safetensors, and tokenizer.json or vocab.txt")
      }
    }
    let object = try JSONObject.read(file)
    let type = try object.string("model_type")
    guard supportedTypes.contains(type) else {
      throw FormatError(
        .unsupported,
        "\(file): model_type is \(quoted(type)); supported are \(supportedTypes.joined(separator: ", "))")
    }
    return .bert(try BERTConfiguration(object))
  }
}

/// The sizes of a BERT encoder (Devlin et al., arXiv 1810.04805), as config.json gives them.
public struct BERTConfiguration: Hashable, Sendable {
  public var vocabularySize: Int
  /// H: channels of the hidden state.
  public var hiddenSize: Int
  public var layers: Int
  public var heads: Int
  /// I: channels between the two linear layers of the feed-forward block.
  public var intermediateSize: Int
  /// Rows of the table of positions: no sequence may be longer.
  public var maximumPositions: Int
  /// Rows of the table of token types.
  public var tokenTypes: Int
  public var layerNormEpsilon: Float
  public var padTokenID: Int32

  public var headDim: Int { hiddenSize / heads }

  /// - Precondition: all sizes > 0, and `heads` divides `hiddenSize`.
  public init(
    vocabularySize: Int, hiddenSize: Int, layers: Int, heads: Int, intermediateSize: Int,
    maximumPositions: Int = 512, tokenTypes: Int = 2, layerNormEpsilon: Float = 1e-12,
    padTokenID: Int32 = 0
  ) {
    precondition(heads > 0 && hiddenSize % heads == 0, "\(heads) heads do not divide \(hiddenSize)")
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.layers = layers
    self.heads = heads
    self.intermediateSize = intermediateSize
    self.maximumPositions = maximumPositions
    self.tokenTypes = tokenTypes
    self.layerNormEpsilon = layerNormEpsilon
    self.padTokenID = padTokenID
  }

  // Far above any published encoder, and small enough that no product of two overflows.
  private static let vocabularyLimits = 1...(1 << 24)
  private static let widthLimits = 1...(1 << 16)
  private static let layerLimits = 1...1024
  private static let headLimits = 1...1024
  private static let positionLimits = 1...(1 << 20)
  private static let tokenTypeLimits = 1...1024

  private static let supportedActivations = ["gelu"]
  private static let supportedPositions = ["absolute"]

  /// The sizes of the architecture must be there; for `hidden_act`, `position_embedding_type`,
  /// `type_vocab_size`, `layer_norm_eps` and `pad_token_id`, which older files omit, the defaults of
  /// transformers' BertConfig hold.
  init(_ object: JSONObject) throws(FormatError) {
    let hidden = try object.integer("hidden_size", in: Self.widthLimits)
    let heads = try object.integer("num_attention_heads", in: Self.headLimits)
    guard hidden % heads == 0 else {
      throw FormatError(
        .badValue,
        "\(object.source): hidden_size \(hidden) is not a multiple of num_attention_heads \(heads)")
    }
    let vocabulary = try object.integer("vocab_size", in: Self.vocabularyLimits)
    let epsilon = try object.optionalNumber("layer_norm_eps") ?? 1e-12
    guard epsilon > 0, epsilon <= 0.1, Float(epsilon) > 0 else {
      throw FormatError(
        .badValue, "\(object.source): layer_norm_eps is \(epsilon); expected more than 0 and at most 0.1")
    }
    try Self.check(object, "hidden_act", default: "gelu", supported: Self.supportedActivations)
    try Self.check(object, "position_embedding_type", default: "absolute", supported: Self.supportedPositions)
    guard try object.optionalBool("is_decoder") != true else {
      throw FormatError(.unsupported, "\(object.source): is_decoder is true; supported are encoders")
    }
    self.init(
      vocabularySize: vocabulary,
      hiddenSize: hidden,
      layers: try object.integer("num_hidden_layers", in: Self.layerLimits),
      heads: heads,
      intermediateSize: try object.integer("intermediate_size", in: Self.widthLimits),
      maximumPositions: try object.integer("max_position_embeddings", in: Self.positionLimits),
      tokenTypes: try object.optionalInteger("type_vocab_size", in: Self.tokenTypeLimits) ?? 2,
      layerNormEpsilon: Float(epsilon),
      padTokenID: Int32(try object.optionalInteger("pad_token_id", in: 0...vocabulary - 1) ?? 0))
  }

  private static func check(
    _ object: JSONObject, _ name: String, default standard: String, supported: [String]
  ) throws(FormatError) {
    let value = try object.optionalString(name) ?? standard
    guard supported.contains(value) else {
      throw FormatError(
        .unsupported,
        "\(object.source): \(name) is \(quoted(value)); supported: \(supported.joined(separator: ", "))")
    }
  }
}
