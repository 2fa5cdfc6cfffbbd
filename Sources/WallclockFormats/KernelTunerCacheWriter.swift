import WallclockCore

extension KernelTunerCache {
  /// The file's text, gzip-compressed on demand.
  ///
  /// - Parameter leavingOpen: writes the last braces not, so that Kernel Tuner goes on with it.
  public func encoded(compressed: Bool, leavingOpen: Bool = false) throws(FormatError) -> [UInt8] {
    var text = "{\n"
    text += "\"device_name\": \(Self.json(deviceName)),\n\"kernel_name\": \(Self.json(kernelName)),\n"
    text += "\"problem_size\": [\(problemSize.map(String.init).joined(separator: ", "))],\n"
    text += "\"tune_params_keys\": [\(parameters.map { Self.json($0.name) }.joined(separator: ", "))],\n"
    text += "\"tune_params\": {\n"
    text += parameters.map { parameter in
      "\(Self.json(parameter.name)): [\(parameter.values.map(Self.json).joined(separator: ", "))]"
    }.joined(separator: ",\n")
    text += "\n},\n\"objective\": \"time\",\n"
    if !start.isEmpty {
      let keys = start.map { Self.json(key($0)) }.joined(separator: ", ")
      text += "\"wallclock_start\": [\(keys)],\n"
    }
    text += "\"cache\": {\n"
    for (index, entry) in entries.enumerated() {
      if index > 0 { text += ",\n" }
      text += "\(Self.json(key(entry.coordinates))): {"
      for (parameter, value) in zip(parameters, entry.coordinates) {
        text += "\(Self.json(parameter.name)): \(Self.json(parameter.values[value])), "
      }
      switch entry.outcome {
      case .failure(let word): text += "\"time\": \(Self.json(word))}"
      case .time(let time, let samples):
        text += "\"time\": \(time)"
        if !samples.isEmpty { text += ", \"times\": [\(samples.map { "\($0)" }.joined(separator: ", "))]" }
        text += "}"
      }
    }
    text += leavingOpen ? (entries.isEmpty ? "" : ",\n") : "\n}\n}\n"
    let bytes = Array(text.utf8)
    return compressed ? try Gzip.compress(bytes) : bytes
  }

  private static func json(_ value: ParameterValue) -> String {
    switch value {
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .bool(let value): value ? "true" : "false"
    case .string(let value): json(value)
    }
  }

  private static func json(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..."\u{1F}", "\u{7F}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
