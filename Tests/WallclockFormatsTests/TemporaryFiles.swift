import Foundation

/// A directory that lives as long as the test that made it.
final class TemporaryFiles {
  let directory: String

  init() throws {
    directory = NSTemporaryDirectory() + "wallclock-formats-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  /// Writes a file and returns its path; `name` may lead into a folder.
  @discardableResult
  func write(_ name: String, _ content: some Sequence<UInt8>) throws -> String {
    let path = "\(directory)/\(name)"
    let folder = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(content).write(to: URL(fileURLWithPath: path))
    return path
  }

  @discardableResult
  func write(_ name: String, _ content: String) throws -> String { try write(name, content.utf8) }
}

/// A safetensors file: header length, header, data.
func safetensors(_ header: String, data: some Sequence<UInt8> = [], length: UInt64? = nil) -> [UInt8] {
  let text = Array(header.utf8)
  let count = length ?? UInt64(text.count)
  return (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * UInt64($0))) } + text + Array(data)
}

/// The little-endian bytes of `values`.
func bytes<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
  values.flatMap { value in
    (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
  }
}

func fixture(_ name: String) throws -> Data {
  let url = Bundle.module.resourceURL!.appendingPathComponent("Fixtures/\(name)")
  return try Data(contentsOf: url)
}
