import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// Held while a journal is opened and migrated. Where a folder cannot be locked, SQLite's own locks remain.
final class FolderLock {
  private let file: Int32

  init(_ folder: URL) {
    file = unsafe open(folder.path(percentEncoded: false), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if file >= 0 { while flock(file, LOCK_EX) != 0 && errno == EINTR {} }
  }

  deinit { if file >= 0 { close(file) } }
}

/// The right to measure for a journal: one process at a time, since two tunes on one machine would time each other.
///
/// An advisory lock on a file beside the journal. The kernel releases it with the process, however that ends.
public final class TuneLock: Sendable {
  private let file: Int32

  private init(file: Int32) { self.file = file }

  deinit { close(file) }

  /// Waits until no other process holds the lock.
  ///
  /// - Parameters:
  ///   - waiting: called once, with the holder's process id where it is known, when there is a wait.
  ///   - isCancelled: asked ten times a second meanwhile.
  /// - Throws: `ProfileError`: `.busy` when cancelled, `.cannotCreate` when there can be no such file.
  public static func acquire(
    for journal: Journal, waiting: (Int?) -> Void, isCancelled: () -> Bool
  ) throws(ProfileError) -> TuneLock {
    let path = journal.url.deletingPathExtension().appendingPathExtension("lock").path(percentEncoded: false)
    let file = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard file >= 0 else {
      throw ProfileError(.cannotCreate, "\(path): cannot create the lock of the journal: \(message(errno))")
    }
    let lock = TuneLock(file: file)
    var hasSaid = false
    while flock(file, LOCK_EX | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else {
        throw ProfileError(.inputOutput, "\(path): cannot lock it: \(message(errno))")
      }
      if !hasSaid { waiting(holder(file)) }
      hasSaid = true
      guard !isCancelled() else {
        throw ProfileError(
          .busy, "interrupted while another tune held \(path); nothing was measured; try again when it is done")
      }
      usleep(100_000)
    }
    // For whoever waits next; that it cannot be written, on a full disk, hinders nobody.
    let id = Array("\(getpid())\n".utf8)
    if ftruncate(file, 0) == 0 { _ = unsafe pwrite(file, id, id.count, 0) }
    return lock
  }

  private static func holder(_ file: Int32) -> Int? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = unsafe pread(file, &bytes, bytes.count, 0)
    guard count > 0 else { return nil }
    return Int(String(decoding: bytes.prefix(count), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
  }

  private static func message(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
