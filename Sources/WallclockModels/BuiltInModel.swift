public import WallclockFormats

/// A published model whose sizes are known without its files, to plan for before it is fetched.
public struct BuiltInModel: Hashable, Sendable {
  /// The name that commands take.
  public let name: String
  /// Other spellings that name it.
  public let aliases: [String]
  /// The repository on the Hugging Face hub whose config.json the sizes are from.
  public let source: String
  public let configuration: BERTConfiguration
  public let pipeline: SentencePipeline

  private static let uncasedVocabulary = 30522

  public static let all: [BuiltInModel] = [
    BuiltInModel(
      name: "minilm-l6", aliases: ["all-MiniLM-L6-v2"], source: "sentence-transformers/all-MiniLM-L6-v2",
      configuration: .init(
        vocabularySize: uncasedVocabulary, hiddenSize: 384, layers: 6, heads: 12, intermediateSize: 1536),
      pipeline: .init(pooling: .mean, normalizes: true, maximumTokens: 256)),
    BuiltInModel(
      name: "minilm-l12", aliases: ["all-MiniLM-L12-v2"], source: "sentence-transformers/all-MiniLM-L12-v2",
      configuration: .init(
        vocabularySize: uncasedVocabulary, hiddenSize: 384, layers: 12, heads: 12, intermediateSize: 1536),
      pipeline: .init(pooling: .mean, normalizes: true, maximumTokens: 128)),
    BuiltInModel(
      name: "bert-base", aliases: ["bert-base-uncased"], source: "google-bert/bert-base-uncased",
      configuration: .init(
        vocabularySize: uncasedVocabulary, hiddenSize: 768, layers: 12, heads: 12, intermediateSize: 3072),
      pipeline: .init()),
    BuiltInModel(
      name: "bert-large", aliases: ["bert-large-uncased"], source: "google-bert/bert-large-uncased",
      configuration: .init(
        vocabularySize: uncasedVocabulary, hiddenSize: 1024, layers: 24, heads: 16, intermediateSize: 4096),
      pipeline: .init()),
  ]

  /// The model of that name or alias, in any case.
  public static func named(_ name: String) -> BuiltInModel? {
    let wanted = name.lowercased()
    return all.first { $0.name == wanted || $0.aliases.contains { $0.lowercased() == wanted } }
  }
}
