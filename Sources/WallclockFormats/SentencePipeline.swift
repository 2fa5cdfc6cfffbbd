/// What turns an encoder's hidden states into one vector per text, as the model's own
/// sentence-transformers files say.
public struct SentencePipeline: Hashable, Sendable {
  public enum Pooling: String, Hashable, Sendable, CaseIterable {
    /// The mean over the tokens of the text, special tokens included, padding not.
    case mean
    /// The hidden state of the first token.
    case cls
  }

  public var pooling: Pooling
  /// Whether vectors are scaled to length 1 (L2).
  public var normalizes: Bool
  /// Tokens of the longest text, special tokens included; nil when the model does not say.
  public var maximumTokens: Int?
  /// Whether text is lower-cased before the tokenizer sees it.
  public var lowercases: Bool

  /// The defaults are those of sentence-transformers for a plain encoder directory.
  public init(
    pooling: Pooling = .mean, normalizes: Bool = false, maximumTokens: Int? = nil, lowercases: Bool = false
  ) {
    self.pooling = pooling
    self.normalizes = normalizes
    self.maximumTokens = maximumTokens
    self.lowercases = lowercases
  }

  /// Reads `modules.json` and the files it leads to; without it, the defaults.
  ///
  /// - Parameter hiddenSize: channels of the encoder, which the pooling's must equal.
  public static func read(directory: String, hiddenSize: Int) throws(FormatError) -> SentencePipeline {
    var pipeline = SentencePipeline()
    let modulesPath = "\(directory)/modules.json"
    var transformerFolder = ""
    if FileKind(of: modulesPath) != .absent {
      let content = try InputFile.read(modulesPath, limit: JSONObject.configurationLimit)
      guard case .array(let elements) = try JSONReader.parse(content, source: modulesPath) else {
        throw FormatError(.malformedJSON, "\(modulesPath) is not a JSON array of modules")
      }
      let modules = try JSONObject.objects(elements, source: modulesPath, location: "module")
      for (index, module) in modules.enumerated() {
        let type = try module.string("type")
        let folder = try Self.folder(of: module)
        // The package moved its modules between versions; the class name stayed.
        switch (type.split(separator: ".").last ?? "", index) {
        case ("Transformer", 0): transformerFolder = folder
        case ("Pooling", 1):
          let path = Self.join(directory, folder, "config.json")
          pipeline.pooling = try Self.pooling(try JSONObject.read(path), hiddenSize: hiddenSize)
        case ("Normalize", 2): pipeline.normalizes = true
        default:
          throw FormatError(
            .unsupported,
            "\(modulesPath): module \(index) is \(quoted(type)); supported is Transformer, Pooling, "
              + "then optionally Normalize")
        }
      }
      guard modules.count >= 2 else {
        throw FormatError(
          .badValue, "\(modulesPath) lists \(modules.count) modules; expected Transformer, then Pooling")
      }
    }
    let path = Self.join(directory, transformerFolder, "sentence_bert_config.json")
    if FileKind(of: path) != .absent {
      let object = try JSONObject.read(path)
      pipeline.maximumTokens = try object.optionalInteger("max_seq_length", in: 1...(1 << 20))
      pipeline.lowercases = try object.optionalBool("do_lower_case") ?? false
    }
    return pipeline
  }

  private static func join(_ directory: String, _ folder: String, _ file: String) -> String {
    folder.isEmpty ? "\(directory)/\(file)" : "\(directory)/\(folder)/\(file)"
  }

  private static func folder(of module: JSONObject) throws(FormatError) -> String {
    let folder = try module.optionalString("path") ?? ""
    guard folder.isEmpty || SafetensorsCheckpoint.isPlainFileName(folder) else {
      throw FormatError(
        .badValue,
        "\(module.source): \(module.path("path")) is \(quoted(folder)); expected a folder beside "
          + "modules.json")
    }
    return folder
  }

  /// The one mode that a pooling's config.json switches on: a flag each in older files, the name in newer.
  private static func pooling(_ object: JSONObject, hiddenSize: Int) throws(FormatError) -> Pooling {
    for name in ["word_embedding_dimension", "embedding_dimension"] {
      if let size = try object.optionalInteger(name, in: 1...(1 << 24)), size != hiddenSize {
        throw FormatError(
          .badValue, "\(object.source): \(name) is \(size), but config.json's hidden_size is \(hiddenSize)")
      }
    }
    var modes: [String] = []
    if let mode = try object.optionalString("pooling_mode") {
      modes = [mode]
    } else {
      let flags = [
        "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max", "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken",
      ]
      for (flag, mode) in flags.sorted(by: { $0.value < $1.value })
      where try object.optionalBool(flag) == true {
        modes.append(mode)
      }
    }
    guard modes.count == 1, let pooling = Pooling(rawValue: modes[0]) else {
      let found = modes.isEmpty ? "none" : modes.map(quoted).joined(separator: " and ")
      throw FormatError(
        .unsupported, "\(object.source): pooling mode is \(found); supported: one of mean, cls")
    }
    return pooling
  }
}
