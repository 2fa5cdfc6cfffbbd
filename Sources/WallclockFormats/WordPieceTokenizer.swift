/// BERT's tokenizer: clean-up, words, then the longest pieces of a fixed vocabulary
/// (Wu et al., arXiv 1609.08144, §4.1). Gives the ids that Hugging Face's `tokenizers` gives.
public struct WordPieceTokenizer: Sendable {
  let normalizer: BERTNormalizer?
  let rawTokens: AddedTokens
  let normalizedTokens: AddedTokens
  /// Pieces that begin a word, and pieces that continue one, without the prefix they carry in files.
  let heads: [ByteKey: Int32]
  let tails: [ByteKey: Int32]
  /// Bytes of the longest head and tail: no longer text need be looked up.
  let longestPiece: Int
  let unknownID: Int32
  /// Scalars of the longest word that is looked up; a longer one is unknown.
  let maximumWordScalars: Int
  /// Special tokens around every text: `[CLS]` … `[SEP]`.
  let prefixIDs: [Int32]
  let suffixIDs: [Int32]

  /// The largest id it can give, plus one; an embedding table must have as many rows.
  public let vocabularySize: Int

  /// Tokens of the longest result, special tokens included; the text's end is cut off.
  public private(set) var maximumTokens: Int

  /// Several times the longest piece of published vocabularies. With the limit on words it bounds the
  /// work that a hostile file can make of one word.
  static let maximumPieceBytes = 256

  /// The special tokens that surround every text.
  public var specialTokensPerText: Int { prefixIDs.count + suffixIDs.count }

  init(_ parts: TokenizerParts) throws(FormatError) {
    var heads: [ByteKey: Int32] = [:]
    var tails: [ByteKey: Int32] = [:]
    heads.reserveCapacity(parts.vocabulary.count)
    let prefix = Array(parts.continuingPrefix.utf8)
    var longest = 0
    for (bytes, id) in parts.vocabulary {
      guard bytes.count <= Self.maximumPieceBytes else {
        throw FormatError(
          .badValue,
          "\(parts.source): the vocabulary's piece of id \(id) has \(bytes.count) bytes; at most "
            + "\(Self.maximumPieceBytes) are accepted")
      }
      heads[ByteKey(bytes)] = id
      longest = max(longest, bytes.count)
      if bytes.starts(with: prefix) { tails[ByteKey(bytes.dropFirst(prefix.count))] = id }
    }
    guard let unknown = heads[ByteKey(parts.unknownToken)] else {
      throw FormatError(
        .badValue,
        "\(parts.source): the unknown token \(quoted(parts.unknownToken)) is not in the vocabulary")
    }
    self.heads = heads
    self.tails = tails
    longestPiece = longest
    unknownID = unknown
    maximumWordScalars = parts.maximumWordScalars
    let normalizer = parts.normalizer
    self.normalizer = normalizer
    prefixIDs = parts.prefixIDs
    suffixIDs = parts.suffixIDs
    rawTokens = AddedTokens(
      parts.addedTokens.filter { !$0.normalized }.map { (Array($0.content.unicodeScalars), $0) })
    normalizedTokens = AddedTokens(
      parts.addedTokens.filter(\.normalized).map { token in
        let scalars = Array(token.content.unicodeScalars)
        return (normalizer?.normalize(scalars) ?? scalars, token)
      })
    let ids = parts.vocabulary.map(\.id) + parts.addedTokens.map(\.id) + prefixIDs + suffixIDs
    vocabularySize = Int(ids.max() ?? 0) + 1
    maximumTokens = parts.maximumTokens ?? .max
    try checkLimit()
  }

  /// The same tokenizer with another limit.
  ///
  /// - Throws: `FormatError.badValue` when not even the special tokens fit.
  public func limited(to tokens: Int) throws(FormatError) -> WordPieceTokenizer {
    var copy = self
    copy.maximumTokens = tokens
    try copy.checkLimit()
    return copy
  }

  private func checkLimit() throws(FormatError) {
    guard maximumTokens >= max(specialTokensPerText, 1) else {
      throw FormatError(
        .badValue,
        "a limit of \(maximumTokens) tokens leaves no room for the \(specialTokensPerText) special "
          + "tokens of each text")
    }
  }

  /// The ids of `text`, special tokens included, at most `maximumTokens`.
  public func encode(_ text: String) -> [Int32] {
    let room = maximumTokens - specialTokensPerText
    var ids = prefixIDs
    let limit = prefixIDs.count + room
    encode(Array(text.unicodeScalars)[...], into: &ids, limit: limit)
    if ids.count > limit { ids.removeSubrange(limit...) }
    return ids + suffixIDs
  }

  /// The ids of each text; not padded.
  public func encode(batch texts: [String]) -> [[Int32]] { texts.map(encode) }

  private func encode(_ text: ArraySlice<Unicode.Scalar>, into ids: inout [Int32], limit: Int) {
    for piece in rawTokens.split(text) {
      switch piece {
      case .token(let id): ids.append(id)
      case .text(let raw):
        let normalized = normalizer.map { $0.normalize(raw)[...] } ?? raw
        for piece in normalizedTokens.split(normalized) {
          switch piece {
          case .token(let id): ids.append(id)
          case .text(let words): encode(words: words, into: &ids, limit: limit)
          }
        }
      }
      // What follows would be cut off.
      if ids.count >= limit { return }
    }
  }

  /// Cuts at white space and around punctuation.
  private func encode(words text: ArraySlice<Unicode.Scalar>, into ids: inout [Int32], limit: Int) {
    var start = text.startIndex
    for index in text.indices {
      let scalar = text[index]
      let isSpace = scalar.properties.isWhitespace
      guard isSpace || scalar.isSeparatingPunctuation else { continue }
      if start < index { encode(word: text[start..<index], into: &ids) }
      if !isSpace { encode(word: text[index...index], into: &ids) }
      start = index + 1
      if ids.count >= limit { return }
    }
    if start < text.endIndex { encode(word: text[start...], into: &ids) }
  }

  /// The longest piece that begins the word, then the longest that continues it, and so on; a word
  /// that cannot be covered is unknown as a whole.
  private func encode(word: ArraySlice<Unicode.Scalar>, into ids: inout [Int32]) {
    guard word.count <= maximumWordScalars else {
      ids.append(unknownID)
      return
    }
    var bytes: [UInt8] = []
    for scalar in word { bytes += UTF8.encode(scalar)! }
    let first = ids.count
    var start = 0
    while start < bytes.count {
      let table = start == 0 ? heads : tails
      var end = min(bytes.count, start + longestPiece)
      while end > start {
        // A piece ends where a scalar does.
        let isBoundary = end == bytes.count || !UTF8.isContinuation(bytes[end])
        if isBoundary, let id = table[ByteKey(bytes[start..<end])] {
          ids.append(id)
          break
        }
        end -= 1
      }
      guard end > start else {
        ids.removeSubrange(first...)
        ids.append(unknownID)
        return
      }
      start = end
    }
  }
}
