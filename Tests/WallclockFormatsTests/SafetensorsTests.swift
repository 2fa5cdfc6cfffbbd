import Foundation
import Testing
import WallclockCore

@testable import WallclockFormats

@Suite struct SafetensorsTests {
  let files: TemporaryFiles

  init() throws { files = try TemporaryFiles() }

  @Test func readsEveryFloatType() throws {
    let values: [Float] = [0, 1, -2.5, 0.15625, 65280, -3]
    let f32 = bytes(values.map(\.bitPattern))
    let f16 = bytes(values.map { Float16($0).bitPattern })
    let bf16 = bytes(values.map { UInt16($0.bitPattern >> 16) })
    // The odd length of the first tensor puts the others on odd addresses.
    let header = """
      {"__metadata__":{"format":"pt"},
      "a":{"dtype":"F32","shape":[2,3],"data_offsets":[1,25]},"odd":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
      "b":{"dtype":"F16","shape":[6],"data_offsets":[25,37]},"c":{"dtype":"BF16","shape":[3,1,2],"data_offsets":[37,49]},
      "scalar":{"dtype":"I64","shape":[],"data_offsets":[49,57]},"none":{"dtype":"F32","shape":[0,4],"data_offsets":[57,57]}}
      """
    let data = [7] + f32 + f16 + bf16 + [UInt8](repeating: 0, count: 8)
    let file = try SafetensorsFile(path: files.write("model.safetensors", safetensors(header, data: data)))
    #expect(file.tensorNames == ["odd", "a", "b", "c", "scalar", "none"])
    #expect(file.metadata.map(\.name) == ["format"] && file.metadata.map(\.value) == ["pt"])
    for (name, shape) in [("a", [2, 3]), ("b", [6]), ("c", [3, 1, 2])] {
      let tensor = try file.tensor(named: name)
      #expect(tensor.shape == shape)
      #expect(try tensor.floats().array() == values)
    }
    #expect(try file.tensor(named: "scalar").count == 1)
    #expect(try file.tensor(named: "none").floats().count == 0)
    #expect(throws: FormatError.self) { _ = try file.tensor(named: "scalar").floats() }
    #expect(!file.contains("d"))
  }

  /// Weights are known by what they hold, wherever they lie.
  @Test func identityGoesWithTheContent() throws {
    func identity(_ folder: String, _ header: String, _ values: [UInt32]) throws -> String {
      try files.write("\(folder)/model.safetensors", safetensors(header, data: bytes(values)))
      return try SafetensorsCheckpoint(directory: "\(files.directory)/\(folder)").identity()
    }
    let header = #"{"a":{"dtype":"F32","shape":[8192],"data_offsets":[0,32768]}}"#
    let values = (0..<8192).map { UInt32($0) }
    let known = try identity("one", header, values)
    #expect(known.count == 16 && known.allSatisfy(\.isHexDigit))
    #expect(try identity("two", header, values) == known)
    for changed in [0, 4000, 8191] {
      var other = values
      other[changed] += 1
      #expect(try identity("three", header, other) != known, "value \(changed) changed")
    }
    #expect(try identity("four", header.replacingOccurrences(of: "\"a\"", with: "\"b\""), values) != known)
  }

  @Test func halfPrecisionConvertsExactly() throws {
    let all = (0...UInt16.max).map { $0 }
    let header = #"{"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}}"#
    let file = try SafetensorsFile(path: files.write("h.safetensors", safetensors(header, data: bytes(all))))
    let floats = try file.tensor(named: "h").floats()
    for bits in all {
      let exact = Float(Float16(bitPattern: bits))
      let read = floats[Int(bits)]
      #expect(read == exact || (read.isNaN && exact.isNaN))
    }
  }

  struct Hostile: CustomTestStringConvertible, Sendable {
    let name: String
    let content: [UInt8]
    let code: FormatError.Code
    /// A word that the message must hold.
    let says: String
    var testDescription: String { name }

    init(_ name: String, _ content: [UInt8], _ code: FormatError.Code, says: String) {
      self.name = name
      self.content = content
      self.code = code
      self.says = says
    }

    /// A file of `data` bytes whose header describes the tensors `t` and `u`.
    static func tensors(
      _ name: String, t: String, u: String? = nil, data: Int = 16, _ code: FormatError.Code, says: String
    ) -> Hostile {
      let header = #"{"t":{\#(t)}"# + (u.map { #","u":{\#($0)}"# } ?? "") + "}"
      return Hostile(name, safetensors(header, data: [UInt8](repeating: 0, count: data)), code, says: says)
    }
  }

