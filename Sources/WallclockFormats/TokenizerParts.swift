/// What a WordPiece tokenizer is made of, as read and checked from a model's files.
struct TokenizerParts {
  var source: String
  var vocabulary: [(bytes: ArraySlice<UInt8>, id: Int32)]
  var unknownToken: String
  var continuingPrefix = "##"
  var maximumWordScalars = 100
  var normalizer: BERTNormalizer?
  var addedTokens: [AddedTokens.Token]
  var prefixIDs: [Int32]
  var suffixIDs: [Int32]
  var maximumTokens: Int?
}

extension WordPieceTokenizer {
  /// Reads `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`, from a model directory.
  ///
  /// - Throws: `FormatError.missingPart` when there is neither; `.unsupported` naming what the file
  ///   asks for and what this version does.
  public static func read(directory: String) throws(FormatError) -> WordPieceTokenizer {
    let json = "\(directory)/tokenizer.json"
    if FileKind(of: json) != .absent { return try WordPieceTokenizer(TokenizerParts(json: json)) }
    let text = "\(directory)/vocab.txt"
    if FileKind(of: text) != .absent {
      return try WordPieceTokenizer(TokenizerParts(vocabulary: text, directory: directory))
    }
    throw FormatError(
      .missingPart, "\(directory) holds no tokenizer: expected tokenizer.json or vocab.txt")
  }

  /// Whether the directory holds one of the files that `read` takes.
  public static func exists(in directory: String) -> Bool {
    FileKind(of: "\(directory)/tokenizer.json") != .absent
      || FileKind(of: "\(directory)/vocab.txt") != .absent
  }

  /// The `model_max_length` of `tokenizer_config.json`; nil when absent, or so large that it means none.
  public static func declaredMaximum(directory: String) throws(FormatError) -> Int? {
    let path = "\(directory)/tokenizer_config.json"
    guard FileKind(of: path) != .absent else { return nil }
    let object = try JSONObject.read(path)
    guard let number = try object.optionalNumber("model_max_length"), number < 1e9 else { return nil }
    return try object.integer("model_max_length", in: 1...1_000_000_000)
  }
}

extension TokenizerParts {
  /// Larger than the largest published tokenizer.json.
  private static let fileLimit = 128 << 20
  private static let idLimits = 0...(1 << 24) - 1
  private static let wordLimits = 1...1000

  private static func unsupported(_ object: JSONObject, _ found: String, _ supported: String) -> FormatError {
    FormatError(
      .unsupported, "\(object.source): \(object.path("type")) is \(quoted(found)); supported: \(supported)")
  }

  init(json path: String) throws(FormatError) {
    let root = try JSONObject.read(path, limit: Self.fileLimit)
    let model = try root.object("model")
    // Files of the first versions name no type.
    let type = try model.optionalString("type") ?? "WordPiece"
    guard type == "WordPiece" else { throw Self.unsupported(model, type, "WordPiece") }
    source = path
    let entries = try model.object("vocab")
    var pieces: [(bytes: ArraySlice<UInt8>, id: Int32)] = []
    pieces.reserveCapacity(entries.members.count)
    for member in entries.members {
      guard case .integer(let id) = member.value, Self.idLimits.contains(id) else {
        throw FormatError(
          .badValue,
          "\(path): the id of \(quoted(member.name)) in model.vocab is not an integer from "
            + "0 to \(Self.idLimits.upperBound)")
      }
      pieces.append((ArraySlice(member.name.utf8), Int32(id)))
    }
    vocabulary = pieces
    unknownToken = try model.optionalString("unk_token") ?? "[UNK]"
    continuingPrefix = try model.optionalString("continuing_subword_prefix") ?? "##"
    maximumWordScalars = try model.optionalInteger("max_input_chars_per_word", in: Self.wordLimits) ?? 100
    normalizer = try Self.normalizer(root.optionalObject("normalizer"))
    let preTokenizer = try root.object("pre_tokenizer")
    let words = try preTokenizer.string("type")
    guard words == "BertPreTokenizer" else { throw Self.unsupported(preTokenizer, words, "BertPreTokenizer") }
    addedTokens = []
    for token in try root.objects("added_tokens") {
      addedTokens.append(
        .init(
          id: Int32(try token.integer("id", in: Self.idLimits)),
          content: try token.string("content"),
          singleWord: try token.optionalBool("single_word") ?? false,
          stripsLeft: try token.optionalBool("lstrip") ?? false,
          stripsRight: try token.optionalBool("rstrip") ?? false,
          normalized: try token.optionalBool("normalized") ?? false))
    }
    (prefixIDs, suffixIDs) = try Self.template(root.optionalObject("post_processor"))
    maximumTokens = nil
    if let truncation = try root.optionalObject("truncation") {
      let direction = try truncation.optionalString("direction") ?? "Right"
      guard direction == "Right" else {
        throw FormatError(
          .unsupported, "\(path): truncation.direction is \(quoted(direction)); supported: Right")
      }
      maximumTokens = try truncation.integer("max_length", in: 1...(1 << 30))
    }
  }

