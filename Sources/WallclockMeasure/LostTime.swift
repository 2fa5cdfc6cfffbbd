import CWallclockLinux
import WallclockMachine

#if canImport(Glibc)
  import Glibc
#endif

/// Time that some threads of this process wanted a CPU and had none, as Linux accounts for it: waits in a
/// run queue, finished or going on, and what the hypervisor took.
///
/// Involuntary switches alone say little, since a kernel thread may have needed the CPU for
/// microseconds only, and nothing of a thread that was woken onto a busy CPU.
final class LostTime {
  private var threads: [WatchedThread]
  private var switches = -1
  private var stolen: UInt64 = 0
  private var nextStealCheck: UInt64 = 0
  private var withoutStatistics: UInt64 = 0

  init(threads: Set<Int32>) { self.threads = threads.compactMap { WatchedThread($0) } }

  func total() -> UInt64 {
    let stolen = stolenTotal()
    guard !threads.isEmpty else { return stolen + switchesAsLoss() }
    var waited: UInt64 = 0
    for i in threads.indices { waited += threads[i].waited() }
    return stolen + waited
  }

  /// What the hypervisor took, of all CPUs.
  func stolenTotal() -> UInt64 {
    let now = nanosecondsNow()
    // It is counted in ticks of 10 ms.
    if now >= nextStealCheck {
      nextStealCheck = now + 10_000_000
      stolen = (CPUTimes.current()?.stolen ?? 0) * 10_000_000
    }
    return stolen
  }

  /// Without scheduler statistics every involuntary switch counts as a long wait.
  private func switchesAsLoss() -> UInt64 {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    if usage.ru_nivcsw != switches { withoutStatistics += 1_000_000_000 }
    switches = usage.ru_nivcsw
    return withoutStatistics
  }
}

/// The same for all threads of this process, whoever started them.
///
/// A thread that spins by sched_yield, as those of some libraries do, stands in its run queue again and again although
/// nobody else wants the CPU; so waits count only where the CPU went to another thread meanwhile.
final class ProcessLostTime {
  private let hypervisor = LostTime(threads: [])
  private var seen: [Int32: (waits: UInt64, switches: UInt64)] = [:]
  private var waited: UInt64 = 0

  func total() -> UInt64 {
    for thread in SchedulerStatistics.threads(of: getpid()) {
      guard let now = SchedulerStatistics.account(ofThread: thread) else { continue }
      if let before = seen[thread], now.switches != before.switches, now.waits > before.waits {
        waited += now.waits - before.waits
      }
      seen[thread] = now
    }
    return hypervisor.stolenTotal() + waited
  }
}

/// What the scheduler accounts for each thread, as proc(5) shows it.
package enum SchedulerStatistics {
  package static func threads(of process: pid_t) -> [Int32] {
    guard let directory = unsafe opendir("/proc/\(process)/task") else { return [] }
    defer { unsafe closedir(directory) }
    var result: [Int32] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: entry.pointee.d_name) {
        unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
      }
      if let thread = Int32(name) { result.append(thread) }
    }
    return result
  }

  /// Nanoseconds in run queues: the second field of an open schedstat.
  static func wait(_ file: Int32) -> UInt64? {
    let fields = text(of: file, limit: 128).split(separator: UInt8(ascii: " "))
    return fields.count > 1 ? UInt64(String(decoding: fields[1], as: UTF8.self)) : nil
  }

  /// A thread of this process: nanoseconds in run queues, and how often its CPU was taken from it.
  static func account(ofThread thread: Int32) -> (waits: UInt64, switches: UInt64)? {
    func text(_ name: String, limit: Int) -> String? {
      let file = unsafe open("/proc/self/task/\(thread)/\(name)", O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { return nil }
      defer { close(file) }
      return String(decoding: self.text(of: file, limit: limit), as: UTF8.self)
    }
    guard let statistics = text("schedstat", limit: 128)?.split(separator: " "), statistics.count > 1,
      let waits = UInt64(statistics[1]),
      let line = text("status", limit: 8192)?.split(separator: "\n").first(where: { $0.hasPrefix("nonvoluntary_ctxt_switches:") }),
      let switches = line.split(whereSeparator: \.isWhitespace).last.flatMap({ UInt64($0) })
    else { return nil }
    return (waits, switches)
  }

  /// The waits of all threads of another process; 0 where that is not known.
  static func wait(ofProcess process: pid_t) -> UInt64 {
    threads(of: process).reduce(0) { total, thread in
      let file = unsafe open("/proc/\(process)/task/\(thread)/schedstat", O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { return total }
      defer { close(file) }
      return total + (wait(file) ?? 0)
    }
  }

  static func text(of file: Int32, limit: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    let count = unsafe pread(file, &bytes, limit, 0)
    return Array(bytes.prefix(max(0, count)))
  }
}

/// A thread's waits in run queues, from files kept open, so that a look costs a microsecond or two.
private final class WatchedThread {
  private let thread: Int32
  private let statistics: Int32
  private let status: Int32
  private var finished: UInt64 = 0
  private var ongoing: UInt64 = 0
  private var used: UInt64
  private var lastLook: UInt64

  /// nil when the kernel keeps no scheduler statistics, or the thread has ended.
  init?(_ thread: Int32) {
    self.thread = thread
    statistics = unsafe open("/proc/self/task/\(thread)/schedstat", O_RDONLY | O_CLOEXEC)
    status = unsafe open("/proc/self/task/\(thread)/stat", O_RDONLY | O_CLOEXEC)
    used = wcl_thread_cpu_nanoseconds(thread)
    lastLook = nanosecondsNow()
    guard statistics >= 0, status >= 0, SchedulerStatistics.wait(statistics) != nil else {
      closeFiles()
      return nil
    }
  }

  deinit { closeFiles() }

  private func closeFiles() {
    if statistics >= 0 { close(statistics) }
    if status >= 0 { close(status) }
  }

  /// Nanoseconds so far, a wait that is going on included.
  func waited() -> UInt64 {
    finished = max(finished, SchedulerStatistics.wait(statistics) ?? 0)
    let now = nanosecondsNow()
    let used = wcl_thread_cpu_nanoseconds(thread)
    let elapsed = now - lastLook, ran = used >= self.used ? used - self.used : 0
    (lastLook, self.used) = (now, used)
    // A wait is added to the statistics only when it ends. So a thread that is runnable, but whose CPU
    // clock stands still, waits: since the last look, less what it ran since.
    if ran < elapsed, wcl_thread_cpu_nanoseconds(thread) == used, isRunnable() {
      ongoing += elapsed - ran
    } else {
      ongoing = 0
    }
    return finished + ongoing
  }

  /// The state that follows the name in parentheses is R.
  private func isRunnable() -> Bool {
    let text = SchedulerStatistics.text(of: status, limit: 512)
    guard let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.endIndex else { return false }
    return text[end + 2] == UInt8(ascii: "R")
  }
}
