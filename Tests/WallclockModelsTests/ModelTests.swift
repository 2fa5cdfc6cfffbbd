import Foundation
import Testing
import WallclockCore
import WallclockFormats
import WallclockTestSupport

@testable import WallclockModels

@Suite struct GraphTests {
  static let minilm = BuiltInModel.named("minilm-l6")!.configuration

  @Test func nodesStandInTheOrderOfAForwardPass() {
    let graph = ModelGraph.bert(Self.minilm)
    #expect(
      graph.nodes.map(\.name) == [
        "embeddings", "embeddings.norm", "attention.qkv", "attention.scores", "attention.output",
        "attention.norm",
        "ffn.up", "ffn.down", "ffn.norm", "pool",
      ])
    #expect(graph.nodes.map(\.count) == [1, 1, 6, 6, 6, 6, 6, 6, 6, 1])
    #expect(graph.name == "bert 6×384" && graph.maximumTokens == 512)
  }

  @Test func weightsOfMiniLM() {
    let graph = ModelGraph.bert(Self.minilm)
    let parameters = 6 * (3 * 384 * 384 + 384 * 384 + 2 * 384 * 1536)
    #expect(graph.weightBytes { _ in .f32 } == parameters * 4)
    #expect(graph.weightBytes { _ in .bf16 } == parameters * 2)
    let embeddings = (30522 + 512 + 2) * 384
    let norms = 13 * 2 * 384
    let biases = 6 * (5 * 384 + 1536)
    #expect(graph.fixedBytes == 4 * (embeddings + norms + biases))
  }

  @Test func problemsOfAWorkload() {
    let graph = ModelGraph.bert(Self.minilm)
    let workload = Workload(batch: 2, tokens: 16)
    let problems = graph.nodes.map { $0.problem(workload, format: .f32, state: .hot) }
    #expect(problems[2] == .gemm(.f32, m: 32, n: 1152, k: 384, epilogue: [.bias]))
    #expect(problems[3] == .attention(batch: 2, tokens: 16, heads: 12, headDim: 32))
    #expect(problems[4] == .gemm(.f32, m: 32, n: 384, k: 384, epilogue: [.bias, .residual]))
    #expect(problems[6] == .gemm(.f32, m: 32, n: 1536, k: 384, epilogue: [.bias, .gelu]))
    #expect(problems[7] == .gemm(.f32, m: 32, n: 384, k: 1536, epilogue: [.bias, .residual]))
    #expect(problems[9] == .rowwise(.meanPool, rows: 32, channels: 384))
  }

  /// Published parameter counts without the pooler: 22.7 M less 0.15 M, 33.4 M less 0.15 M, 109.5 M
  /// less 0.6 M, 335.1 M less 1.0 M.
  @Test(arguments: zip(BuiltInModel.all, [22.6, 33.2, 108.9, 334.1]))
  func builtInSizesAreThePublished(_ model: BuiltInModel, _ millions: Double) {
    let graph = ModelGraph.bert(model.configuration)
    let parameters = Double(graph.fixedBytes + graph.weightBytes { _ in .f32 }) / 4e6
    #expect(abs(parameters - millions) < 0.1, "\(model.name): \(parameters)")
  }

  @Test func namesFindBuiltInModels() throws {
    #expect(BuiltInModel.named("ALL-minilm-l6-V2")?.name == "minilm-l6")
    let model = try Model.load("bert-base")
    #expect(model.graph.name == "bert 12×768" && !model.hasWeights)
    let error = try #require(throws: FormatError.self) { _ = try model.weights() }
    #expect(error.code == .missingPart && error.exitStatus == .noInput)
    #expect(throws: FormatError.self) { _ = try model.tokenizer() }
    let unknown = try #require(throws: FormatError.self) { _ = try Model.load("no-such-model") }
    #expect(unknown.exitStatus == .noInput && unknown.message.contains("minilm-l6"))
  }
}

/// A BERT of two layers in a directory, its values counted up from 0 in the order of its tensors.
final class TinyModel {
  let directory: String
  static let hidden = 4
  static let intermediate = 8

