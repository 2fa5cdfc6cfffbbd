import Glibc

/// A file from outside, opened for reading: regular, and of known size.
///
/// Opening never blocks on a pipe or device put in a file's place.
struct InputFile: ~Copyable {
  let path: String
  let bytes: Int
  fileprivate let descriptor: CInt

  private init(path: String, bytes: Int, descriptor: CInt) {
    self.path = path
    self.bytes = bytes
    self.descriptor = descriptor
  }

  static func open(_ path: String) throws(FormatError) -> InputFile {
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.failure(errno, path: path) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      let number = errno
      close(descriptor)
      throw Self.failure(number, path: path)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw FormatError(.notFound, "\(path) is not a regular file; name a file")
    }
    return InputFile(path: path, bytes: Int(status.st_size), descriptor: descriptor)
  }

  deinit { close(descriptor) }

  private static func failure(_ number: CInt, path: String) -> FormatError {
    let reason = unsafe String(cString: strerror(number))
    return switch number {
    case ENOENT, ENOTDIR: FormatError(.notFound, "\(path) does not exist")
    case EACCES, EPERM: FormatError(.notFound, "\(path) may not be read: \(reason)")
    default: FormatError(.inputOutput, "\(path) cannot be read: \(reason)")
    }
  }

  /// The whole content.
  ///
  /// - Parameter limit: more bytes than this are refused before anything is allocated.
  static func read(_ path: String, limit: Int) throws(FormatError) -> [UInt8] {
    let file = try InputFile.open(path)
    guard file.bytes <= limit else {
      throw FormatError(
        .tooLarge, "\(path) has \(file.bytes) bytes; at most \(limit) are accepted for this kind of file")
    }
    var content = [UInt8](repeating: 0, count: file.bytes)
    var done = 0
    while done < content.count {
      let count = unsafe content.withUnsafeMutableBytes { buffer in
        unsafe pread(file.descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(done))
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw failure(errno, path: path) }
      guard count > 0 else {
        throw FormatError(.truncated, "\(path) became shorter while it was read; try again")
      }
      done += count
    }
    return content
  }
}

/// What lies at a path; something unreachable counts as absent.
package enum FileKind: Sendable {
  case absent, file, directory

  package init(of path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      self = .absent
      return
    }
    self = status.st_mode & S_IFMT == S_IFDIR ? .directory : .file
  }
}

/// A file mapped read-only. Copies out of it share the page cache; nothing is read until touched.
///
/// A mapping cannot outlive the file's pages: should another process truncate the file, touching a
/// page past its new end raises SIGBUS. Every `withBytes` first compares the file's size with the one
/// that was mapped and throws when it shrank, so only a truncation during the copy itself can still
/// stop the process. Replace a model by renaming a new file over the old one, not by rewriting it.
final class MappedFile: Sendable {
  let path: String
  let count: Int
  private let descriptor: CInt
  /// 0 for an empty file, which cannot be mapped.
  private let address: UInt

  init(path: String) throws(FormatError) {
    let file = try InputFile.open(path)
    let held = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
    guard held >= 0 else {
      let reason = unsafe String(cString: strerror(errno))
      throw FormatError(.inputOutput, "\(path) cannot be kept open: \(reason)")
    }
    var address: UInt = 0
    if file.bytes > 0 {
      // MAP_FAILED is address −1.
      address = unsafe UInt(bitPattern: mmap(nil, file.bytes, PROT_READ, MAP_PRIVATE, held, 0))
      guard address != UInt.max else {
        let reason = unsafe String(cString: strerror(errno))
        close(held)
        throw FormatError(.inputOutput, "\(path) cannot be mapped (\(file.bytes) bytes): \(reason)")
      }
    }
    self.path = path
    self.count = file.bytes
    self.descriptor = held
    self.address = address
  }

  deinit {
    if count > 0 { unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), count) }
    close(descriptor)
  }

  /// Calls `body` with the bytes of `range`.
  ///
  /// - Precondition: `range` lies within `0..<count`.
  func withBytes<Result>(
    _ range: Range<Int>, _ body: (RawSpan) throws(FormatError) -> Result
  ) throws(FormatError) -> Result {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "MappedFile: \(range) is outside")
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, Int(status.st_size) >= count else {
      throw FormatError(.truncated, "\(path) became shorter after it was opened; open it again")
    }
    let start = unsafe UnsafeRawPointer(bitPattern: address)
    let bytes = unsafe UnsafeRawBufferPointer(
      start: start.map { unsafe $0 + range.lowerBound }, count: range.count)
    return try body(unsafe RawSpan(_unsafeBytes: bytes))
  }
}

/// The memory of this machine, in bytes: more than this is never worth asking for.
package func physicalMemoryBytes() -> Int {
  sysconf(CInt(_SC_PHYS_PAGES)) * sysconf(CInt(_SC_PAGESIZE))
}
