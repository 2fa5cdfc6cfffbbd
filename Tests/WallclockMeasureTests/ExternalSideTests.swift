import Testing
import WallclockCore
import WallclockMachine
import WallclockMeasure
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// Programs behind a pipe, good and bad: shell one-liners.
@Suite struct ExternalSideTests {
  private static let good = "echo ready shell; while read -r line; do case $line in run) echo ns 1000;; quit) exit;; esac; done"

  private func failure(_ command: String, patience: Duration = .seconds(20)) throws -> MeasureError {
    let error = #expect(throws: MeasureError.self, "\(command)") {
      let side = try ExternalSide(command, patience: patience)
      _ = try side.sample(.system())
    }
    return try #require(error)
  }

  @Test func aGoodOneGivesSamples() throws {
    let side = try ExternalSide(Self.good, patience: .seconds(20))
    #expect(side.name == "shell")
    for _ in 0..<5 { #expect(try side.sample(.system()).nanoseconds == 1000) }
  }

  @Test func twoAreCompared() throws {
    let slow = try ExternalSide("echo ready slow; while read -r line; do echo ns 1500.5; done", patience: .seconds(20))
    let fast = try ExternalSide(Self.good, patience: .seconds(20))
    var rule = DecisionRule(.either)
    rule.timeCap = .seconds(30)
    let decision = try PairedComparison.decide(slow, fast, rule: rule, clock: .system())
    #expect(decision.outcome == .better && abs(decision.ratio - 1.5005) < 1e-9)
  }

  @Test func badAnswersAreNamed() throws {
    for (command, found) in [
      ("echo hello", "hello"), ("echo ready; read -r l; echo ns fast", "fast"), ("echo ready; read -r l; echo ns -5", "-5"),
      ("echo ready; read -r l; echo ns 0", "0"), ("echo ready; read -r l; echo ns", "ns"),
      ("echo ready; read -r l; echo ns 1e999", "1e999"), ("echo ready; read -r l; echo nsx 5", "nsx"),
      ("head -c 100000 /dev/zero | tr '\\0' x", "4096"), ("printf '\\377\\376\\n'", "UTF-8"),
      ("echo ready; read -r l; yes | head -c 100000 | tr -d '\\n'", "4096"),
    ] {
      let error = try failure(command)
      #expect(error.code == .badAnswer && error.exitStatus == .badData, "\(command)")
      #expect(error.message.contains(found) && error.message.contains(command), "\(error.message)")
    }
  }

  @Test func whatEndsIsNamed() throws {
    for (command, found) in [
      ("exit 3", "status 3"), ("kill -9 $$", "signal 9"), ("echo ready; exit 0", "status 0"),
      ("echo ready; read -r l; exit 7", "status 7"), ("no-such-program-anywhere 2>/dev/null", "status 127"),
      ("exec >&-; sleep 100", "closed its standard output"),
    ] {
      let error = try failure(command)
      #expect(error.code == .unavailable && error.exitStatus == .unavailable, "\(command): \(error)")
      #expect(error.message.contains(found), "\(error.message)")
    }
  }

  @Test func silenceEnds() throws {
    for command in ["sleep 1000", "echo ready; sleep 1000"] {
      let error = try failure(command, patience: .milliseconds(300))
      #expect(error.code == .unavailable && error.message.contains("did not answer"), "\(error.message)")
    }
  }

  @Test func cancellingEndsTheWaiting() throws {
    let error = #expect(throws: MeasureError.self) {
      try ExternalSide("sleep 1000", patience: .seconds(1000), isCancelled: { true })
    }
    #expect(error?.code == .interrupted)
  }

  /// Nothing is left of a program and of what it started, whether stopped, running or deaf to signals.
  @Test func nothingIsLeft() throws {
    for command in [
      "sleep 1000 & echo ready $$ $!; while read -r l; do echo ns 5; done",
      "trap '' TERM HUP; sleep 1000 & echo ready $$ $!; while read -r l; do echo ns 5; done",
    ] {
      var processes: [pid_t] = []
      do {
        let side = try ExternalSide(command, patience: .seconds(20))
        processes = side.name.split(separator: " ").compactMap { pid_t($0) }
        #expect(processes.count == 2)
        for process in processes { #expect(state(of: process) != nil) }
        _ = try side.sample(.system())
      }
      for process in processes {
        // What it started is the system's to reap: a zombie is as good as gone.
        var turns = 0
        while let state = state(of: process), state != "Z", turns < 500 {
          usleep(10_000)
          turns += 1
        }
        #expect(state(of: process) ?? "Z" == "Z", "\(process)")
      }
    }
  }

  /// A pool has pinned this thread, which is no business of the program's.
  @Test func itMayUseEveryCPU() throws {
    let host = Machine.host.fingerprint
    let pool = try ThreadPool(cpus: [host.cpuset[0]])
    defer { pool.shutdown() }
    let side = try ExternalSide("echo ready $(nproc); while read -r l; do echo ns 5; done", patience: .seconds(20))
    #expect(side.name == "\(host.cpuset.count)")
  }

  @Test func betweenSamplesItIsStopped() throws {
    let side = try ExternalSide("echo ready $$; while read -r l; do echo ns 5; done", patience: .seconds(20))
    let process = try #require(pid_t(side.name))
    for _ in 0..<3 {
      var turns = 0
      while state(of: process) != "T", turns < 500 {
        usleep(10_000)
        turns += 1
      }
      #expect(state(of: process) == "T")
      _ = try side.sample(.system())
    }
  }

  /// The state letter of /proc/N/stat; nil when there is no such process.
  private func state(of process: pid_t) -> String? {
    guard let file = unsafe fopen("/proc/\(process)/stat", "r") else { return nil }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    guard unsafe fgets(&line, Int32(line.count), file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.lastIndex(of: ")").map { String(text[text.index($0, offsetBy: 2)]) }
  }
}
