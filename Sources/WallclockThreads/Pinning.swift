import CWallclockLinux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Which CPUs threads may run on, and what to give back when nothing pins them any more.
///
/// Several pools may pin the same calling thread; the first remembers what it was allowed before
/// and the last restores it, in whatever order they end.
enum Pinning {
  private struct Entry {
    var original: [Int32]
    var holders: Int
  }
  private static let entries = Mutex<[pid_t: Entry]>([:])

  /// Pins thread `tid`, which the caller holds until `release`. Returns 0 or a negative errno.
  static func hold(_ tid: pid_t, on cpu: Int) -> Int32 {
    entries.withLock { entries in
      if entries[tid] == nil {
        let original = allowed(tid)
        guard !original.isEmpty else { return -ESRCH }
        entries[tid] = Entry(original: original, holders: 0)
      }
      let result = pin(tid, on: cpu)
      if result == 0 { entries[tid]!.holders += 1 }
      if entries[tid]!.holders == 0 { entries[tid] = nil }
      return result
    }
  }

  /// Ends one `hold`; the last gives the thread back the CPUs it had.
  static func release(_ tid: pid_t) {
    entries.withLock { entries in
      guard var entry = entries[tid] else { return }
      entry.holders -= 1
      entries[tid] = entry.holders == 0 ? nil : entry
      // A thread that has ended needs nothing back.
      if entry.holders == 0 { _ = unsafe wcl_set_affinity(tid, entry.original, Int32(entry.original.count)) }
    }
  }

  static func pin(_ tid: pid_t, on cpu: Int) -> Int32 {
    guard let cpu = Int32(exactly: cpu) else { return -EINVAL }
    return unsafe wcl_set_affinity(tid, [cpu], 1)
  }

  static func allowed(_ tid: pid_t) -> [Int32] {
    var cpus = [Int32](repeating: 0, count: 1 << 16)
    let count = unsafe wcl_get_affinity(tid, &cpus, Int32(cpus.count))
    return count > 0 ? Array(cpus.prefix(Int(count))) : []
  }
}
