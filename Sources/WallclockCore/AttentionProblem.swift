/// Attention's part of a Problem.
///
/// Without `context` each sequence attends to itself, and laying out its keys and values belongs to the work; with it,
/// `tokens` queries attend to a cache of `context` keys, the last query beside the last key, and the cache is filled
/// before. `kv-heads` heads of keys and values serve `heads` of queries; as many where it is not given. The format is
/// that of the cache: f32, bf16, w8a16 (8-bit, a scale for each key and head) or w4a16-g32.
extension Problem {
  /// `batch` sequences of `tokens` queries, attending to themselves or to a cache of `context` keys.
  public static func attention(
    _ format: Format = .f32, batch: Int, tokens: Int, context: Int? = nil, heads: Int, kvHeads: Int? = nil, headDim: Int,
    mask: Mask = .full, state: OperandState = .hot
  ) -> Problem {
    var shape: Shape = [.batch: batch, .tokens: tokens, .heads: heads, .headDim: headDim]
    if let context { shape[.context] = context }
    if let kvHeads, kvHeads != heads { shape[.kvHeads] = kvHeads }
    return Problem(.attention, format: format, shape: shape, mask: mask, state: state)
  }

  public static let attentionFormats: [Format] = [.f32, .bf16, .w8a16, .w4a16g32]
  /// Sizes that attention may have beside those it needs.
  public static let optionalAttentionDimensions: [Dimension] = [.context, .kvHeads]

  public var usesCache: Bool { op == .attention && shape.sizes[.context] != nil }
  /// Keys of each sequence.
  public var keys: Int { shape.sizes[.context] ?? shape[.tokens] }
  public var kvHeads: Int { shape.sizes[.kvHeads] ?? shape[.heads] }

  var attentionOperations: Double {
    4 * Double(shape[.batch]) * Double(shape[.heads]) * mask.pairs(tokens: shape[.tokens], keys: keys)
      * Double(shape[.headDim])
  }

  var attentionBytes: Double {
    let s = shape
    let rows = Double(s[.batch]) * Double(s[.tokens]) * Double(s[.headDim])
    let queries = 8 * rows * Double(s[.heads])
    guard usesCache else { return queries + 8 * rows * Double(kvHeads) }
    let seen = Double(mask.keysSeen(tokens: s[.tokens], keys: keys))
    return queries + 2 * Double(s[.batch]) * Double(kvHeads) * seen * Double(format.weightBytes(n: 1, k: s[.headDim]))
  }

  func checkAttention() throws(ProblemTextError) {
    guard Problem.attentionFormats.contains(format) else {
      throw ProblemTextError(
        message:
          "attention has no cache of format \(format); known: \(Problem.attentionFormats.map(\.description).joined(separator: ", "))"
      )
    }
    guard kvHeads > 0, shape[.heads] % kvHeads == 0 else {
      throw ProblemTextError(
        message: "heads=\(shape[.heads]) with kv-heads=\(kvHeads): each must serve as many, so kv-heads must divide heads")
    }
  }
}