  private static func normalizer(_ object: JSONObject?) throws(FormatError) -> BERTNormalizer? {
    guard let object else { return nil }
    let type = try object.string("type")
    guard type == "BertNormalizer" else { throw unsupported(object, type, "BertNormalizer") }
    let lowercases = try object.optionalBool("lowercase") ?? true
    return BERTNormalizer(
      cleansText: try object.optionalBool("clean_text") ?? true,
      separatesIdeographs: try object.optionalBool("handle_chinese_chars") ?? true,
      // Left open, accents go when case does.
      stripsAccents: try object.optionalBool("strip_accents") ?? lowercases,
      lowercases: lowercases)
  }

  /// The ids before and after a single text.
  private static func template(_ object: JSONObject?) throws(FormatError) -> ([Int32], [Int32]) {
    guard let object else { return ([], []) }
    let type = try object.string("type")
    switch type {
    case "TemplateProcessing":
      let known = try object.object("special_tokens")
      var sides: [[Int32]] = [[]]
      for item in try object.objects("single") {
        if let token = try item.optionalObject("SpecialToken") {
          let name = try token.string("id")
          sides[sides.count - 1] += try ids(of: known.object(name))
        } else {
          _ = try item.object("Sequence")
          sides.append([])
        }
      }
      guard sides.count == 2 else {
        throw FormatError(
          .unsupported,
          "\(object.source): post_processor.single places the text \(sides.count - 1) times; supported: once")
      }
      return (sides[0], sides[1])
    case "BertProcessing":
      return (try [pairID("cls", object)], try [pairID("sep", object)])
    default: throw unsupported(object, type, "TemplateProcessing, BertProcessing")
    }
  }

  private static func ids(of token: JSONObject) throws(FormatError) -> [Int32] {
    guard case .array(let elements) = token["ids"] else { throw token.missing("ids") }
    var result: [Int32] = []
    for element in elements {
      guard case .integer(let id) = element, idLimits.contains(id) else {
        throw FormatError(.badValue, "\(token.source): \(token.path("ids")) holds a value that is no id")
      }
      result.append(Int32(id))
    }
    return result
  }

  /// The id in `["[CLS]", 101]`.
  private static func pairID(_ name: String, _ object: JSONObject) throws(FormatError) -> Int32 {
    guard case .array(let pair) = object[name], pair.count == 2, case .integer(let id) = pair[1],
      idLimits.contains(id)
    else {
      throw FormatError(
        .badValue, "\(object.source): \(object.path(name)) is not a pair of a token and its id")
    }
    return Int32(id)
  }

  /// A tokenizer of the first BERT releases: a piece per line, its id the line's number from 0.
  init(vocabulary path: String, directory: String) throws(FormatError) {
    let bytes = try InputFile.read(path, limit: Self.fileLimit)
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw FormatError(.badValue, "\(path) is not UTF-8 text; expected one piece per line")
    }
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    guard lines.count <= Self.idLimits.count else {
      throw FormatError(
        .tooLarge, "\(path) has \(lines.count) lines; at most \(Self.idLimits.count) are read")
    }
    // The library trims the end of each line, and of equal pieces the last one counts.
    var numbers: [ByteKey: Int32] = [:]
    for (number, line) in lines.enumerated() {
      var piece = Substring(decoding: line, as: UTF8.self).unicodeScalars
      while piece.last?.properties.isWhitespace == true { piece.removeLast() }
      numbers[ByteKey(String(piece))] = Int32(number)
    }
    source = path
    vocabulary = numbers.map { ($0.key.bytes, $0.value) }

    let configuration = "\(directory)/tokenizer_config.json"
    let options =
      FileKind(of: configuration) == .absent
      ? JSONObject([], source: configuration) : try JSONObject.read(configuration)
    let lowercases = try options.optionalBool("do_lower_case") ?? true
    normalizer = BERTNormalizer(
      separatesIdeographs: try options.optionalBool("tokenize_chinese_chars") ?? true,
      stripsAccents: try options.optionalBool("strip_accents") ?? lowercases,
      lowercases: lowercases)
    func special(_ name: String, _ standard: String) throws(FormatError) -> AddedTokens.Token {
      // Written either as the text or as an object that describes the token.
      let content =
        if case .object = options[name] { try options.object(name).string("content") } else {
          try options.optionalString(name) ?? standard
        }
      guard let id = numbers[ByteKey(content)] else {
        throw FormatError(.badValue, "\(path) lacks the special token \(quoted(content)) (\(name))")
      }
      return .init(id: id, content: content)
    }
    let unknown = try special("unk_token", "[UNK]")
    let first = try special("cls_token", "[CLS]")
    let last = try special("sep_token", "[SEP]")
    unknownToken = unknown.content
    addedTokens = [
      unknown, first, last, try special("pad_token", "[PAD]"), try special("mask_token", "[MASK]"),
    ]
    prefixIDs = [first.id]
    suffixIDs = [last.id]
    maximumTokens = nil
  }
}
