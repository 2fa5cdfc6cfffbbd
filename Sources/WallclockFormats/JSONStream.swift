/// Reading a document member by member, for files too large to hold as values.
extension JSONReader {
  /// Starts on a document that is not parsed as a whole. UTF-8 is checked here.
  static func open(_ bytes: [UInt8], source: String) throws(FormatError) -> JSONReader {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw FormatError(.malformedJSON, "\(source) is not UTF-8 text; expected JSON")
    }
    return JSONReader(bytes, source: source)
  }

  /// Whether nothing but white space is left.
  mutating func isAtEnd() -> Bool {
    skipSpace()
    return position == bytes.count
  }

  /// Reads an object, handing over each name with the reader standing before its value, which `body`
  /// has to read or skip. Names are not compared with each other: that is the caller's.
  ///
  /// - Returns: false when the text ended between members, as a writer that was stopped leaves it.
  mutating func members(
    _ body: (inout JSONReader, String) throws(FormatError) -> Void
  ) throws(FormatError) -> Bool {
    skipSpace()
    guard take(UInt8(ascii: "{")) else { throw failure("an object is expected") }
    skipSpace()
    if take(UInt8(ascii: "}")) { return true }
    while true {
      if isAtEnd() { return false }
      guard current == UInt8(ascii: "\"") else { throw failure("a member name is expected") }
      let name: String
      do { name = try string() } catch {
        if position == bytes.count { return false }
        throw error
      }
      if isAtEnd() { return false }
      guard take(UInt8(ascii: ":")) else { throw failure("a colon is expected") }
      try body(&self, name)
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      if take(UInt8(ascii: "}")) { return true }
      if position == bytes.count { return false }
      throw failure("a comma or } is expected")
    }
  }

  /// One value: a string, number, boolean or null, or an array or object of bounded size.
  mutating func next() throws(FormatError) -> JSONValue {
    // The bound on values is one on memory, and those before were dropped or bounded by their reader.
    values = 0
    return try value(depth: 1)
  }

  /// Passes over a value that is not wanted, of any size. Python's NaN and Infinity pass too.
  mutating func skip(depth: Int = 1) throws(FormatError) {
    guard depth < Self.maximumDepth else { throw failure("nesting deeper than \(Self.maximumDepth)") }
    skipSpace()
    switch current {
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "["):
      position += 1
      skipSpace()
      if take(UInt8(ascii: "]")) { return }
      while true {
        try skip(depth: depth + 1)
        skipSpace()
        if take(UInt8(ascii: ",")) { continue }
        guard take(UInt8(ascii: "]")) else { throw failure("a comma or ] is expected") }
        return
      }
    case UInt8(ascii: "{"):
      let isWhole = try members { (reader, _) throws(FormatError) in try reader.skip(depth: depth + 1) }
      guard isWhole else { throw failure("the text ends inside an object") }
    case .none: throw failure("the text ends where a value is expected")
    default:
      let start = position
      while let byte = current, !Self.endsWord(byte) { position += 1 }
      guard position > start else { throw failure("no value starts so") }
    }
  }

  /// Python's `json` writes these for floats that JSON has no words for.
  mutating func takeNotANumber() -> Bool {
    skipSpace()
    for word in ["NaN", "Infinity", "-Infinity"] where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return true
    }
    return false
  }

  private static func endsWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"), 0x20, 0x0A, 0x0D, 0x09: true
    default: false
    }
  }
}