  /// - Parameters:
  ///   - prefix: before every name.
  ///   - norms: the names of a norm's two tensors.
  ///   - change: edits the tensors' shapes by name; nil removes one.
  init(
    prefix: String = "", norms: (String, String) = ("weight", "bias"), bits: UInt32? = nil,
    change: [String: [Int]?] = [:]
  ) throws {
    directory = NSTemporaryDirectory() + "wallclock-models-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try Data(
      """
      {"model_type":"bert","hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":8,
      "max_position_embeddings":6,"vocab_size":5}
      """.utf8
    ).write(to: URL(fileURLWithPath: "\(directory)/config.json"))
    let h = Self.hidden
    let i = Self.intermediate
    var tensors: [(String, [Int])] = [
      ("embeddings.word_embeddings.weight", [5, h]), ("embeddings.position_embeddings.weight", [6, h]),
      ("embeddings.token_type_embeddings.weight", [2, h]),
      ("embeddings.LayerNorm.\(norms.0)", [h]), ("embeddings.LayerNorm.\(norms.1)", [h]),
    ]
    for layer in 0..<2 {
      for (module, n, k) in [
        ("attention.self.key", h, h), ("attention.self.query", h, h), ("attention.self.value", h, h),
        ("attention.output.dense", h, h), ("intermediate.dense", i, h), ("output.dense", h, i),
      ] {
        tensors.append(("encoder.layer.\(layer).\(module).weight", [n, k]))
        tensors.append(("encoder.layer.\(layer).\(module).bias", [n]))
      }
      for module in ["attention.output.LayerNorm", "output.LayerNorm"] {
        tensors.append(("encoder.layer.\(layer).\(module).\(norms.0)", [h]))
        tensors.append(("encoder.layer.\(layer).\(module).\(norms.1)", [h]))
      }
    }
    var members: [String] = []
    var values: [Float] = []
    for (name, shape) in tensors {
      guard let shape = change[name] ?? shape else { continue }
      let start = 4 * values.count
      let count = shape.reduce(1, *)
      values += (0..<count).map { Float(values.count + $0) }
      members.append(
        #""\#(prefix)\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(start),\#(4 * values.count)]}"#
      )
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    var content = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
    for value in values {
      let bits = bits ?? value.bitPattern
      content += (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
    }
    try Data(content).write(to: URL(fileURLWithPath: "\(directory)/model.safetensors"))
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }
}

@Suite struct WeightsTests {
  @Test func queryKeyValueLieEndToEnd() throws {
    let tiny = try TinyModel()
    let weights = try Model.load(tiny.directory).weights()
    let qkv = try weights.linear(layer: 0, role: .attentionQKV)
    #expect(qkv.n == 12 && qkv.k == 4)
    // The file holds 60 values of embeddings and norm, then key (16 and 4), query, value.
    let (key, query, value) = (60, 80, 100)
    let expected = [query, key, value].flatMap { start in (0..<16).map { Float(start + $0) } }
    #expect(qkv.weight.array() == expected)
    #expect(qkv.bias.array() == [query, key, value].flatMap { start in (16..<20).map { Float(start + $0) } })
    let down = try weights.linear(layer: 1, role: .ffnDown)
    #expect(down.n == 4 && down.k == 8 && down.weight.count == 32 && down.bias.count == 4)
    #expect(try weights.embedding(.position).array() == (20..<44).map(Float.init))
    let norm = try weights.norm(.embeddings)
    #expect(norm.gamma.array() == [52, 53, 54, 55] && norm.beta.array() == [56, 57, 58, 59])
    #expect(norm.epsilon == 1e-12)
  }

  @Test func acceptsPrefixAndOldNames() throws {
    let tiny = try TinyModel(prefix: "bert.", norms: ("gamma", "beta"))
    let weights = try Model.load(tiny.directory).weights()
    #expect(try weights.norm(.embeddings).gamma.array() == [52, 53, 54, 55])
    #expect(try weights.norm(.ffn, layer: 1).beta.count == 4)
  }

