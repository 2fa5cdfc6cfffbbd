/// A JSON value as it stood in the file: members keep their order, names are unique.
public enum JSONValue: Sendable {
  case null
  case bool(Bool)
  /// A number written without fraction or exponent that fits.
  case integer(Int)
  /// Any other number; finite.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  public struct Member: Sendable {
    public let name: String
    public let value: JSONValue
  }

  /// For messages.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

/// Text compared by its bytes. Swift's strings compare by canonical equivalence, under which "é" in
/// one scalar and in two are the same: wrong for names in files and pieces of a vocabulary.
struct ByteKey: Hashable {
  let bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
  init(_ text: String) { bytes = ArraySlice(text.utf8) }

  static func == (a: ByteKey, b: ByteKey) -> Bool { a.bytes.elementsEqual(b.bytes) }

  func hash(into hasher: inout Hasher) {
    unsafe bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
  }
}

/// Reads JSON (RFC 8259) from a source that is not trusted.
///
/// Stricter than Foundation's readers where silence would hide damage: duplicate names, lone
/// surrogates, numbers out of range and trailing text are errors. Depth and number of values are
/// bounded, so the work and the memory are proportional to the input.
package struct JSONReader {
  /// Nesting that no model file comes near.
  static let maximumDepth = 64
  /// Values in one document; a vocabulary of a quarter of a million pieces has as many.
  static let maximumValues = 8_000_000

  let bytes: [UInt8]
  let source: String
  var position = 0
  var values = 0

  init(_ bytes: [UInt8], source: String) {
    self.bytes = bytes
    self.source = source
  }

  /// Parses one document.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8, the whole document; white space may surround the value.
  ///   - source: what it is, for messages: a path, or "the header of" one.
  package static func parse(_ bytes: [UInt8], source: String) throws(FormatError) -> JSONValue {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw FormatError(.malformedJSON, "\(source) is not UTF-8 text; expected JSON")
    }
    var reader = JSONReader(bytes, source: source)
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.position == bytes.count else { throw reader.failure("text after the end of the value") }
    return value
  }

  func failure(_ problem: String) -> FormatError {
    FormatError(.malformedJSON, "\(source) is not valid JSON: \(problem) at byte \(position)")
  }

  var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    position += 1
    return true
  }

  mutating func value(depth: Int) throws(FormatError) -> JSONValue {
    guard depth < Self.maximumDepth else { throw failure("nesting deeper than \(Self.maximumDepth)") }
    values += 1
    guard values <= Self.maximumValues else { throw failure("more than \(Self.maximumValues) values") }
    skipSpace()
    guard let byte = current else { throw failure("the text ends where a value is expected") }
    switch byte {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw failure("no value starts so")
    }
  }

  private mutating func word(_ text: StaticString, _ value: JSONValue) throws(FormatError) -> JSONValue {
    let expected = Array(text.description.utf8)
    guard bytes[position...].starts(with: expected) else { throw failure("no value starts so") }
    position += expected.count
    return value
  }

  private mutating func object(depth: Int) throws(FormatError) -> JSONValue {
    position += 1
    var members: [JSONValue.Member] = []
    var names: Set<ByteKey> = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { throw failure("a member name is expected") }
      let name = try string()
      guard names.insert(ByteKey(name)).inserted else {
        throw FormatError(
          .duplicateName, "\(source) names \(quoted(name)) twice in one object; each name may occur once")
      }
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw failure("a colon is expected") }
      members.append(.init(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      guard take(UInt8(ascii: "}")) else { throw failure("a comma or } is expected") }
      return .object(members)
    }
  }

  private mutating func array(depth: Int) throws(FormatError) -> JSONValue {
    position += 1
    var elements: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      guard take(UInt8(ascii: "]")) else { throw failure("a comma or ] is expected") }
      return .array(elements)
    }
  }

  private mutating func digits() throws(FormatError) {
    let start = position
    while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    guard position > start else { throw failure("a digit is expected") }
  }

  private mutating func number() throws(FormatError) -> JSONValue {
    let start = position
    _ = take(UInt8(ascii: "-"))
    let first = position
    try digits()
    if bytes[first] == UInt8(ascii: "0") && position - first > 1 { throw failure("a leading zero") }
    var isInteger = true
    if take(UInt8(ascii: ".")) {
      isInteger = false
      try digits()
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isInteger = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let integer = Int(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else { throw failure("a number out of range") }
    return .number(number)
  }

  mutating func string() throws(FormatError) -> String {
    position += 1
    var text: [UInt8] = []
    var start = position
    while true {
      guard let byte = current else { throw failure("the text ends inside a string") }
      switch byte {
      case UInt8(ascii: "\""):
        defer { position += 1 }
        // Most strings have no escape and are taken whole.
        if text.isEmpty { return String(decoding: bytes[start..<position], as: UTF8.self) }
        text += bytes[start..<position]
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        text += bytes[start..<position]
        position += 1
        text += Array(String(try escape()).utf8)
        start = position
      case 0..<0x20: throw failure("a control character inside a string")
      default: position += 1
      }
    }
  }

  private mutating func escape() throws(FormatError) -> Unicode.Scalar {
    guard let byte = current else { throw failure("the text ends inside a string") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let high = try hexadecimal()
      if let scalar = Unicode.Scalar(high) { return scalar }
      guard high < 0xDC00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
        throw failure("half a surrogate pair")
      }
      let low = try hexadecimal()
      guard (0xDC00...0xDFFF).contains(low),
        let scalar = Unicode.Scalar(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
      else { throw failure("half a surrogate pair") }
      return scalar
    default: throw failure("an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(FormatError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("four hexadecimal digits are expected")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
