extension Decoder {
  /// Decodes a value that is written as its `description`, or says which spellings there are.
  package func losslessString<Value: LosslessStringConvertible>(
    _ noun: String, known: [Value] = []
  ) throws -> Value {
    let container = try singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Value(text) else {
      let choices = known.isEmpty ? "" : "; known: " + known.map(\.description).joined(separator: ", ")
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "\"\(text)\" is not a \(noun)\(choices)")
    }
    return value
  }
}