  @Test(arguments: [
    ("embeddings.word_embeddings.weight", [6, 4]), ("encoder.layer.1.output.dense.weight", [8, 4]),
    ("encoder.layer.0.attention.self.query.bias", [8]), ("embeddings.LayerNorm.weight", [4, 1]),
  ])
  func refusesAnotherShape(_ name: String, _ shape: [Int]) throws {
    let tiny = try TinyModel(change: [name: shape])
    let error = try #require(throws: FormatError.self) { _ = try Model.load(tiny.directory) }
    #expect(error.code == .badShape && error.message.contains(name), "\(error)")
  }

  @Test func refusesAMissingTensor() throws {
    let name = "encoder.layer.1.intermediate.dense.bias"
    let tiny = try TinyModel(change: [name: nil])
    let error = try #require(throws: FormatError.self) { _ = try Model.load(tiny.directory) }
    #expect(error.code == .missingTensor && error.message.contains(name), "\(error)")
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func refusesValuesThatAreNotFinite(_ value: Float) throws {
    let tiny = try TinyModel(bits: value.bitPattern)
    let weights = try Model.load(tiny.directory).weights()
    let error = try #require(throws: FormatError.self) { _ = try weights.embedding(.word) }
    #expect(error.code == .badValue)
  }

  @Test func refusesWhatMemoryCannotHold() throws {
    let tiny = try TinyModel()
    try Data(
      """
      {"model_type":"bert","hidden_size":65536,"num_hidden_layers":1024,"num_attention_heads":1024,
      "intermediate_size":65536,"max_position_embeddings":1048576,"vocab_size":16777216}
      """.utf8
    ).write(to: URL(fileURLWithPath: "\(tiny.directory)/config.json"))
    let error = try #require(throws: FormatError.self) { _ = try Model.load(tiny.directory) }
    #expect(error.code == .tooLarge, "\(error)")
    // Planning for it needs no memory.
    #expect(try Model.load("\(tiny.directory)/config.json").graph.fixedBytes > 1 << 40)
  }

  @Test func aConfigurationAloneHasNoWeights() throws {
    let tiny = try TinyModel()
    let model = try Model.load("\(tiny.directory)/config.json")
    #expect(!model.hasWeights && model.graph.name == "bert 2×4" && model.maximumTokens == 6)
  }

  @Test func theTokenizerMustFitTheConfiguration() throws {
    let tiny = try TinyModel()
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    let path = URL(fileURLWithPath: "\(tiny.directory)/vocab.txt")
    try Data(vocabulary.joined(separator: "\n").utf8).write(to: path)
    #expect(try Model.load(tiny.directory).encode("a") == [2, 1, 3])
    try Data((vocabulary + ["a"]).joined(separator: "\n").utf8).write(to: path)
    let error = try #require(throws: FormatError.self) { _ = try Model.load(tiny.directory) }
    #expect(error.code == .badValue && error.message.contains("vocab_size"), "\(error)")
  }
}

@Suite struct RealModelTests {
  @Test func isWhatTheBuiltInTableSays() throws {
    let model = try Model.load(RealModel.directory())
    let known = try #require(BuiltInModel.named("all-MiniLM-L6-v2"))
    #expect(model.configuration == known.configuration)
    #expect(model.pipeline == known.pipeline)
    #expect(model.maximumTokens == 256)
    #expect(model.name == "all-MiniLM-L6-v2")
    #expect(try model.encode("A man is eating food.") == [101, 1037, 2158, 2003, 5983, 2833, 1012, 102])
    #expect(try model.encode(String(repeating: "word ", count: 400)).count == 256)
  }

  @Test func everyWeightIsRead() throws {
    let model = try Model.load(RealModel.directory())
    let weights = try model.weights()
    var bytes = 0
    for role in BERTEmbeddingRole.allCases { bytes += 4 * (try weights.embedding(role).count) }
    for role in BERTNormRole.allCases {
      for layer in 0..<(role == .embeddings ? 1 : 6) {
        let norm = try weights.norm(role, layer: layer)
        bytes += 4 * (norm.gamma.count + norm.beta.count)
      }
    }
    for role in BERTLinearRole.allCases {
      for layer in 0..<6 {
        let linear = try weights.linear(layer: layer, role: role)
        bytes += 4 * (linear.weight.count + linear.bias.count)
      }
    }
    #expect(bytes == model.graph.fixedBytes + model.graph.weightBytes { _ in .f32 })
  }
}
