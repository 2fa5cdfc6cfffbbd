public import WallclockCore

/// A safetensors file, mapped read-only and checked whole when opened.
///
/// Opening reads the header alone; a tensor's pages are read when it is copied. Copying throws when
/// the file has become shorter since it was opened; should another process cut it during the copy
/// itself, the system stops the program (SIGBUS), as with every mapped file.
public struct SafetensorsFile: Sendable {
  private let file: MappedFile
  private let entries: [ByteKey: SafetensorsHeader.Entry]
  /// In the order of their data.
  public let tensorNames: [String]
  /// What the writer noted under `__metadata__`, such as `format: pt`.
  public let metadata: [(name: String, value: String)]

  public var path: String { file.path }

  /// - Throws: `FormatError` when the file is absent, cut, or breaks a rule of the format.
  public init(path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    let header = try SafetensorsHeader(of: file)
    self.file = file
    entries = Dictionary(uniqueKeysWithValues: header.entries.map { (ByteKey($0.name), $0) })
    tensorNames = header.entries.map(\.name)
    metadata = header.metadata
  }

  public func contains(_ name: String) -> Bool { entries[ByteKey(name)] != nil }

  /// Adds the file's size, its header and 64 KiB of its data, taken evenly, to `digest`.
  func sample(into digest: inout ContentDigest) throws(FormatError) {
    digest.add(UInt64(file.count))
    let block = 1024, blocks = 64
    let data = entries.values.map(\.range.lowerBound).min() ?? file.count
    try file.withBytes(0..<data) { digest.add($0) }
    let stride = max(block, (file.count - data) / blocks)
    for start in Swift.stride(from: data, to: file.count, by: stride) {
      try file.withBytes(start..<min(file.count, start + block)) { digest.add($0) }
    }
  }

  public func tensor(named name: String) throws(FormatError) -> TensorView {
    guard let entry = entries[ByteKey(name)] else {
      throw FormatError(.missingTensor, "\(path) has no tensor \(quoted(name)) among its \(entries.count)")
    }
    return TensorView(file: file, entry: entry)
  }
}

/// 64-bit FNV-1a: tells files of different content apart; proves nothing against who wants to deceive.
struct ContentDigest {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
  mutating func add(_ number: UInt64) {
    for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
  }
  mutating func add(_ bytes: RawSpan) {
    for i in 0..<bytes.byteCount { unsafe add(bytes.unsafeLoad(fromByteOffset: i, as: UInt8.self)) }
  }
}

/// One tensor in a mapped file; keeps the mapping alive.
public struct TensorView: Sendable {
  fileprivate let file: MappedFile
  fileprivate let entry: SafetensorsHeader.Entry

  /// The types that `floats` reads.
  public static let floatTypes: [SafetensorsType] = [.f32, .f16, .bf16]

  public var name: String { entry.name }
  public var type: SafetensorsType { entry.type }
  /// Sizes of the axes, outermost first; empty for a scalar. Row-major.
  public var shape: [Int] { entry.shape }
  /// Elements.
  public var count: Int { entry.range.count / entry.type.bytes }

  /// The values as f32, in a new buffer of `count`.
  ///
  /// - Throws: `FormatError` when the type is not f32, f16 or bf16, or the file shrank.
  public func floats() throws(FormatError) -> AlignedBuffer<Float> {
    var buffer = AlignedBuffer<Float>(count: count)
    var span = buffer.mutableSpan
    try copyFloats(into: &span)
    return buffer
  }

  /// The values as f32, written to the `count` elements of `destination` from `start` on; f16 and bf16
  /// convert exactly.
  ///
  /// - Precondition: `destination` has at least `start + count` elements.
  /// - Throws: `FormatError` when the type is not f32, f16 or bf16, or the file shrank.
  public func copyFloats(
    into destination: inout MutableSpan<Float>, at start: Int = 0
  ) throws(FormatError) {
    precondition(
      start >= 0 && start <= destination.count && count <= destination.count - start,
      "\(count) values from \(start) on do not fit in \(destination.count)")
    let type = entry.type
    guard Self.floatTypes.contains(type) else {
      throw FormatError(
        .unknownType,
        "\(file.path): tensor \(quoted(name)) is \(type.rawValue); floats are read from "
          + Self.floatTypes.map(\.rawValue).joined(separator: ", "))
    }
    let count = count
    try unsafe destination.withUnsafeMutableBufferPointer {
      (whole: UnsafeMutableBufferPointer<Float>) throws(FormatError) in
      let output = unsafe UnsafeMutableBufferPointer(rebasing: whole[start..<start + count])
      try file.withBytes(entry.range) { (bytes: RawSpan) throws(FormatError) in
        // Tensors start at any byte of the file, so the loads are unaligned.
        unsafe bytes.withUnsafeBytes { input in
          switch type {
          case .f16:
            for i in 0..<count {
              let bits = unsafe input.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
              unsafe output[i] = Float(Float16(bitPattern: bits))
            }
          case .bf16:
            for i in 0..<count {
              let bits = unsafe input.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
              unsafe output[i] = Float(bitPattern: UInt32(bits) << 16)
            }
          default:
            unsafe UnsafeMutableRawBufferPointer(output).copyMemory(from: input)
          }
        }
      }
    }
  }
}
