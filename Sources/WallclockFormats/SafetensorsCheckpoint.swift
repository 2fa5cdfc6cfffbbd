/// The weights of a model directory: one `model.safetensors`, or the shards that
/// `model.safetensors.index.json` lists.
public struct SafetensorsCheckpoint: Sendable {
  /// The directory, for messages.
  public let directory: String
  private let files: [SafetensorsFile]
  private let shards: [ByteKey: Int]
  public let tensorNames: [String]

  static let fileName = "model.safetensors"
  static let indexName = "model.safetensors.index.json"

  /// Whether the directory holds weights in this format.
  public static func exists(in directory: String) -> Bool {
    FileKind(of: "\(directory)/\(fileName)") != .absent
      || FileKind(of: "\(directory)/\(indexName)") != .absent
  }

  /// Opens and checks every file.
  public init(directory: String) throws(FormatError) {
    self.directory = directory
    let single = "\(directory)/\(Self.fileName)"
    let index = "\(directory)/\(Self.indexName)"
    if FileKind(of: single) != .absent {
      let file = try SafetensorsFile(path: single)
      files = [file]
      shards = Dictionary(uniqueKeysWithValues: file.tensorNames.map { (ByteKey($0), 0) })
      tensorNames = file.tensorNames
    } else if FileKind(of: index) != .absent {
      (files, shards, tensorNames) = try Self.readIndex(index, directory: directory)
    } else {
      throw FormatError(
        .missingPart,
        "\(directory) holds no weights: expected \(Self.fileName) or \(Self.indexName)")
    }
  }

  /// More files than any model is cut into.
  static let maximumShards = 4096

  private static func readIndex(
    _ path: String, directory: String
  ) throws(FormatError) -> ([SafetensorsFile], [ByteKey: Int], [String]) {
    let map = try JSONObject.read(path, limit: 64 << 20).object("weight_map")
    var files: [SafetensorsFile] = []
    var positions: [ByteKey: Int] = [:]
    var shards: [ByteKey: Int] = [:]
    var names: [String] = []
    for member in map.members {
      guard case .string(let shard) = member.value else {
        throw map.wrongKind(quoted(member.name), member.value, expected: "a file name")
      }
      if positions[ByteKey(shard)] == nil {
        guard isPlainFileName(shard) else {
          throw FormatError(
            .badValue,
            "\(path) names the file \(quoted(shard)); expected a plain name, since shards lie beside "
              + "the index")
        }
        guard files.count < maximumShards else {
          throw FormatError(.tooLarge, "\(path) names more than \(maximumShards) files")
        }
        files.append(try SafetensorsFile(path: "\(directory)/\(shard)"))
        positions[ByteKey(shard)] = files.count - 1
      }
      let position = positions[ByteKey(shard)]!
      guard files[position].contains(member.name) else {
        throw FormatError(
          .missingTensor,
          "\(path) places tensor \(quoted(member.name)) in \(shard), which does not hold it")
      }
      shards[ByteKey(member.name)] = position
      names.append(member.name)
    }
    return (files, shards, names)
  }

  /// A name that cannot lead out of a directory.
  static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/"))
      && !name.utf8.contains(0)
  }

  /// Sixteen hexadecimal digits that tell these weights from others: of every file its size, its header and
  /// a sample of its data. Reads kilobytes, not the weights.
  public func identity() throws(FormatError) -> String {
    var digest = ContentDigest()
    for file in files { try file.sample(into: &digest) }
    let digits = String(digest.value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  public func contains(_ name: String) -> Bool { shards[ByteKey(name)] != nil }

  public func tensor(named name: String) throws(FormatError) -> TensorView {
    guard let position = shards[ByteKey(name)] else {
      throw FormatError(
        .missingTensor, "the weights in \(directory) have no tensor \(quoted(name)) among \(shards.count)")
    }
    return try files[position].tensor(named: name)
  }
}
