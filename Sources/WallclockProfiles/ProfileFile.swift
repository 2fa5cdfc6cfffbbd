import Foundation
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// Canonical JSON: sorted keys, two-space indentation, shortest round-trip numbers, one final newline.
public enum CanonicalJSON {
  /// - Throws: `ProfileError.invalid` when a number is not finite.
  public static func encode(_ value: some Encodable, noun: String) throws(ProfileError) -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    do {
      var data = try encoder.encode(value)
      data.append(UInt8(ascii: "\n"))
      return data
    } catch EncodingError.invalidValue(let value, let context) {
      throw ProfileError(
        .invalid, "cannot write the \(noun): \(value) at \(path(context.codingPath)) is no JSON number")
    } catch {
      throw ProfileError(.invalid, "cannot write the \(noun): \(error)")
    }
  }

  /// Decodes after checking `schemaVersion`, so that a newer file is called newer and not malformed.
  ///
  /// - Throws: `ProfileError.newerSchema` with both versions, or `.invalid` with the place in the file.
  public static func decode<Value: Decodable>(
    _ type: Value.Type, from data: Data, noun: String, schemaVersion supported: Int, source: String
  ) throws(ProfileError) -> Value {
    do {
      let found = try JSONDecoder().decode(Versioned.self, from: data).schemaVersion
      guard found <= supported else {
        throw ProfileError(
          .newerSchema,
          "\(source): \(noun) has schemaVersion \(found), this version of wallclock reads up to "
            + "\(supported); update wallclock")
      }
      guard found >= 1 else {
        throw ProfileError(
          .invalid, "\(source): \(noun) has schemaVersion \(found), expected 1 … \(supported)")
      }
      return try JSONDecoder().decode(type, from: data)
    } catch let error as ProfileError {
      throw error
    } catch let error as DecodingError {
      throw ProfileError(.invalid, "\(source): not a \(noun): \(describe(error))")
    } catch {
      throw ProfileError(.invalid, "\(source): not a \(noun): \(error)")
    }
  }

  private struct Versioned: Decodable { var schemaVersion: Int }

  private static func path(_ keys: [any CodingKey]) -> String {
    let text = keys.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
    return text.isEmpty ? "the top level" : String(text.drop { $0 == "." })
  }

  private static func describe(_ error: DecodingError) -> String {
    switch error {
    case .keyNotFound(let key, let context):
      "\"\(key.stringValue)\" is missing at \(path(context.codingPath))"
    case .valueNotFound(_, let context): "a value is missing at \(path(context.codingPath))"
    case .typeMismatch(let type, let context): "expected \(type) at \(path(context.codingPath))"
    case .dataCorrupted(let context): "\(context.debugDescription) at \(path(context.codingPath))"
    @unknown default: "\(error)"
    }
  }
}

extension Profile {
  /// A file larger than this is refused unread; a full tune of a large host takes some tens of MB.
  public static let largestFileBytes = 256 << 20

  /// The canonical JSON.
  public func encoded() throws(ProfileError) -> Data {
    try CanonicalJSON.encode(checked(), noun: "profile")
  }

  /// Decodes and checks a profile; `source` names it in errors.
  public static func decode(_ data: Data, source: String) throws(ProfileError) -> Profile {
    try CanonicalJSON.decode(
      Profile.self, from: data, noun: "profile", schemaVersion: currentSchemaVersion, source: source
    ).checked()
  }

  public static func read(from url: URL) throws(ProfileError) -> Profile {
    try decode(
      DurableFile.read(url, limit: largestFileBytes, noun: "profile"), source: url.path(percentEncoded: false)
    )
  }

  /// Replaces the file at `url` durably: readers see the old profile or the new one, whole.
  public func write(to url: URL) throws(ProfileError) {
    try DurableFile.write(encoded(), to: url)
  }
}

/// Files that are whole or not there.
public enum DurableFile {
  /// Reads a regular file of at most `limit` bytes.
  public static func read(_ url: URL, limit: Int, noun: String) throws(ProfileError) -> Data {
    let path = url.path(percentEncoded: false)
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      let code: ProfileError.Code = errno == ENOENT || errno == ENOTDIR ? .notFound : .inputOutput
      throw ProfileError(code, "\(path): cannot read the \(noun): \(systemMessage())")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ProfileError(.notFound, "\(path): expected a \(noun), found something that is not a file")
    }
    guard status.st_size <= limit else {
      throw ProfileError(.invalid, "\(path): \(status.st_size) bytes, a \(noun) has at most \(limit)")
    }
    do { return try Data(contentsOf: url) } catch {
      throw ProfileError(.inputOutput, "\(path): cannot read the \(noun): \(error.localizedDescription)")
    }
  }

  /// Writes beside `url`, syncs, renames over it, and syncs the folder. Creates missing folders.
  ///
  /// - Throws: `.cannotCreate` when nothing could be created, `.inputOutput` when writing failed;
  ///   what was at `url` is unharmed in both cases.
  public static func write(_ data: Data, to url: URL) throws(ProfileError) {
    let path = url.path(percentEncoded: false)
    let folder = url.deletingLastPathComponent()
    try createFolder(folder)
    let temporary = folder.appending(
      component: ".\(url.lastPathComponent).\(getpid()).\(UInt32.random(in: 0 ... .max))"
    ).path(percentEncoded: false)
    let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw ProfileError(.cannotCreate, "\(path): cannot create: \(systemMessage())") }
    var failure: String?
    let whole = unsafe data.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count {
        let written = unsafe Glibc.write(file, bytes.baseAddress! + offset, bytes.count - offset)
        if written < 0 && errno == EINTR { continue }
        if written <= 0 { return false }
        offset += written
      }
      return fsync(file) == 0
    }
    if !whole { failure = systemMessage() }
    if close(file) != 0 && failure == nil { failure = systemMessage() }
    if failure == nil, unsafe rename(temporary, path) != 0 { failure = systemMessage() }
    if let failure {
      unsafe unlink(temporary)
      throw ProfileError(.inputOutput, "\(path): cannot write: \(failure)")
    }
    // The rename is durable once the folder is; a file system that cannot sync a folder says so here.
    let directory = unsafe open(folder.path(percentEncoded: false), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  static func createFolder(_ folder: URL) throws(ProfileError) {
    do { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) } catch {
      throw ProfileError(
        .cannotCreate,
        "\(folder.path(percentEncoded: false)): cannot create the folder: \(error.localizedDescription)")
    }
  }

  private static func systemMessage() -> String { unsafe String(cString: strerror(errno)) }
}
