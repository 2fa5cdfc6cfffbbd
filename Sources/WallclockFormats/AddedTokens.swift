/// Tokens that are found in the text itself, before it is cut into words: `[MASK]` and the like.
struct AddedTokens: Sendable {
  struct Token: Sendable {
    var id: Int32
    var content: String
    /// Only matches that touch no word.
    var singleWord = false
    /// Takes the white space before it, after it.
    var stripsLeft = false
    var stripsRight = false
    /// Is looked for in the normalised text, not in the text as given.
    var normalized = false
  }

  enum Piece {
    case token(Int32)
    case text(ArraySlice<Unicode.Scalar>)
  }

  /// Longest first: of the tokens that match at one place the longest wins.
  private let tokens: [(content: [Unicode.Scalar], token: Token)]
  private let firstScalars: Set<Unicode.Scalar>

  init(_ tokens: [(content: [Unicode.Scalar], token: Token)]) {
    self.tokens = tokens.filter { !$0.content.isEmpty }.sorted { $0.content.count > $1.content.count }
    firstScalars = Set(self.tokens.map { $0.content[0] })
  }

  /// Cuts `text` at the tokens in it, leftmost first, as `tokenizers` does.
  func split(_ text: ArraySlice<Unicode.Scalar>) -> [Piece] {
    guard !text.isEmpty else { return [] }
    guard !tokens.isEmpty else { return [.text(text)] }
    var pieces: [Piece] = []
    var pending = text.startIndex
    var position = text.startIndex
    while position < text.endIndex {
      guard firstScalars.contains(text[position]),
        let (content, token) = tokens.first(where: { text[position...].starts(with: $0.content) })
      else {
        position += 1
        continue
      }
      var start = position
      var end = position + content.count
      position = end
      if token.singleWord {
        let touches =
          (start > text.startIndex && text[start - 1].isWordScalar)
          || (end < text.endIndex && text[end].isWordScalar)
        if touches { continue }
      }
      if token.stripsLeft {
        while start > pending && text[start - 1].properties.isWhitespace { start -= 1 }
      }
      if token.stripsRight {
        while end < text.endIndex && text[end].properties.isWhitespace { end += 1 }
      }
      // A token that took the space before it may reach into what was already given away.
      start = max(start, pending)
      if pending < start { pieces.append(.text(text[pending..<start])) }
      pieces.append(.token(token.id))
      pending = end
    }
    if pending < text.endIndex { pieces.append(.text(text[pending...])) }
    return pieces
  }
}

extension Unicode.Scalar {
  /// `\w` of Unicode regular expressions (UTS 18, annex C).
  fileprivate var isWordScalar: Bool {
    let p = properties
    if p.isAlphabetic || p.isJoinControl { return true }
    return switch p.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: false
    }
  }
}
