import Testing
import WallclockCore

@testable import WallclockFormats

@Suite struct ConfigurationTests {
  let files: TemporaryFiles

  init() throws { files = try TemporaryFiles() }

  /// A valid configuration with `changes` made to it; nil removes a key.
  static func json(_ changes: [String: String?] = [:]) -> String {
    var members = [
      "model_type": "\"bert\"", "hidden_size": "384", "num_hidden_layers": "6", "num_attention_heads": "12",
      "intermediate_size": "1536", "hidden_act": "\"gelu\"", "layer_norm_eps": "1e-12",
      "max_position_embeddings": "512", "type_vocab_size": "2", "vocab_size": "30522", "pad_token_id": "0",
      "position_embedding_type": "\"absolute\"",
    ]
    for (name, value) in changes { members[name] = value }
    return "{" + members.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
  }

  @Test func readsAFileOrItsDirectory() throws {
    let path = try files.write("config.json", Self.json())
    let expected = BERTConfiguration(
      vocabularySize: 30522, hiddenSize: 384, layers: 6, heads: 12, intermediateSize: 1536)
    #expect(try ModelConfiguration.read(path) == .bert(expected))
    #expect(try ModelConfiguration.read(files.directory) == .bert(expected))
    #expect(expected.headDim == 32)
  }

  @Test func olderFilesTakeTheDefaults() throws {
    let path = try files.write(
      "config.json",
      Self.json([
        "hidden_act": nil, "layer_norm_eps": nil, "type_vocab_size": nil, "pad_token_id": "null",
        "position_embedding_type": nil,
      ]))
    let expected = BERTConfiguration(
      vocabularySize: 30522, hiddenSize: 384, layers: 6, heads: 12, intermediateSize: 1536, tokenTypes: 2,
      layerNormEpsilon: 1e-12, padTokenID: 0)
    #expect(try ModelConfiguration.read(path) == .bert(expected))
  }

  @Test(arguments: [
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "vocab_size",
  ])
  func namesTheMissingKey(_ key: String) throws {
    let path = try files.write("config.json", Self.json([key: nil]))
    let error = try #require(throws: FormatError.self) { _ = try ModelConfiguration.read(path) }
    #expect(error.code == .missingKey && error.exitStatus == .badData)
    #expect(error.message.contains("\"\(key)\"") && error.message.contains(path), "\(error)")
  }

  @Test(arguments: [
    ("hidden_size", "0"), ("hidden_size", "-384"), ("hidden_size", "384.5"), ("hidden_size", "\"384\""),
    ("hidden_size", "100"), ("hidden_size", "9223372036854775807"), ("hidden_size", "1e300"),
    ("num_hidden_layers", "0"), ("num_hidden_layers", "100000"), ("num_attention_heads", "0"),
    ("num_attention_heads", "7"), ("intermediate_size", "0"), ("vocab_size", "-1"),
    ("max_position_embeddings", "0"), ("type_vocab_size", "0"), ("pad_token_id", "30522"),
    ("pad_token_id", "-1"), ("layer_norm_eps", "0"), ("layer_norm_eps", "1"), ("layer_norm_eps", "-1e-5"),
    ("layer_norm_eps", "1e-60"), ("layer_norm_eps", "[]"), ("model_type", "7"),
  ])
  func refusesImplausibleValues(_ key: String, _ value: String) throws {
    let path = try files.write("config.json", Self.json([key: value]))
    let error = try #require(throws: FormatError.self) { _ = try ModelConfiguration.read(path) }
    #expect(error.code == .badValue && error.exitStatus == .badData, "\(error)")
    #expect(error.message.contains(key) && error.message.contains(path), "\(error)")
  }

  @Test(arguments: [
    ("model_type", "\"llama\"", "bert"), ("hidden_act", "\"relu\"", "gelu"),
    ("position_embedding_type", "\"relative_key\"", "absolute"), ("is_decoder", "true", "encoders"),
  ])
  func saysWhatIsSupported(_ key: String, _ value: String, _ supported: String) throws {
    let path = try files.write("config.json", Self.json([key: value]))
    let error = try #require(throws: FormatError.self) { _ = try ModelConfiguration.read(path) }
    #expect(error.code == .unsupported && error.exitStatus == .badData)
    #expect(error.message.contains(key) && error.message.contains(supported), "\(error)")
  }

