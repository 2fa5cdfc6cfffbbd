import Foundation

/// A validator for the part of JSON Schema 2020-12 that the schemas of this project use. A keyword it does
/// not know is an error, so a schema cannot promise what nothing checks.
public struct JSONSchema {
  public struct Malformed: Error, CustomStringConvertible {
    public let description: String
  }

  private let root: [String: Any]

  public init(contentsOf url: URL) throws {
    guard let root = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any] else {
      throw Malformed(description: "\(url.lastPathComponent) is not an object")
    }
    self.root = root
  }

  /// The repository's `profiles/schema/<name>`.
  public init(named name: String) throws {
    let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    try self.init(contentsOf: repository.appending(path: "profiles/schema/\(name)"))
  }

  /// What is wrong with `data`, each with its place; empty when it is valid.
  ///
  /// - Throws: `Malformed` when the schema uses an unknown keyword or points nowhere.
  public func violations(in data: Data) throws -> [String] {
    var violations: [String] = []
    try check(
      JSONSerialization.jsonObject(with: data, options: [.fragmentsAllowed]), root, at: "$", &violations)
    return violations
  }

  private func check(_ value: Any, _ schema: [String: Any], at place: String, _ found: inout [String]) throws
  {
    func report(_ what: String) { found.append("\(place): \(what)") }
    for (keyword, rule) in schema {
      switch keyword {
      case "$schema", "$id", "$defs", "title", "description": break
      case "$ref":
        guard let path = rule as? String, path.hasPrefix("#/$defs/"),
          let definition = (root["$defs"] as? [String: Any])?[String(path.dropFirst(8))] as? [String: Any]
        else { throw Malformed(description: "\(place): $ref \(rule) points nowhere") }
        try check(value, definition, at: place, &found)
      case "type":
        let types = rule as? [String] ?? [rule as? String ?? ""]
        if !types.contains(where: { Self.has($0, value) }) { report("expected \(types), found \(value)") }
      case "const":
        if !Self.equal(value, rule) { report("expected \(rule), found \(value)") }
      case "enum":
        let choices = rule as? [Any] ?? []
        if !choices.contains(where: { Self.equal(value, $0) }) {
          report("expected one of \(choices), found \(value)")
        }
      case "minimum", "maximum", "exclusiveMinimum":
        guard let limit = (rule as? NSNumber)?.doubleValue else {
          throw Malformed(description: "\(place): \(keyword) \(rule)")
        }
        guard Self.has("number", value), let number = (value as? NSNumber)?.doubleValue else { break }
        let holds =
          keyword == "minimum" ? number >= limit : keyword == "maximum" ? number <= limit : number > limit
        if !holds { report("\(number) breaks \(keyword) \(limit)") }
      case "minLength":
        if let text = value as? String, let least = rule as? Int, text.count < least {
          report("\"\(text)\" is too short")
        }
      case "pattern":
        guard let pattern = rule as? String else { throw Malformed(description: "\(place): pattern \(rule)") }
        if let text = value as? String, text.range(of: pattern, options: .regularExpression) == nil {
          report("\"\(text)\" does not match \(pattern)")
        }
      case "minItems", "maxItems":
        guard let items = value as? [Any], let limit = rule as? Int else { break }
        if keyword == "minItems" ? items.count < limit : items.count > limit {
          report("\(items.count) items")
        }
      case "items":
        guard let items = value as? [Any], let schema = rule as? [String: Any] else { break }
        for (i, item) in items.enumerated() { try check(item, schema, at: "\(place)[\(i)]", &found) }
      case "required":
        guard let object = value as? [String: Any], let names = rule as? [String] else { break }
        for name in names where object[name] == nil { report("\(name) is missing") }
      case "properties":
        guard let object = value as? [String: Any], let schemas = rule as? [String: [String: Any]] else {
          break
        }
        for (name, schema) in schemas {
          if let member = object[name] { try check(member, schema, at: "\(place).\(name)", &found) }
        }
      case "additionalProperties":
        guard let object = value as? [String: Any] else { break }
        let known = Set((schema["properties"] as? [String: Any] ?? [:]).keys)
        for (name, member) in object where !known.contains(name) {
          if let schema = rule as? [String: Any] {
            try check(member, schema, at: "\(place).\(name)", &found)
          } else if rule as? Bool == false {
            report("\(name) is not in the schema")
          }
        }
      default:
        throw Malformed(description: "\(place): this validator does not know the keyword \(keyword)")
      }
    }
  }

  private static func isBoolean(_ value: Any) -> Bool {
    (value as? NSNumber).map { unsafe String(cString: $0.objCType) == "c" } ?? false
  }

  private static func has(_ type: String, _ value: Any) -> Bool {
    switch type {
    case "object": value is [String: Any]
    case "array": value is [Any]
    case "string": value is String
    case "null": value is NSNull
    case "boolean": isBoolean(value)
    case "number": value is NSNumber && !isBoolean(value)
    case "integer":
      !isBoolean(value) && (value as? NSNumber).map { $0.doubleValue == $0.doubleValue.rounded() } ?? false
    default: false
    }
  }

  private static func equal(_ a: Any, _ b: Any) -> Bool {
    switch (a, b) {
    case (let a as String, let b as String): a == b
    case (let a as NSNumber, let b as NSNumber): a == b
    default: false
    }
  }
}
