public import WallclockFormats

/// A model: what it computes, and what there is of its weights and tokenizer.
public struct Model: Sendable {
  /// For people: the directory's name, or the built-in name.
  public let name: String
  public let configuration: BERTConfiguration
  public let graph: ModelGraph
  /// How hidden states become one vector per text.
  public let pipeline: SentencePipeline
  /// Where it came from, for messages.
  public let source: String
  private let loadedWeights: BERTWeights?
  private let loadedTokenizer: WordPieceTokenizer?

  /// Whether it can be run, and not only planned for.
  public var hasWeights: Bool { loadedWeights != nil }

  /// Tokens of the longest text it is given, special tokens included.
  public var maximumTokens: Int { Self.maximumTokens(pipeline, configuration) }

  private static func maximumTokens(_ pipeline: SentencePipeline, _ configuration: BERTConfiguration) -> Int {
    min(pipeline.maximumTokens ?? configuration.maximumPositions, configuration.maximumPositions)
  }

  /// - Throws: `FormatError.missingPart` when it was loaded from a configuration alone.
  public func weights() throws(FormatError) -> BERTWeights {
    guard let loadedWeights else {
      throw FormatError(
        .missingPart,
        "\(source) has no weights; name a directory with model.safetensors to run the model")
    }
    return loadedWeights
  }

  /// Cuts texts to `maximumTokens`.
  ///
  /// - Throws: `FormatError.missingPart` when there is none.
  public func tokenizer() throws(FormatError) -> WordPieceTokenizer {
    guard let loadedTokenizer else {
      throw FormatError(
        .missingPart,
        "\(source) has no tokenizer; name a directory with tokenizer.json or vocab.txt to give it text")
    }
    return loadedTokenizer
  }

  /// The ids of `text` as the model's own pipeline makes them.
  public func encode(_ text: String) throws(FormatError) -> [Int32] {
    // sentence-transformers lower-cases the text as a whole before it is tokenized.
    try tokenizer().encode(pipeline.lowercases ? text.lowercased() : text)
  }

  /// Loads a Hugging Face directory, a `config.json` (configuration only), or a built-in name.
  ///
  /// Reads headers and checks that configuration, weights and tokenizer belong together; no weight is
  /// read. A path that exists wins over a built-in name.
  ///
  /// - Throws: `FormatError`.
  public static func load(_ path: String) throws(FormatError) -> Model {
    let kind = FileKind(of: path)
    if kind == .absent {
      if let known = BuiltInModel.named(path) { return Model(builtIn: known) }
      let names = BuiltInModel.all.map(\.name).joined(separator: ", ")
      throw FormatError(
        .notFound,
        "\(quoted(path)) is no path and no built-in model; expected a model directory, a config.json, "
          + "or one of \(names)")
    }
    let configuration: BERTConfiguration
    switch try ModelConfiguration.read(path) {
    case .bert(let bert): configuration = bert
    }
    if kind == .file {
      return Model(
        name: path, configuration: configuration, pipeline: SentencePipeline(), source: path)
    }
    return try Model(directory: path, configuration: configuration)
  }

  private init(directory: String, configuration: BERTConfiguration) throws(FormatError) {
    var pipeline = try SentencePipeline.read(directory: directory, hiddenSize: configuration.hiddenSize)
    if pipeline.maximumTokens == nil {
      pipeline.maximumTokens = try WordPieceTokenizer.declaredMaximum(directory: directory)
    }
    var tokenizer: WordPieceTokenizer?
    if WordPieceTokenizer.exists(in: directory) {
      let read = try WordPieceTokenizer.read(directory: directory)
      guard read.vocabularySize <= configuration.vocabularySize else {
        throw FormatError(
          .badValue,
          "\(directory): the tokenizer gives ids up to \(read.vocabularySize - 1), but config.json's "
            + "vocab_size is \(configuration.vocabularySize). They belong to different models")
      }
      tokenizer = try read.limited(to: Self.maximumTokens(pipeline, configuration))
    }
    var weights: BERTWeights?
    if SafetensorsCheckpoint.exists(in: directory) {
      weights = try BERTWeights(
        SafetensorsCheckpoint(directory: directory), configuration: configuration)
    }
    let name = directory.split(separator: "/").last.map(String.init) ?? directory
    self.init(
      name: name, configuration: configuration, pipeline: pipeline, source: directory, weights: weights,
      tokenizer: tokenizer)
  }

  private init(builtIn: BuiltInModel) {
    self.init(
      name: builtIn.name, configuration: builtIn.configuration, pipeline: builtIn.pipeline,
      source: "the built-in model \(builtIn.name)")
  }

  private init(
    name: String, configuration: BERTConfiguration, pipeline: SentencePipeline, source: String,
    weights: BERTWeights? = nil, tokenizer: WordPieceTokenizer? = nil
  ) {
    self.name = name
    self.configuration = configuration
    self.graph = .bert(configuration)
    self.pipeline = pipeline
    self.source = source
    loadedWeights = weights
    loadedTokenizer = tokenizer
  }
}