  @Test func aDirectoryThatIsNoModel() throws {
    let error = try #require(throws: FormatError.self) { _ = try ModelConfiguration.read(files.directory) }
    #expect(error.code == .notAModel && error.exitStatus == .noInput)
    #expect(error.message.contains("config.json"))
  }

  @Test(arguments: ["", "[]", "{", "{}{}", "\"\u{0}\"", "nul", "{\"a\":1,\"a\":2}"])
  func refusesWhatIsNoObject(_ text: String) throws {
    let path = try files.write("config.json", text)
    let error = try #require(throws: FormatError.self) { _ = try ModelConfiguration.read(path) }
    #expect(error.exitStatus == .badData, "\(error)")
  }

  // MARK: The sentence-transformers pipeline

  func pipeline(
    modules: String? = nil, pooling: String? = nil, transformer: String? = nil
  ) throws -> SentencePipeline {
    if let modules { try files.write("modules.json", modules) }
    if let pooling { try files.write("1_Pooling/config.json", pooling) }
    if let transformer { try files.write("sentence_bert_config.json", transformer) }
    return try SentencePipeline.read(directory: files.directory, hiddenSize: 384)
  }

  static func modules(_ types: String...) -> String {
    let items = types.enumerated().map { index, type in
      #"{"idx":\#(index),"name":"\#(index)","path":"\#(index == 0 ? "" : "\(index)_\(type)")","type":"a.b.\#(type)"}"#
    }
    return "[" + items.joined(separator: ",") + "]"
  }

  @Test func withoutModulesTheMeanAsIs() throws {
    #expect(try pipeline() == SentencePipeline(pooling: .mean, normalizes: false))
  }

  @Test func readsPoolingNormalisationAndLength() throws {
    let read = try pipeline(
      modules: Self.modules("Transformer", "Pooling", "Normalize"),
      pooling:
        #"{"word_embedding_dimension":384,"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#,
      transformer: #"{"max_seq_length":256,"do_lower_case":true}"#)
    #expect(
      read == SentencePipeline(pooling: .cls, normalizes: true, maximumTokens: 256, lowercases: true))
  }

  @Test func readsThePoolingByName() throws {
    let read = try pipeline(
      modules: Self.modules("Transformer", "Pooling"),
      pooling: #"{"embedding_dimension":384,"pooling_mode":"mean"}"#)
    #expect(read == SentencePipeline(pooling: .mean, normalizes: false))
  }

  @Test(arguments: [
    (#"{"pooling_mode_max_tokens":true}"#, FormatError.Code.unsupported),
    (#"{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}"#, .unsupported),
    (#"{}"#, .unsupported),
    (#"{"pooling_mode_mean_tokens":1}"#, .badValue),
    (#"{"word_embedding_dimension":768,"pooling_mode_mean_tokens":true}"#, .badValue),
  ])
  func refusesPooling(_ pooling: String, _ code: FormatError.Code) throws {
    let error = try #require(throws: FormatError.self) {
      _ = try pipeline(modules: Self.modules("Transformer", "Pooling"), pooling: pooling)
    }
    #expect(error.code == code, "\(error)")
  }

  @Test(arguments: [
    modules("Transformer"), modules("Transformer", "Pooling", "Dense"), modules("Pooling", "Transformer"),
    "{}", "[1]",
    #"[{"type":"a.Transformer","path":"../.."},{"type":"a.Pooling","path":"1_Pooling"}]"#,
  ])
  func refusesModules(_ modules: String) throws {
    let error = try #require(throws: FormatError.self) {
      _ = try pipeline(modules: modules, pooling: #"{"pooling_mode_mean_tokens":true}"#)
    }
    #expect(error.exitStatus == .badData, "\(error)")
  }
}
