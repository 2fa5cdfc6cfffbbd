/// Element types of the safetensors format, named as its headers name them.
public enum SafetensorsType: String, Sendable, CaseIterable {
  case bool = "BOOL"
  case u8 = "U8"
  case i8 = "I8"
  case f8e5m2 = "F8_E5M2"
  case f8e4m3 = "F8_E4M3"
  case i16 = "I16"
  case u16 = "U16"
  case f16 = "F16"
  case bf16 = "BF16"
  case i32 = "I32"
  case u32 = "U32"
  case f32 = "F32"
  case i64 = "I64"
  case u64 = "U64"
  case f64 = "F64"

  /// Bytes of one element.
  public var bytes: Int {
    switch self {
    case .bool, .u8, .i8, .f8e5m2, .f8e4m3: 1
    case .i16, .u16, .f16, .bf16: 2
    case .i32, .u32, .f32: 4
    case .i64, .u64, .f64: 8
    }
  }
}

/// What a safetensors header says, checked whole before any tensor is used.
///
/// The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes of little-endian header
/// length N, N bytes of JSON that begin with `{`, then the data. Each tensor's `data_offsets` count
/// from the start of the data, and the tensors cover it without overlap or hole.
struct SafetensorsHeader: Sendable {
  struct Entry: Sendable {
    let name: String
    let type: SafetensorsType
    let shape: [Int]
    /// Bytes in the file, not in the data.
    let range: Range<Int>
  }

  /// In the order of their data.
  let entries: [Entry]
  /// The strings under `__metadata__`.
  let metadata: [(name: String, value: String)]

  /// The format's own limit.
  static let maximumBytes = 100_000_000
  /// A tensor has few axes; more are not one.
  static let maximumRank = 16

