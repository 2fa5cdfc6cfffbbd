/// One object of a JSON file with the file's name, so that every complaint says where and what.
package struct JSONObject: Sendable {
  package let members: [JSONValue.Member]
  /// The path of the file, and inside it the names that lead here: `config.json`, `model.vocab`.
  package let source: String
  private let location: String

  init(_ members: [JSONValue.Member], source: String, location: String = "") {
    self.members = members
    self.source = source
    self.location = location
  }

  /// Files like config.json are a few kilobytes; more than this is not one.
  package static let configurationLimit = 16 << 20

  package static func read(
    _ path: String, limit: Int = configurationLimit
  ) throws(FormatError) -> JSONObject {
    let value = try JSONReader.parse(InputFile.read(path, limit: limit), source: path)
    guard case .object(let members) = value else {
      throw FormatError(.malformedJSON, "\(path) holds \(value.kind); expected a JSON object")
    }
    return JSONObject(members, source: path)
  }

  /// The value of `name`; nil when it is absent or null.
  package subscript(name: String) -> JSONValue? {
    guard let member = members.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else { return nil }
    if case .null = member.value { return nil }
    return member.value
  }

  func path(_ name: String) -> String { location.isEmpty ? name : "\(location).\(name)" }

  func wrongKind(_ name: String, _ value: JSONValue, expected: String) -> FormatError {
    FormatError(.badValue, "\(source): \(path(name)) is \(value.kind); expected \(expected)")
  }

  func missing(_ name: String) -> FormatError {
    FormatError(.missingKey, "\(source) has no \"\(path(name))\"; the key is required")
  }

  /// The integer `name` within `limits`; nil when absent.
  package func optionalInteger(_ name: String, in limits: ClosedRange<Int>) throws(FormatError) -> Int? {
    guard let value = self[name] else { return nil }
    guard case .integer(let integer) = value else { throw wrongKind(name, value, expected: "an integer") }
    guard limits.contains(integer) else {
      throw FormatError(
        .badValue,
        "\(source): \(path(name)) is \(integer); expected \(limits.lowerBound) to \(limits.upperBound)")
    }
    return integer
  }

  package func integer(_ name: String, in limits: ClosedRange<Int>) throws(FormatError) -> Int {
    guard let value = try optionalInteger(name, in: limits) else { throw missing(name) }
    return value
  }

  /// The number `name`, integer or not; nil when absent.
  package func optionalNumber(_ name: String) throws(FormatError) -> Double? {
    switch self[name] {
    case nil: return nil
    case .number(let number): return number
    case .integer(let integer): return Double(integer)
    case .some(let value): throw wrongKind(name, value, expected: "a number")
    }
  }

  package func optionalBool(_ name: String) throws(FormatError) -> Bool? {
    guard let value = self[name] else { return nil }
    guard case .bool(let bool) = value else { throw wrongKind(name, value, expected: "true or false") }
    return bool
  }

  package func optionalString(_ name: String) throws(FormatError) -> String? {
    guard let value = self[name] else { return nil }
    guard case .string(let string) = value else { throw wrongKind(name, value, expected: "a string") }
    return string
  }

  package func string(_ name: String) throws(FormatError) -> String {
    guard let value = try optionalString(name) else { throw missing(name) }
    return value
  }

  package func optionalObject(_ name: String) throws(FormatError) -> JSONObject? {
    guard let value = self[name] else { return nil }
    guard case .object(let members) = value else { throw wrongKind(name, value, expected: "an object") }
    return JSONObject(members, source: source, location: path(name))
  }

  package func object(_ name: String) throws(FormatError) -> JSONObject {
    guard let value = try optionalObject(name) else { throw missing(name) }
    return value
  }

  /// The objects of the array `name`; empty when absent.
  package func objects(_ name: String) throws(FormatError) -> [JSONObject] {
    guard let value = self[name] else { return [] }
    guard case .array(let elements) = value else { throw wrongKind(name, value, expected: "an array") }
    return try Self.objects(elements, source: source, location: path(name))
  }

  static func objects(
    _ elements: [JSONValue], source: String, location: String
  ) throws(FormatError) -> [JSONObject] {
    var result: [JSONObject] = []
    for (index, element) in elements.enumerated() {
      guard case .object(let members) = element else {
        throw FormatError(
          .badValue, "\(source): \(location)[\(index)] is \(element.kind); expected an object")
      }
      result.append(JSONObject(members, source: source, location: "\(location)[\(index)]"))
    }
    return result
  }
}
