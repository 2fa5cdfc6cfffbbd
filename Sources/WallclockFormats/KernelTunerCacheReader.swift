import WallclockCore

/// Reads Kernel Tuner's cache member by member: only what a replay needs is kept.
struct KernelTunerCacheReader {
  private let source: String
  private var json: JSONReader
  private var device = ""
  private var kernel = ""
  private var problemSize: [Int] = []
  private var names: [String] = []
  private var values: [String: [ParameterValue]] = [:]
  private var positions: [[ParameterValue: Int]] = []
  private var parameterIndex: [ByteKey: Int] = [:]
  private var entries: [KernelTunerCache.Entry] = []
  private var entryIndex: [[Int]: Int] = [:]
  private var hasCache = false
  private var start: [ByteKey] = []

  init(_ text: [UInt8], source: String) throws(FormatError) {
    self.source = source
    json = try JSONReader.open(text, source: source)
  }

  mutating func read() throws(FormatError) -> KernelTunerCache {
    var cacheIsWhole = true
    // The reader is moved out: a mutating closure may not touch it through self.
    var reader = json
    let isWhole = try reader.members { (reader, name) throws(FormatError) in
      switch name {
      case "device_name": device = try text(&reader, name)
      case "kernel_name": kernel = try text(&reader, name)
      case "problem_size": problemSize = sizes(try reader.next())
      case "wallclock_start": start = try keys(reader.next(), name)
      case "tune_params_keys": try takeNames(reader.next())
      case "tune_params": try takeValues(reader.next())
      case "cache":
        guard !hasCache else { throw bad("has two members named cache; expected one") }
        hasCache = true
        try prepare()
        cacheIsWhole = try reader.members { (reader, key) throws(FormatError) in
          do throws(FormatError) { try takeEntry(&reader, key: key) } catch {
            // The writer was stopped inside this one; what it would have said is unknown.
            guard error.code == .malformedJSON, reader.isAtEnd() else { throw error }
          }
        }
      default: try reader.skip()
      }
    }
    guard !isWhole || reader.isAtEnd() else { throw reader.failure("text after the end of the value") }
    guard hasCache else {
      throw FormatError(
        .missingKey,
        "\(source) has no member \"cache\"; expected a cache file of Kernel Tuner, with tune_params_keys, tune_params and cache")
    }
    var cache = KernelTunerCache(
      deviceName: device, kernelName: kernel, problemSize: problemSize,
      parameters: names.map { .init(name: $0, values: values[$0]!) }, entries: entries)
    if !start.isEmpty {
      var byKey: [ByteKey: [Int]] = [:]
      for entry in entries { byKey[ByteKey(cache.key(entry.coordinates))] = entry.coordinates }
      cache.start = start.compactMap { byKey[$0] }
    }
    cache.isOpen = !isWhole || !cacheIsWhole
    return cache
  }

  private func bad(_ what: String) -> FormatError { FormatError(.badValue, "\(source) \(what)") }

  private func text(_ reader: inout JSONReader, _ name: String) throws(FormatError) -> String {
    let value = try reader.next()
    guard case .string(let text) = value else { throw bad("has \(value.kind) for \(name); expected a string") }
    return text
  }

  private func keys(_ value: JSONValue, _ name: String) throws(FormatError) -> [ByteKey] {
    guard case .array(let elements) = value, elements.count <= KernelTunerCache.maximumValues else {
      throw bad("has \(value.kind) for \(name); expected an array of names of configurations")
    }
    var result: [ByteKey] = []
    for element in elements {
      guard case .string(let key) = element else {
        throw bad("has \(element.kind) in \(name); expected names of configurations")
      }
      result.append(ByteKey(key))
    }
    return result
  }

  /// What it is written as varies between programs, and nothing depends on it.
  private func sizes(_ value: JSONValue) -> [Int] {
    guard case .array(let elements) = value else {
      if case .integer(let size) = value { return [size] }
      return []
    }
    return elements.compactMap { if case .integer(let size) = $0 { size } else { nil } }
  }

  private mutating func takeNames(_ value: JSONValue) throws(FormatError) {
    guard case .array(let elements) = value, !elements.isEmpty, elements.count <= KernelTunerCache.maximumParameters
    else {
      throw bad("has \(value.kind) for tune_params_keys; expected an array of 1 to \(KernelTunerCache.maximumParameters) names")
    }
    var found: [String] = []
    for element in elements {
      guard case .string(let name) = element, !found.contains(name) else {
        throw bad("has a name in tune_params_keys that is no string or occurs twice; expected different strings")
      }
      found.append(name)
    }
    names = found
  }