  init(of file: MappedFile) throws(FormatError) {
    let path = file.path
    guard file.count >= 8 else {
      throw FormatError(
        .truncated,
        "\(path) has \(file.count) bytes; a safetensors file starts with 8 bytes of header length. "
          + "Fetch it again")
    }
    let announced = try file.withBytes(0..<8) { (bytes: RawSpan) throws(FormatError) -> UInt64 in
      (0..<8).reduce(0) { $0 | UInt64(bytes.byte($1)) << UInt64(8 * $1) }
    }
    guard announced <= UInt64(Self.maximumBytes) else {
      throw FormatError(
        .malformedHeader,
        "\(path) announces a header of \(announced) bytes; safetensors headers have at most "
          + "\(Self.maximumBytes). It is damaged or no safetensors file")
    }
    let length = Int(announced)
    guard length <= file.count - 8 else {
      throw FormatError(
        .truncated,
        "\(path) announces a header of \(length) bytes but has \(file.count - 8) after the length. "
          + "Fetch it again")
    }
    let text = try file.withBytes(8..<8 + length) { (bytes: RawSpan) throws(FormatError) -> [UInt8] in
      bytes.array()
    }
    guard text.first == UInt8(ascii: "{") else {
      throw FormatError(
        .malformedHeader, "the header of \(path) does not begin with {; it is no safetensors file")
    }
    let source = "the header of \(path)"
    guard case .object(let members) = try JSONReader.parse(text, source: source) else {
      throw FormatError(.malformedHeader, "\(source) is not a JSON object")
    }
    var entries: [Entry] = []
    var metadata: [(name: String, value: String)] = []
    for member in members {
      guard case .object(let fields) = member.value else {
        throw FormatError(
          .malformedHeader, "\(source): \(quoted(member.name)) is \(member.value.kind); expected an object")
      }
      let object = JSONObject(fields, source: source, location: quoted(member.name))
      if member.name == "__metadata__" {
        for field in fields {
          guard case .string(let value) = field.value else {
            throw object.wrongKind(quoted(field.name), field.value, expected: "a string")
          }
          metadata.append((field.name, value))
        }
      } else {
        entries.append(try Self.entry(member.name, object, dataStart: 8 + length, fileCount: file.count))
      }
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    try Self.checkCoverage(entries, source: source, from: 8 + length, to: file.count)
    self.entries = entries
    self.metadata = metadata
  }

  private static func entry(
    _ name: String, _ object: JSONObject, dataStart: Int, fileCount: Int
  ) throws(FormatError) -> Entry {
    let source = object.source
    let typeName = try object.string("dtype")
    guard let type = SafetensorsType(rawValue: typeName) else {
      let known = SafetensorsType.allCases.map(\.rawValue).joined(separator: ", ")
      throw FormatError(
        .unknownType, "\(source): tensor \(quoted(name)) has dtype \(quoted(typeName)); known are \(known)")
    }
    let shape = try integers("shape", of: object)
    guard shape.count <= maximumRank else {
      throw FormatError(
        .badShape,
        "\(source): tensor \(quoted(name)) has \(shape.count) axes; at most \(maximumRank) are read")
    }
    var bytes = type.bytes
    for size in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
      guard !overflow else {
        throw FormatError(
          .badShape, "\(source): tensor \(quoted(name)) of shape \(shape) overflows the address space")
      }
      bytes = product
    }
    let offsets = try integers("data_offsets", of: object)
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw FormatError(
        .badOffsets,
        "\(source): tensor \(quoted(name)) has data_offsets \(brief(offsets)); expected [begin, end]")
    }
    guard offsets[1] <= fileCount - dataStart else {
      throw FormatError(
        .badOffsets,
        "\(source): tensor \(quoted(name)) ends at byte \(offsets[1]) of the data, which has "
          + "\(fileCount - dataStart). The file is cut or damaged; fetch it again")
    }
    guard offsets[1] - offsets[0] == bytes else {
      throw FormatError(
        .badOffsets,
        "\(source): tensor \(quoted(name)), \(type.rawValue) of shape \(shape), takes \(bytes) bytes; its "
          + "data_offsets give \(offsets[1] - offsets[0])")
    }
    return Entry(name: name, type: type, shape: shape, range: dataStart + offsets[0]..<dataStart + offsets[1])
  }

  /// The array of integers ≥ 0 under `name`.
  private static func integers(_ name: String, of object: JSONObject) throws(FormatError) -> [Int] {
    guard let value = object[name] else { throw object.missing(name) }
    guard case .array(let elements) = value else {
      throw object.wrongKind(name, value, expected: "an array of integers")
    }
    var result: [Int] = []
    for element in elements {
      guard case .integer(let integer) = element, integer >= 0 else {
        throw FormatError(
          name == "shape" ? .badShape : .badOffsets,
          "\(object.source): \(object.path(name)) holds a value that is not an integer from 0 to 2^63 − 1")
      }
      result.append(integer)
    }
    return result
  }

  private static func brief(_ values: [Int]) -> String {
    values.count <= 4 ? "\(values)" : "of \(values.count) values"
  }

  /// The tensors, in order, cover the data exactly.
  private static func checkCoverage(
    _ entries: [Entry], source: String, from start: Int, to end: Int
  ) throws(FormatError) {
    var position = start
    var last = "the start of the data"
    for entry in entries {
      let begin = entry.range.lowerBound
      guard begin == position else {
        let problem = begin < position ? "overlaps" : "leaves \(begin - position) bytes unused after"
        throw FormatError(.badOffsets, "\(source): tensor \(quoted(entry.name)) \(problem) \(last)")
      }
      position = entry.range.upperBound
      last = "tensor \(quoted(entry.name))"
    }
    guard position == end else {
      throw FormatError(.badOffsets, "\(source): \(end - position) bytes of data belong to no tensor")
    }
  }
}

extension RawSpan {
  func byte(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "RawSpan: byte \(offset) is outside")
    return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  func array() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe [UInt8]($0) }
  }
}
