import Foundation
import Testing
import WallclockCore
import WallclockTestSupport

@testable import WallclockFormats

@Suite struct TokenizerTests {
  struct Ids: Decodable {
    struct Case: Decodable {
      let text: String
      let ids: [Int32]
      init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        text = try container.decode(String.self)
        ids = try container.decode([Int32].self)
      }
    }
    let madeWith: String
    let cases: [Case]
  }

  static func ids() throws -> Ids { try JSONDecoder().decode(Ids.self, from: fixture("wordpiece-ids.json")) }

  /// Both files of the model must give the same tokenizer.
  static let sources = ["tokenizer.json", "vocab.txt"]

  static func tokenizer(from source: String) throws -> WordPieceTokenizer {
    let directory = try RealModel.directory()
    if source == "tokenizer.json" { return try WordPieceTokenizer.read(directory: directory) }
    let files = try TemporaryFiles()
    for name in [source, "tokenizer_config.json"] {
      try files.write(name, Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)")))
    }
    return try WordPieceTokenizer.read(directory: files.directory)
  }

  @Test(arguments: sources)
  func givesTheReferenceIds(_ source: String) throws {
    let fixture = try Self.ids()
    #expect(fixture.cases.count >= 1000)
    let tokenizer = try Self.tokenizer(from: source).limited(to: 1 << 20)
    #expect(tokenizer.vocabularySize == 30522)
    for test in fixture.cases {
      let ids = tokenizer.encode(test.text)
      #expect(ids == test.ids, "\(test.text.unicodeScalars.map { String($0.value, radix: 16) })")
    }
  }

  /// Right-hand truncation keeps the special tokens: what the reference does with `max_length`.
  @Test(arguments: [2, 3, 7, 16, 256])
  func truncatesAsTheReference(_ limit: Int) throws {
    let tokenizer = try Self.tokenizer(from: "tokenizer.json").limited(to: limit)
    for test in try Self.ids().cases {
      let expected =
        test.ids.count <= limit ? test.ids : Array(test.ids.dropLast().prefix(limit - 1)) + [102]
      #expect(tokenizer.encode(test.text) == expected)
    }
  }

  @Test func readsTheFilesOwnLimit() throws {
    let tokenizer = try Self.tokenizer(from: "tokenizer.json")
    #expect(tokenizer.maximumTokens == 128)
    #expect(tokenizer.encode(batch: ["a", "the cat"]) == [[101, 1037, 102], [101, 1996, 4937, 102]])
    let error = try #require(throws: FormatError.self) { _ = try tokenizer.limited(to: 1) }
    #expect(error.code == .badValue)
  }

  // MARK: Unicode

  struct Classes: Decodable {
    let dropped, spaced, ideographs, marks, whitespace, punctuation: [UInt32]
    let stripped, lowercase: [String: String]
  }

  /// All scalars of the planes that hold characters, and some of those that hold few or none.
  static func scalars() -> [Unicode.Scalar] {
    let dense: [UInt32] = [0, 1, 2, 14]
    return (0..<17).flatMap { (plane: UInt32) in
      stride(from: plane << 16, to: (plane + 1) << 16, by: dense.contains(plane) ? 1 : 251)
        .compactMap(Unicode.Scalar.init)
    }
  }

  @Test func classesOfEveryScalarAreTheReferences() throws {
    let classes = try JSONDecoder().decode(Classes.self, from: fixture("unicode-classes.json"))
    let scalars = Self.scalars()
    let cleaner = BERTNormalizer(separatesIdeographs: false, stripsAccents: false, lowercases: false)
    let checks: [(String, [UInt32], (Unicode.Scalar) -> Bool)] = [
      ("dropped", classes.dropped, \.isDroppedByCleaning),
      ("spaced", classes.spaced, { cleaner.normalize([$0]) == [" "] }),
      ("ideographs", classes.ideographs, \.isIdeograph),
      ("marks", classes.marks, \.isStrippedMark),
      ("whitespace", classes.whitespace, \.properties.isWhitespace),
      ("punctuation", classes.punctuation, { !$0.properties.isWhitespace && $0.isSeparatingPunctuation }),
    ]
    for (name, ranges, isMember) in checks {
      var expected = Set<UInt32>()
      for i in stride(from: 0, to: ranges.count, by: 2) { expected.formUnion(ranges[i]...ranges[i + 1]) }
      expected.formIntersection(scalars.map(\.value))
      let found = Set(scalars.filter(isMember).map(\.value))
      let difference = found.symmetricDifference(expected).sorted().map { String($0, radix: 16) }
      #expect(difference.isEmpty, "\(name): \(difference.prefix(20))")
    }
  }

  @Test func mappingsOfEveryScalarAreTheReferences() throws {
    let classes = try JSONDecoder().decode(Classes.self, from: fixture("unicode-classes.json"))
    let strip = BERTNormalizer(cleansText: false, separatesIdeographs: false, lowercases: false)
    let lower = BERTNormalizer(cleansText: false, separatesIdeographs: false, stripsAccents: false)
    var wrong: [String] = []
    for scalar in Self.scalars() {
      let key = String(scalar.value, radix: 16)
      let kept = scalar.isStrippedMark ? [] : [scalar]
      let isSyllable = (0xAC00...0xD7A3).contains(scalar.value)
      let stripped = classes.stripped[key].map { Array($0.unicodeScalars) } ?? kept
      if !isSyllable && strip.normalize([scalar]) != stripped { wrong.append("strip \(key)") }
      let lowered = classes.lowercase[key].map { Array($0.unicodeScalars) } ?? [scalar]
      if lower.normalize([scalar]) != lowered { wrong.append("lower \(key)") }
    }
    #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(20))")
  }

  /// Hangul decomposes by arithmetic (Unicode Standard, §3.12).
  @Test func syllablesDecompose() {
    for value in UInt32(0xAC00)...0xD7A3 {
      let s = value - 0xAC00
      var expected = [0x1100 + s / 588, 0x1161 + s % 588 / 28]
      if s % 28 != 0 { expected.append(0x11A7 + s % 28) }
      #expect(BERTNormalizer.decompose([Unicode.Scalar(value)!]).map(\.value) == expected)
    }
  }

  // MARK: Small tokenizers

  struct Small: Decodable {
    struct Entry: Decodable {
      let tokenizer: String
      let cases: [Ids.Case]
    }
    let tokenizers: [Entry]
  }

  /// Other settings than the real model's, and tokens found in the text, as the reference does them.
  @Test func otherSettingsGiveTheReferenceIds() throws {
    let fixture = try JSONDecoder().decode(Small.self, from: fixture("small-tokenizers.json"))
    #expect(fixture.tokenizers.count >= 20)
    for entry in fixture.tokenizers {
      let tokenizer = try Self.read(entry.tokenizer)
      for test in entry.cases {
        #expect(
          tokenizer.encode(test.text) == test.ids, "\(test.text.debugDescription) by \(entry.tokenizer)")
      }
    }
  }

  static func small(
    _ vocabulary: String = ###""[UNK]":0,"[CLS]":1,"[SEP]":2,"a":3,"##b":4,"c":5,"x":6"###,
    added: String = "",
    normalizer: String = #"{"type":"BertNormalizer","lowercase":true}"#,
    post: String = #"{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]}"#
  ) -> String {
    """
    {"added_tokens":[\(added)],"normalizer":\(normalizer),"pre_tokenizer":{"type":"BertPreTokenizer"},
    "post_processor":\(post),"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{\(vocabulary)}}}
    """
  }

  static func read(_ json: String) throws -> WordPieceTokenizer {
    let files = try TemporaryFiles()
    try files.write("tokenizer.json", json)
    return try WordPieceTokenizer.read(directory: files.directory)
  }

  @Test func matchesAddedTokens() throws {
    let added = """
      {"id":7,"content":"<T>","special":true},
      {"id":8,"content":"<TT>","lstrip":true,"rstrip":true},
      {"id":9,"content":"ABC","normalized":true,"single_word":true}
      """
    let tokenizer = try Self.read(Self.small(added: added))
    #expect(tokenizer.encode("a<T>ab") == [1, 3, 7, 3, 4, 2])
    #expect(tokenizer.encode("a  <TT>  ab") == [1, 3, 8, 3, 4, 2])
    #expect(tokenizer.encode("abc Abc xabc") == [1, 9, 9, 0, 2])
    #expect(tokenizer.encode("<t>") == [1, 0, 0, 0, 2])
    #expect(tokenizer.vocabularySize == 10)
  }

  @Test func withoutNormaliserOrTemplate() throws {
    let tokenizer = try Self.read(Self.small(normalizer: "null", post: "null"))
    #expect(tokenizer.encode("A ab") == [0, 3, 4])
    #expect(tokenizer.encode("") == [])
  }

  @Test(arguments: [
    (small(#""a":1"#), FormatError.Code.badValue, "unknown token"),
    (small(#""[UNK]":0,"a":-1"#), .badValue, "\"a\""),
    (small(#""[UNK]":0,"a":1.5"#), .badValue, "\"a\""),
    (small(#""[UNK]":0,"a":4294967296"#), .badValue, "\"a\""),
    (small(#""[UNK]":0,"[UNK]":1"#), .duplicateName, "[UNK]"),
    (small(normalizer: #"{"type":"NFC"}"#), .unsupported, "BertNormalizer"),
    (small(post: #"{"type":"ByteLevel"}"#), .unsupported, "TemplateProcessing"),
    (small(post: #"{"type":"BertProcessing","sep":["[SEP]"],"cls":["[CLS]",1]}"#), .badValue, "sep"),
    (small(post: #"{"type":"TemplateProcessing","single":[],"special_tokens":{}}"#), .unsupported, "0 times"),
    (#"{"model":{"type":"BPE"}}"#, .unsupported, "WordPiece"),
    (#"{}"#, .missingKey, "model"),
    ("", .malformedJSON, "value"),
  ])
  func refuses(_ json: String, _ code: FormatError.Code, _ says: String) throws {
    let error = try #require(throws: FormatError.self) { _ = try Self.read(json) }
    #expect(error.code == code, "\(error)")
    #expect(error.message.contains(says), "\(error)")
  }

  @Test func aDirectoryWithoutTokenizer() throws {
    let files = try TemporaryFiles()
    let error = try #require(throws: FormatError.self) {
      _ = try WordPieceTokenizer.read(directory: files.directory)
    }
    #expect(error.code == .missingPart && error.exitStatus == .noInput)
  }
}
