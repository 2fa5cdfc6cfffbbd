import CWallclockLinux
import WallclockCore
import WallclockMachine
import WallclockMeasure
import WallclockProfiles

#if canImport(Glibc)
  import Glibc
#endif

/// How to start a worker: a program and the arguments that make it serve as one, as `wallclock tune-worker`.
public struct WorkerCommand: Sendable {
  public var path: String
  public var arguments: [String]

  /// - Parameters:
  ///   - path: the program, which must call `AdmissionWorker.serve`.
  ///   - arguments: without the program's name.
  public init(path: String, arguments: [String]) {
    self.path = path
    self.arguments = arguments
  }
}

/// A worker as its tuner sees it.
final class WorkerProcess {
  let id: pid_t
  private let channel: Int32
  private let log: Int32
  private var lines = LineBuffer()
  private var ending: wcl_worker_ending?
  private let memoryKillsAtStart = WorkerProcess.memoryKills()
  /// Candidates it has run; one that ran none has only itself to blame.
  var trials = 0

  /// - Parameter shared: a descriptor it inherits as its number 4.
  init(_ command: WorkerCommand, shared: Int32 = -1) throws(TuneError) {
    var channel: Int32 = -1
    var log: Int32 = -1
    let words = [command.path] + command.arguments
    let bytes: [CChar] = words.reduce(into: []) { bytes, word in
      bytes += word.utf8.map { CChar(bitPattern: $0) }
      bytes.append(0)
    }
    id = unsafe wcl_worker_start(command.path, bytes, words.count, shared, &channel, &log)
    guard id > 0 else {
      throw TuneError(
        .workerFailed,
        "cannot start \(command.path) as a worker process: \(unsafe String(cString: strerror(-id)))")
    }
    self.channel = channel
    self.log = log
  }

  deinit {
    _ = end(graceMilliseconds: 0)
    close(channel)
    close(log)
  }

  enum Received {
    case line([UInt8])
    /// The other side is gone.
    case closed
    /// Something that is no line.
    case nonsense
    case tooLate
    case interrupted
  }

  func send(_ line: [UInt8]) -> Bool { unsafe wcl_worker_send(channel, line, line.count) == 0 }

  /// - Parameters:
  ///   - seconds: how long to wait; 0 takes what is there.
  ///   - sliceMilliseconds: how often to ask whether it is cancelled.
  func receive(seconds: Double, sliceMilliseconds: Double = 50, isCancelled: () -> Bool) -> Received {
    let start = nanosecondsNow()
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      switch lines.next() {
      case .line(let line): return .line(line)
      case .tooLong: return .nonsense
      case .incomplete: break
      }
      let left = seconds - Double(nanosecondsNow() - start) / 1e9
      if left <= 0 && seconds > 0 { return .tooLate }
      // Short slices, so that an interruption is heard.
      let slice = Int32(min(sliceMilliseconds, max(0, left * 1000).rounded(.up)))
      let got = unsafe wcl_worker_receive(channel, &chunk, chunk.count, slice)
      if got > 0 {
        lines.append(chunk.prefix(got))
      } else if got == 0 || got != -Int(EAGAIN) {
        return .closed
      } else if seconds == 0 {
        return lines.isEmpty ? .tooLate : .nonsense
      } else if isCancelled() {
        return .interrupted
      }
    }
  }

  /// Waits a moment for it to end, then kills it with all it started.
  func end(graceMilliseconds: Int32) -> wcl_worker_ending {
    if let ending { return ending }
    let ending = wcl_worker_end(id, graceMilliseconds)
    self.ending = ending
    return ending
  }

  /// Ends it, and says how it failed.
  ///
  /// - Parameters:
  ///   - received: what came in place of what was due.
  ///   - seconds: how long that was waited for.
  func failed(_ received: Received, seconds: Double) -> BrokenTrial {
    let cause: BrokenTrial.Cause =
      switch received {
      case .closed: .closed
      case .tooLate: .tooLate(seconds: seconds)
      case .line, .nonsense, .interrupted: .nonsense
      }
    // Whoever closed the channel is dying of something that has a name.
    let ending = end(graceMilliseconds: cause == .closed ? 5000 : 0)
    return BrokenTrial(
      cause: cause, signal: ending.was_killed == 0 ? Int(ending.signal) : 0, exitStatus: Int(ending.status),
      ranOutOfMemory: ending.is_out_of_memory != 0,
      // Who sent a signal is not told; the kernel counts those it sends for want of memory.
      systemWasOutOfMemory: Self.memoryKills() > memoryKillsAtStart, lastWords: lastWords)
  }

  /// Processes that the kernel has ended since it started because memory was short, here or in a control group;
  /// 0 where it does not say.
  private static func memoryKills() -> Int {
    HostSource().text("/proc/vmstat").flatMap { text in
      text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }.flatMap { Int($0.dropFirst(9)) }
    } ?? 0
  }

  /// The last line it printed, shortened; empty when it printed none.
  var lastWords: String {
    var bytes = [UInt8](repeating: 0, count: 2048)
    let size = lseek(log, 0, SEEK_END)
    let count = unsafe pread(log, &bytes, bytes.count, max(0, size - bytes.count))
    guard count > 0 else { return "" }
    let text = String(decoding: bytes.prefix(count), as: UTF8.self)
    return String(text.split(whereSeparator: \.isNewline).last.map { $0.filter(\.isPrintable).prefix(300) } ?? "")
  }
}