  static let f32x4 = #""dtype":"F32","shape":[4],"data_offsets":"#

  static let hostile: [Hostile] = [
    Hostile("empty", [], .truncated, says: "0 bytes"),
    Hostile("seven bytes", [1, 0, 0, 0, 0, 0, 0], .truncated, says: "7 bytes"),
    Hostile(
      "header length 2^62", safetensors("{}", length: 1 << 62), .malformedHeader, says: "4611686018427387904"),
    Hostile(
      "header length 2^64 − 1", safetensors("{}", length: .max), .malformedHeader,
      says: "18446744073709551615"),
    Hostile(
      "header length past the end", safetensors("{}", length: 3), .truncated, says: "header of 3 bytes"),
    Hostile("no header", safetensors(""), .malformedHeader, says: "{"),
    Hostile("header is an array", safetensors("[]"), .malformedHeader, says: "{"),
    Hostile("header is not UTF-8", safetensors("{}", length: 3) + [0xFF], .malformedJSON, says: "UTF-8"),
    Hostile("header is not JSON", safetensors("{\"a\""), .malformedJSON, says: "byte 4"),
    Hostile("text after the header's object", safetensors("{}{}"), .malformedJSON, says: "byte 2"),
    Hostile(
      "deep nesting", safetensors("{\"a\":" + String(repeating: "[", count: 100_000)), .malformedJSON,
      says: "nesting"),
    Hostile("tensor is no object", safetensors(#"{"t":1}"#), .malformedHeader, says: "\"t\""),
    Hostile(
      "metadata is no object", safetensors(#"{"__metadata__":[]}"#), .malformedHeader, says: "__metadata__"),
    Hostile("metadata is no string", safetensors(#"{"__metadata__":{"a":1}}"#), .badValue, says: "string"),
    .tensors("no dtype", t: #""shape":[4],"data_offsets":[0,16]"#, .missingKey, says: "dtype"),
    .tensors("no shape", t: #""dtype":"F32","data_offsets":[0,16]"#, .missingKey, says: "shape"),
    .tensors("no offsets", t: #""dtype":"F32","shape":[4]"#, .missingKey, says: "data_offsets"),
    .tensors(
      "unknown dtype", t: #""dtype":"F31","shape":[4],"data_offsets":[0,16]"#, .unknownType, says: "F31"),
    .tensors(
      "negative size", t: #""dtype":"F32","shape":[-4],"data_offsets":[0,16]"#, .badShape, says: "shape"),
    .tensors(
      "size is a fraction", t: #""dtype":"F32","shape":[4.0],"data_offsets":[0,16]"#, .badShape, says: "shape"
    ),
    .tensors(
      "size past 2^63", t: #""dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,16]"#, .badShape,
      says: "shape"),
    .tensors(
      "shape overflows", t: #""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]"#,
      .badShape,
      says: "overflows"),
    .tensors(
      "shape overflows in bytes", t: #""dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,16]"#,
      .badShape,
      says: "overflows"),
    .tensors(
      "many axes", t: #""dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,16],"data_offsets":[0,16]"#,
      .badShape,
      says: "axes"),
    .tensors("reversed offsets", t: f32x4 + "[16,0]", .badOffsets, says: "[16, 0]"),
    .tensors("one offset", t: f32x4 + "[16]", .badOffsets, says: "data_offsets"),
    .tensors("negative offset", t: f32x4 + "[-16,0]", .badOffsets, says: "data_offsets"),
    .tensors("offsets past the end", t: f32x4 + "[16,32]", .badOffsets, says: "32"),
    .tensors(
      "offsets near 2^63", t: f32x4 + "[0,9223372036854775807]", .badOffsets, says: "9223372036854775807"),
    .tensors("dtype and shape against offsets", t: f32x4 + "[0,12]", data: 12, .badOffsets, says: "16 bytes"),
    .tensors("cut data", t: f32x4 + "[0,16]", data: 15, .badOffsets, says: "15"),
    .tensors("overlap", t: f32x4 + "[0,16]", u: f32x4 + "[8,24]", data: 24, .badOffsets, says: "overlaps"),
    .tensors("same bytes twice", t: f32x4 + "[0,16]", u: f32x4 + "[0,16]", .badOffsets, says: "overlaps"),
    .tensors("hole", t: f32x4 + "[0,16]", u: f32x4 + "[20,36]", data: 36, .badOffsets, says: "unused"),
    .tensors("hole at the start", t: f32x4 + "[4,20]", data: 20, .badOffsets, says: "unused"),
    .tensors("rest at the end", t: f32x4 + "[0,16]", data: 17, .badOffsets, says: "1 bytes"),
    Hostile(
      "duplicate name",
      safetensors(
        #"{"t":{\#(f32x4)[0,16]},"t":{\#(f32x4)[16,32]}}"#, data: [UInt8](repeating: 0, count: 32)),
      .duplicateName, says: "\"t\""),
    Hostile(
      "duplicate name by an escape",
      safetensors(
        #"{"t":{\#(f32x4)[0,16]},"\u0074":{\#(f32x4)[16,32]}}"#, data: [UInt8](repeating: 0, count: 32)),
      .duplicateName, says: "\"t\""),
    .tensors(
      "duplicate key", t: #""dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]"#, .duplicateName,
      says: "dtype"),
  ]

  @Test(arguments: hostile)
  func refuses(_ file: Hostile) throws {
    let path = try files.write("hostile.safetensors", file.content)
    let error = try #require(throws: FormatError.self) { _ = try SafetensorsFile(path: path) }
    #expect(error.code == file.code, "\(error)")
    #expect(error.exitStatus == .badData)
    #expect(error.message.contains(file.says), "\(error)")
    #expect(error.message.contains(path), "\(error)")
  }

  @Test func namesThatDifferOnlyInNormalisationAreTwo() throws {
    let header = "{\"\u{E9}\":{\(Self.f32x4)[0,16]},\"e\u{301}\":{\(Self.f32x4)[16,32]}}"
    let file = try SafetensorsFile(
      path: files.write("n.safetensors", safetensors(header, data: [UInt8](repeating: 0, count: 32))))
    #expect(file.tensorNames.count == 2)
  }

  @Test func absentOrUnreadableIsNoInput() throws {
    for path in [files.directory + "/none", files.directory, "/dev/null"] {
      let error = try #require(throws: FormatError.self) { _ = try SafetensorsFile(path: path) }
      #expect(error.exitStatus == .noInput, "\(error)")
    }
  }

  @Test func aFileThatShrinksIsAnError() throws {
    let path = try files.write(
      "s.safetensors", safetensors("{\"t\":{\(Self.f32x4)[0,16]}}", data: [UInt8](repeating: 0, count: 16)))
    let file = try SafetensorsFile(path: path)
    try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: 20)
    let error = try #require(throws: FormatError.self) { _ = try file.tensor(named: "t").floats() }
    #expect(error.code == .truncated)
  }

  // MARK: Shards

  static func shard(_ name: String, _ value: Float) -> [UInt8] {
    safetensors(
      #"{"\#(name)":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, data: bytes([value.bitPattern]))
  }

  @Test func readsShards() throws {
    try files.write("one.safetensors", Self.shard("a", 1))
    try files.write("two.safetensors", Self.shard("b", 2))
    try files.write(
      "model.safetensors.index.json",
      #"{"metadata":{"total_size":8},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}}"#)
    let checkpoint = try SafetensorsCheckpoint(directory: files.directory)
    #expect(checkpoint.tensorNames == ["b", "a"])
    #expect(try checkpoint.tensor(named: "a").floats().array() == [1])
    #expect(try checkpoint.tensor(named: "b").floats().array() == [2])
    #expect(throws: FormatError.self) { _ = try checkpoint.tensor(named: "c") }
  }

  @Test(arguments: ["../one.safetensors", "/etc/passwd", "..", "sub/one.safetensors", "", "a\\u0000b"])
  func shardsStayBesideTheIndex(_ name: String) throws {
    try files.write("one.safetensors", Self.shard("a", 1))
    try files.write("model.safetensors.index.json", #"{"weight_map":{"a":"\#(name)"}}"#)
    let error = try #require(throws: FormatError.self) {
      _ = try SafetensorsCheckpoint(directory: files.directory)
    }
    #expect(error.code == .badValue, "\(error)")
  }

  @Test func aShardMustHoldWhatTheIndexSays() throws {
    try files.write("one.safetensors", Self.shard("a", 1))
    try files.write("model.safetensors.index.json", #"{"weight_map":{"b":"one.safetensors"}}"#)
    let error = try #require(throws: FormatError.self) {
      _ = try SafetensorsCheckpoint(directory: files.directory)
    }
    #expect(error.code == .missingTensor)
  }
}