  private mutating func takeValues(_ value: JSONValue) throws(FormatError) {
    guard case .object(let members) = value else {
      throw bad("has \(value.kind) for tune_params; expected an object of arrays")
    }
    for member in members {
      guard case .array(let elements) = member.value, (1...KernelTunerCache.maximumValues).contains(elements.count)
      else {
        throw bad("has \(member.value.kind) for tune_params.\(quoted(member.name)); expected an array of 1 to \(KernelTunerCache.maximumValues) values")
      }
      var found: [ParameterValue] = []
      for element in elements { found.append(try parameterValue(element, of: member.name)) }
      values[member.name] = found
    }
  }

  private func parameterValue(_ value: JSONValue, of name: String) throws(FormatError) -> ParameterValue {
    switch value {
    case .integer(let value): return .integer(value)
    case .number(let value): return .number(value)
    case .string(let value): return .string(value)
    case .bool(let value): return .bool(value)
    default: throw bad("has \(value.kind) as a value of \(quoted(name)); expected a number, string or boolean")
    }
  }

  /// 1, 1.0 and true are one value in the files' own language.
  private static func canonical(_ value: ParameterValue) -> ParameterValue {
    value.numeric.map { .number($0) } ?? value
  }

  private mutating func prepare() throws(FormatError) {
    guard !names.isEmpty else {
      throw FormatError(.missingKey, "\(source) has no tune_params_keys before its cache; the key is required there")
    }
    for (index, name) in names.enumerated() {
      guard let known = values[name] else {
        throw FormatError(.missingKey, "\(source): tune_params has no \(quoted(name)), which tune_params_keys names")
      }
      var position: [ParameterValue: Int] = [:]
      for (i, value) in known.enumerated() {
        guard position.updateValue(i, forKey: Self.canonical(value)) == nil else {
          throw bad("names a value of \(quoted(name)) twice; each may occur once")
        }
      }
      positions.append(position)
      parameterIndex[ByteKey(name)] = index
    }
  }

  private mutating func takeEntry(_ reader: inout JSONReader, key: String) throws(FormatError) {
    var coordinates = [Int](repeating: -1, count: names.count)
    var outcome: KernelTunerCache.Outcome?
    var samples: [Double] = []
    let isWhole = try reader.members { (reader, name) throws(FormatError) in
      if let index = parameterIndex[ByteKey(name)] {
        let value = try parameterValue(try reader.next(), of: name)
        guard let position = positions[index][Self.canonical(value)] else {
          throw bad("has \(quoted(name)) = \(quoted(value.description)) in \(quoted(key)), which tune_params does not list")
        }
        coordinates[index] = position
      } else if name == "time" {
        outcome = try takeTime(&reader, key: key)
      } else if name == "times" {
        samples = try takeSamples(&reader, key: key)
      } else {
        try reader.skip(depth: 3)
      }
    }
    guard isWhole else { return }
    if let missing = coordinates.firstIndex(of: -1) {
      throw FormatError(.missingKey, "\(source): the configuration \(quoted(key)) has no \(quoted(names[missing]))")
    }
    guard var outcome else {
      throw FormatError(.missingKey, "\(source): the configuration \(quoted(key)) has no time")
    }
    if case .time(let mean, _) = outcome { outcome = .time(mean, samples: samples) }
    // The last of a name counts, as in the files' own language.
    if let known = entryIndex[coordinates] {
      entries[known].outcome = outcome
      return
    }
    guard entries.count < KernelTunerCache.maximumEntries else {
      throw FormatError(.tooLarge, "\(source) has more than \(KernelTunerCache.maximumEntries) configurations")
    }
    entryIndex[coordinates] = entries.count
    entries.append(.init(coordinates: coordinates, outcome: outcome))
  }

  private func takeTime(_ reader: inout JSONReader, key: String) throws(FormatError) -> KernelTunerCache.Outcome {
    if reader.takeNotANumber() { return .failure("NaN") }
    let value = try reader.next()
    let time: Double
    switch value {
    case .string(let word): return .failure(word)
    case .null: return .failure("null")
    case .integer(let number): time = Double(number)
    case .number(let number): time = number
    default: throw bad("has \(value.kind) for the time of \(quoted(key)); expected a number or the text of a failure")
    }
    if time >= KernelTunerCache.failureTime { return .failure("InvalidConfig") }
    guard time > 0 else { throw bad("has time \(time) for \(quoted(key)); expected a positive number") }
    return .time(time, samples: [])
  }

  private func takeSamples(_ reader: inout JSONReader, key: String) throws(FormatError) -> [Double] {
    guard case .array(let elements) = try reader.next() else { return [] }
    return elements.compactMap {
      switch $0 {
      case .integer(let number): Double(number)
      case .number(let number): number
      default: nil
      }
    }
  }
}
