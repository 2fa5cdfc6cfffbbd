import CWallclockLinux
import WallclockCore
import WallclockMachine
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// A program in a process of its own, asked over a pipe for one sample at a time, by version 1 of the
/// sample protocol: it says `ready NAME` once it has warmed up, answers `run` with `ns N`, and ends at
/// `quit` or the end of its input.
///
/// Between its samples its process group is stopped (SIGSTOP), so that threads which spin while they
/// wait take nothing from the other side. The group is killed when this object goes, and by the system
/// when this process is killed.
package final class ExternalSide: ComparedSide {
  /// What the program calls itself.
  package private(set) var name = ""

  private let command: String
  private let patience: Duration
  private let isCancelled: () -> Bool
  private let process: pid_t
  private let to: Int32
  private let from: Int32
  private var unread: [UInt8] = []
  private var ended: Int32?

  /// Answers are short; a longer line is not one.
  private static let longestLine = 4096

  /// Starts `/bin/sh -c command` and waits until it is ready.
  ///
  /// - Parameters:
  ///   - patience: how long it may take to get ready, and to answer.
  ///   - isCancelled: asked while waiting.
  /// - Throws: `MeasureError`.
  package init(
    _ command: String, patience: Duration, isCancelled: @escaping () -> Bool = { false }
  ) throws(MeasureError) {
    self.command = command
    self.patience = patience
    self.isCancelled = isCancelled
    // A program that ended must be an error to report, not a signal that ends this one.
    signal(SIGPIPE, SIG_IGN)
    var to: Int32 = -1, from: Int32 = -1
    process = Self.onAllCPUs { unsafe wcl_spawn_shell(command, &to, &from) }
    (self.to, self.from) = (to, from)
    guard process > 0 else {
      throw MeasureError(.unavailable, "cannot start `\(command)` (errno \(-process))")
    }
    let answer = try answer("ready", to: "its start")
    name = answer.isEmpty ? command : answer
    pause()
  }

  deinit {
    guard process > 0 else { return }
    close(to)
    close(from)
    if ended == nil {
      // The group first: a stopped process dies of SIGKILL too.
      kill(-process, SIGKILL)
      kill(process, SIGKILL)
      var status: Int32 = 0
      _ = unsafe wcl_wait(process, 1, &status)
    } else {
      // Its children may be left.
      kill(-process, SIGKILL)
    }
  }

  /// A pool may have pinned this thread, which a program must not inherit: it gets every CPU this process may use.
  private static func onAllCPUs(_ body: () -> pid_t) -> pid_t {
    let all = Machine.host.fingerprint.cpuset.map(Int32.init)
    var now = [Int32](repeating: 0, count: max(1, all.count))
    let count = unsafe wcl_get_affinity(0, &now, Int32(now.count))
    guard count > 0, Int(count) < all.count else { return body() }
    _ = unsafe wcl_set_affinity(0, all, Int32(all.count))
    defer { _ = unsafe wcl_set_affinity(0, now, count) }
    return body()
  }

  private func pause() { kill(-process, SIGSTOP) }
  private func resume() { kill(-process, SIGCONT) }

  /// A sample is one run of the program, whatever it holds.
  package func warmUp(minimum: Duration, _ clock: SampleClock) throws(MeasureError) -> Double {
    _ = try sample(clock)
    return try sample(clock).nanoseconds
  }

  /// Waking a stopped process is part of no sample, but of the accounts: that much waiting is none of its own.
  private static let wakingNanoseconds = 200_000.0

  package func sample(_ clock: SampleClock) throws(MeasureError) -> TimedSample {
    // The threads of a pool, which may have served the other side, spin for so long; the program's would wait for their CPUs.
    usleep(UInt32(ThreadPool.defaultSpinNanoseconds / 1000 + 50))
    let before = SchedulerStatistics.wait(ofProcess: process)
    resume()
    try send("run\n")
    let text = try answer("ns", to: "run")
    pause()
    guard let nanoseconds = Double(text), nanoseconds > 0, nanoseconds < 1e15, text.allSatisfy({ $0.isNumber || $0 == "." })
    else { throw bad("`ns \(text.prefix(60))`", "`ns N`, N nanoseconds, a number above 0") }
    let after = SchedulerStatistics.wait(ofProcess: process)
    let lost = after > before ? Double(after - before) : 0
    return TimedSample(
      nanoseconds: nanoseconds, isDisturbed: lost > TimedSide.tolerableLoss * nanoseconds + Self.wakingNanoseconds)
  }

  private func send(_ line: String) throws(MeasureError) {
    var bytes = Array(line.utf8)
    let count = unsafe write(to, &bytes, bytes.count)
    // A line fits a pipe whose last line has been read.
    guard count == bytes.count else { throw gone(asked: line) }
  }

  /// The rest of the next line, which must begin with `word`.
  private func answer(_ word: String, to question: String) throws(MeasureError) -> String {
    let line = try nextLine(question)
    guard line == word || line.hasPrefix(word + " ") else {
      throw bad("`\(line.prefix(80))` as answer to \(question)", "a line that begins with `\(word)`")
    }
    return String(line.dropFirst(word.count + 1))
  }

  private func nextLine(_ question: String) throws(MeasureError) -> String {
    let end = nanosecondsNow() + UInt64(max(0, patience / .nanoseconds(1)))
    var searched = 0
    while true {
      if let newline = unread[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        let line = unread[..<newline]
        unread.removeSubrange(...newline)
        guard let text = String(validating: line, as: UTF8.self) else {
          throw bad("a line that is not UTF-8", "text")
        }
        return text.hasSuffix("\r") ? String(text.dropLast()) : text
      }
      guard unread.count < Self.longestLine else {
        throw bad("a line of more than \(Self.longestLine) bytes", "short lines")
      }
      searched = unread.count
      if isCancelled() { throw MeasureError(.interrupted, "interrupted while waiting for `\(command)`") }
      let now = nanosecondsNow()
      guard now < end else {
        throw MeasureError(
          .unavailable,
          "`\(command)` did not answer \(question) within \(patience); give it more time with --timeout, or see whether it flushes its output"
        )
      }
      var ready = pollfd(fd: from, events: Int16(POLLIN), revents: 0)
      // Woken now and then to see whether the user gave up.
      guard unsafe poll(&ready, 1, Int32(min(100, (end - now) / 1_000_000 + 1))) > 0 else { continue }
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = unsafe read(from, &bytes, bytes.count)
      if count < 0, errno == EINTR || errno == EAGAIN { continue }
      guard count > 0 else { throw gone(asked: question) }
      unread += bytes.prefix(count)
    }
  }

  private func bad(_ found: String, _ expected: String) -> MeasureError {
    MeasureError(
      .badAnswer, "`\(command)` wrote \(found); expected \(expected), on standard output and nothing else there")
  }

  /// The program closed its output: what became of it.
  private func gone(asked question: String) -> MeasureError {
    var status: Int32 = 0
    // Its output is closed before it is gone.
    for _ in 0..<50 {
      if unsafe wcl_wait(process, 0, &status) == 1 {
        ended = status
        break
      }
      usleep(10_000)
    }
    let signal = wcl_ending_signal(status)
    let what =
      ended == nil
      ? "closed its standard output"
      : signal > 0 ? "was ended by signal \(signal)" : "ended with status \(wcl_exit_code(status))"
    let line = question.hasSuffix("\n") ? String(question.dropLast()) : question
    return MeasureError(.unavailable, "`\(command)` \(what) before it answered \(line); what it wrote to standard error is above")
  }
}
