#if canImport(Glibc)
  import Glibc
#endif

/// Memory between two pages that may not be touched. An operand is placed so that it ends right
/// before the second: a kernel that reads or writes past it faults. What lies before the operand, and
/// between its end and the page where alignment leaves a gap, holds a pattern that `isIntact` checks.
@safe package final class GuardedMemory {
  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  private let mapped: Int
  private var placed: Range<Int>

  /// Every byte 0xFF: a NaN as f32 and as bf16, −1 as an integer.
  private static let pattern: UInt8 = 0xFF
  private static let margin = 512

  /// - Parameter capacity: the most bytes an operand placed here takes.
  package init(capacity: Int) {
    let page = 4096
    let usable = (capacity + Self.margin + page - 1) / page * page
    mapped = usable + 2 * page
    let raw = unsafe mmap(nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(unsafe raw != MAP_FAILED, "out of memory for a guarded operand of \(capacity) bytes")
    unsafe base = raw! + page
    self.capacity = usable
    placed = usable..<usable
    unsafe memset(base, Int32(Self.pattern), usable)
    unsafe mprotect(raw!, page, PROT_NONE)
    unsafe mprotect(base + usable, page, PROT_NONE)
  }

  deinit { unsafe munmap(base - 4096, mapped) }

  /// Room for `count` elements, each byte 0xFF, its start a multiple of `alignment` bytes; valid
  /// until the next call.
  package func place<T: BitwiseCopyable>(
    _ count: Int, of type: T.Type = T.self, alignment: Int = MemoryLayout<T>.alignment
  ) -> UnsafeMutablePointer<T> {
    let bytes = count * MemoryLayout<T>.stride
    precondition(bytes + Self.margin <= capacity, "an operand of \(bytes) bytes is beyond \(capacity)")
    let start = (capacity - bytes) / alignment * alignment
    let low = min(placed.lowerBound, start) - min(Self.margin, min(placed.lowerBound, start))
    unsafe memset(base + low, Int32(Self.pattern), capacity - low)
    placed = start..<start + bytes
    return unsafe (base + start).bindMemory(to: T.self, capacity: max(count, 1))
  }

  /// Whether nothing was written just before or after the operand.
  package var isIntact: Bool {
    let low = placed.lowerBound - min(Self.margin, placed.lowerBound)
    for i in low..<placed.lowerBound where unsafe base.load(fromByteOffset: i, as: UInt8.self) != Self.pattern {
      return false
    }
    for i in placed.upperBound..<capacity
    where unsafe base.load(fromByteOffset: i, as: UInt8.self) != Self.pattern {
      return false
    }
    return true
  }
}

/// Names the kernel when it touches a page that it may not: without this the run ends with a signal
/// and no word of what ran.
package enum FaultReport {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    unsafe pthread_key_create(&key, nil)
    for number in [SIGSEGV, SIGBUS, SIGILL] {
      signal(number) { number in
        if let name = unsafe pthread_getspecific(FaultReport.key) {
          _ = unsafe write(2, name, strlen(name.assumingMemoryBound(to: CChar.self)))
        }
        signal(number, SIG_DFL)
        raise(number)
      }
    }
    return key
  }()

  /// Has its handlers in place. What handles one of these signals itself and passes on the rest comes after this.
  package static func install() { _ = key }

  /// Says what runs on this thread from now on. The name is kept for the life of the process.
  package static func running(_ name: String) { unsafe _ = pthread_setspecific(key, strdup("\nfault while running \(name)\n")) }
}
