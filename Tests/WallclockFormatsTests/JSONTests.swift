import Foundation
import Testing

@testable import WallclockFormats

@Suite struct JSONTests {
  static func parse(_ text: String) throws -> JSONValue {
    try JSONReader.parse(Array(text.utf8), source: "text")
  }

  @Test(arguments: [
    (#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#, "a\"\\/\u{8}\u{C}\n\r\t\u{E9}\u{1F600}"),
    ("\"plain é 😀\"", "plain é 😀"), ("\"\"", ""), (#""\u0000""#, "\0"),
  ])
  func readsStrings(_ text: String, _ expected: String) throws {
    guard case .string(let read) = try Self.parse(text) else {
      Issue.record("not a string")
      return
    }
    #expect(read.utf8.elementsEqual(expected.utf8))
  }

  @Test func readsNumbers() throws {
    for (text, expected) in [("0", 0), ("-0", 0), ("9223372036854775807", Int.max), ("-12", -12)] {
      guard case .integer(expected) = try Self.parse(text) else {
        Issue.record("\(text)")
        continue
      }
    }
    for (text, expected) in [("1.5", 1.5), ("1e3", 1000), ("-2E-2", -0.02), ("9223372036854775808", 0x1p63)] {
      guard case .number(expected) = try Self.parse(text) else {
        Issue.record("\(text)")
        continue
      }
    }
  }

  @Test(arguments: [
    "", " ", "01", "1.", ".5", "+1", "1e", "1e999", "-", "tru", "nulll", "'a'", "\"a", "\"\t\"", #""\x""#,
    #""\u12g4""#,
    #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "[1,]", "[1 2]", "[", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
    "{a:1}", "1 2",
    "{\"a\":1 \"b\":2}", "\u{FEFF}1", "[1]]", "NaN", "Infinity",
  ])
  func refuses(_ text: String) throws {
    let error = try #require(throws: FormatError.self) { _ = try Self.parse(text) }
    #expect(error.code == .malformedJSON)
  }

  @Test func boundsTheDepth() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try Self.parse(nested(64))
    #expect(throws: FormatError.self) { _ = try Self.parse(nested(65)) }
    #expect(throws: FormatError.self) { _ = try Self.parse(nested(1_000_000)) }
  }

  @Test func messagesEscapeWhatSteersATerminal() {
    #expect(quoted("a\u{1B}[2Jb") == "\"a\\u{1b}[2Jb\"")
    #expect(quoted(String(repeating: "x", count: 1000)).count == 83)
  }
}