extension Character {
  fileprivate var isPrintable: Bool { unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 } }
}

/// How a trial ended that brought no verdict.
struct BrokenTrial: Equatable {
  enum Cause: Equatable {
    case tooLate(seconds: Double)
    case nonsense
    case closed
  }
  var cause: Cause
  /// The signal it died of by itself, or 0.
  var signal = 0
  var exitStatus = 0
  var ranOutOfMemory = false
  /// Whether the kernel ended a process for want of memory meanwhile.
  var systemWasOutOfMemory = false
  var lastWords = ""

  /// What that says of the candidate.
  ///
  /// - Parameter limitBytes: what the worker might grow by.
  func outcome(limitBytes: Int) -> (outcome: CandidateOutcome, reason: String) {
    let limit = "\(limitBytes >> 20) MiB more than the worker had"
    let words = lastWords.isEmpty ? "" : ": \(lastWords)"
    if case .tooLate(let seconds) = cause {
      return (.timedOut(seconds: seconds), "not done after \((seconds * 10).rounded() / 10) s; its process was ended")
    }
    if ranOutOfMemory || (signal != 0 && lastWords.contains("out of memory")) {
      return (.outOfMemory(limitBytes: limitBytes), "asked for more memory than its limit, \(limit)\(words)")
    }
    if signal == SIGKILL, systemWasOutOfMemory {
      return (.outOfMemory(limitBytes: limitBytes), "the system was short of memory and ended its process")
    }
    if signal != 0 { return (.crashed(signal: signal), "its process died of \(Self.name(ofSignal: signal))\(words)") }
    if cause == .nonsense { return (.crashed(signal: 0), "its process answered nonsense\(words)") }
    return (.crashed(signal: 0), "its process left with exit status \(exitStatus)\(words)")
  }

  static func name(ofSignal number: Int) -> String {
    let names: [Int32: String] = [
      SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS", SIGILL: "SIGILL", SIGFPE: "SIGFPE", SIGABRT: "SIGABRT",
      SIGTRAP: "SIGTRAP", SIGKILL: "SIGKILL", SIGTERM: "SIGTERM", SIGSYS: "SIGSYS", SIGXCPU: "SIGXCPU",
    ]
    return names[Int32(truncatingIfNeeded: number)] ?? "signal \(number)"
  }
}
