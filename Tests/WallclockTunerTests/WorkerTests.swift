import Foundation
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockProfiles

@testable import WallclockTuner

/// A worker written in shell: it reads requests from and answers on descriptor 3.
private func shell(_ script: String) -> WorkerCommand {
  WorkerCommand(path: "/bin/sh", arguments: ["-c", script])
}

private let problem = Problem.gemm(.f32, m: 4, n: 16, k: 16)
private let schedule = Schedule(kernel: "gemm_f32f32_scalar_1x8", knobs: [.mc: 4], threads: 1)
private let ready = #"echo '{"kind":"ready","number":1}' >&3; "#
/// Answers `began` and `prepared` to the first request.
private let begin =
  ready
  + #"read -r request <&3; for kind in began prepared; do echo "{\"kind\":\"$kind\",\"number\":1}" >&3; done; "#

@Suite struct WorkerTests {
  private func attempt(_ script: String, best: Double? = nil) throws -> TrialVerdict {
    try WorkerTrial(shell(script), isCancelled: { false }).attempt(schedule, of: problem, best: best)
  }

  private func outcome(_ script: String, best: Double? = nil) throws -> CandidateOutcome? {
    guard case .rejected(let outcome, _) = try attempt(script, best: best) else { return nil }
    return outcome
  }

  @Test func admits() throws {
    let admitted =
      #"{"kind":"admitted","number":1,"nanoseconds":12.5,"check":{"worstErrorOverTolerance":0.25,"elementsChecked":64}}"#
    let verdict = try attempt(begin + #"echo '{"kind":"ran","number":1}' >&3; echo '\#(admitted)' >&3; sleep 60"#)
    #expect(
      verdict
        == .admitted(CorrectnessCheck(worstErrorOverTolerance: 0.25, elementsChecked: 64), nanoseconds: 12.5))
  }

  @Test func aLineMayComeInPieces() throws {
    let verdict = try attempt(
      begin + #"printf '{"kind":"rej' >&3; sleep 0.1; printf 'ected","number":1' >&3; sleep 0.1; "#
        + #"printf ',"outcome":"illegal","reason":"why"}\n' >&3; sleep 60"#)
    // Not due before it ran.
    #expect(verdict == .rejected(.crashed(signal: 0), reason: "its process answered nonsense"))
    let early = try attempt(
      ready + #"read -r r <&3; printf '{"kind":"began","number":1}\n{"kind":"rej' >&3; sleep 0.1; "#
        + #"printf 'ected","number":1,"outcome":"illegal","reason":"why"}\n' >&3; sleep 60"#)
    #expect(early == .rejected(.illegal, reason: "why"))
  }

  @Test(arguments: [
    ("kill -SEGV $$", 11), ("kill -ABRT $$", 6), ("kill -KILL $$", 9), ("exit 0", 0), ("exit 3", 0),
  ])
  func namesHowItDied(_ ending: String, _ signal: Int) throws {
    #expect(try outcome(begin + ending) == .crashed(signal: signal))
  }

  @Test func itsLastWordsAreKept() throws {
    let verdict = try attempt(begin + #"echo first; printf 'Fatal error: \001no\n\n' >&2; kill -ILL $$"#)
    #expect(verdict == .rejected(.crashed(signal: 4), reason: "its process died of SIGILL: Fatal error: no"))
  }

  @Test func memoryThatRanOut() throws {
    let limit = TrialLimits(problem, threads: 1, best: nil).memoryBytes
    #expect(try outcome(begin + "echo 'AlignedBuffer: out of memory' >&2; kill -ILL $$") == .outOfMemory(limitBytes: limit))
    #expect(try outcome(begin + "exit 137") == .outOfMemory(limitBytes: limit))
  }

  @Test(arguments: [
    #"echo garbage >&3"#, #"printf '\377\376\000\n' >&3"#, #"printf '%070000d' 0 >&3"#, #"echo >&3"#, #"echo '{}' >&3"#,
    #"echo '{"kind":"ran","number":2}' >&3"#, #"echo '{"kind":"ready","number":1}' >&3"#,
    #"echo '{"kind":"admitted","number":1}' >&3"#, #"echo '[[[[[[[[[[[[[[[[' >&3"#,
    #"echo '{"kind":"ran","number":99999999999999999999999999}' >&3"#,
    #"echo '{"kind":"ran","number":1}' >&3; echo '{"kind":"admitted","number":1,"nanoseconds":-1,"check":{"worstErrorOverTolerance":0,"elementsChecked":1}}' >&3"#,
    #"echo '{"kind":"ran","number":1}' >&3; echo '{"kind":"admitted","number":1,"nanoseconds":1,"check":{"worstErrorOverTolerance":2,"elementsChecked":1}}' >&3"#,
    #"echo '{"kind":"ran","number":1}' >&3; echo '{"kind":"rejected","number":1,"outcome":"nice","reason":""}' >&3"#,
  ])
  func nonsenseCountsAsACrash(_ script: String) throws {
    let verdict = try attempt(begin + script + "; sleep 60")
    #expect(verdict == .rejected(.crashed(signal: 0), reason: "its process answered nonsense"))
  }

  @Test func aHangIsEnded() throws {
    // With a best of nothing the patience is at its shortest.
    #expect(try outcome(begin + "sleep 60", best: 1) == .timedOut(seconds: TrialLimits.shortestPatienceSeconds))
  }

  @Test func aWorkerThatCannotStart() throws {
    let trials: [(WorkerCommand, String)] = [
      (WorkerCommand(path: "/nowhere/wallclock", arguments: []), "/nowhere/wallclock"),
      (shell("exit 64"), "exit status 64"), (shell("echo 'no such option' >&2; exit 64"), "no such option"),
      (shell("echo hello >&3; sleep 60"), "nonsense"), (shell("kill -SEGV $$"), "SIGSEGV"),
      (shell(#"echo '{"kind":"ready","number":7}' >&3; sleep 60"#), "worker process"),
    ]
    for (command, saying) in trials {
      let error = #expect(throws: TuneError.self) {
        try WorkerTrial(command, isCancelled: { false }).attempt(schedule, of: problem, best: nil)
      }
      #expect(error?.code == .workerFailed)
      #expect(error?.message.contains(saying) == true, "\(error?.message ?? "")")
    }
  }

  @Test func aWorkerThatDiesIdleIsReplacedAFewTimes() throws {
    let folder = FileManager.default.temporaryDirectory.appending(component: "wallclock-worker-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let mark = folder.appending(component: "mark").path(percentEncoded: false)
    // The first leaves once it is ready, its successor does its work.
    let rejected = #"echo '{"kind":"rejected","number":1,"outcome":"illegal","reason":"no"}'"#
    let first = #"if [ ! -e \#(mark) ]; then : > \#(mark); echo '{"kind":"ready","number":1}' >&3; exit 0; fi; "#
    let second =
      ready + #"while read -r request <&3; do n=$(printf '%s' "$request" | sed 's/.*"number":\([0-9]*\).*/\1/'); "#
      + #"echo "{\"kind\":\"began\",\"number\":$n}" >&3; \#(rejected) | sed "s/number\":1/number\":$n/" >&3; done"#
    let trial = WorkerTrial(shell(first + second), isCancelled: { false })
    #expect(try trial.attempt(schedule, of: problem, best: nil) == .rejected(.illegal, reason: "no"))
    // And is kept for the next.
    #expect(try trial.attempt(schedule, of: problem, best: nil) == .rejected(.illegal, reason: "no"))

    let error = #expect(throws: TuneError.self) { try attempt(ready + "exit 5") }
    #expect(error?.code == .workerFailed)
  }

  /// What a predecessor spoilt is not the candidate's fault: the verdict comes from a fresh worker.
  @Test func aFailureInAUsedWorkerIsTriedAgain() throws {
    let began = #"echo "{\"kind\":\"began\",\"number\":$n}" >&3"#
    let number = #"n=$(printf '%s' "$request" | sed 's/.*"number":\([0-9]*\).*/\1/')"#
    let script =
      ready + #"read -r request <&3; \#(number); \#(began); "#
      + #"echo "{\"kind\":\"rejected\",\"number\":$n,\"outcome\":\"illegal\",\"reason\":\"$$\"}" >&3; "#
      + #"read -r request <&3; \#(number); \#(began); kill -SEGV $$"#
    let trial = WorkerTrial(shell(script), isCancelled: { false })
    let first = try trial.attempt(schedule, of: problem, best: nil)
    let second = try trial.attempt(schedule, of: problem, best: nil)
    guard case .rejected(.illegal, let one) = first, case .rejected(.illegal, let two) = second else {
      Issue.record("\(first), \(second)")
      return
    }
    #expect(one != two, "the same worker")
  }

  @Test func interruptionIsHeardDuringATrial() throws {
    var asked = 0
    let trial = WorkerTrial(shell(begin + "sleep 60")) {
      asked += 1
      return asked > 3
    }
    let error = #expect(throws: TuneError.self) { try trial.attempt(schedule, of: problem, best: nil) }
    #expect(error?.code == .interrupted)
  }

  @Test func nothingAWorkerStartsOutlivesIt() throws {
    let folder = FileManager.default.temporaryDirectory.appending(component: "wallclock-worker-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(component: "pid")
    _ = try attempt(begin + "sleep 1000 & echo $! > \(file.path(percentEncoded: false)); exit 1")
    let id = try String(contentsOf: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    // Gone, or a zombie nobody has reaped yet; a process does not end in the moment it is killed.
    func isRunning() -> Bool {
      guard let state = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8) else { return false }
      return !(state.split(separator: ")").last?.hasPrefix(" Z") ?? false)
    }
    for _ in 0..<1000 where isRunning() { usleep(10_000) }
    #expect(!isRunning())
  }

  // MARK: - The pieces

  @Test func linesAreCutWhereverTheyArrive() {
    var buffer = LineBuffer(longest: 8)
    #expect(buffer.next() == .incomplete)
    buffer.append("ab".utf8)
    #expect(buffer.next() == .incomplete)
    buffer.append("c\n\nd\nefghijkl".utf8)
    #expect(buffer.next() == .line(Array("abc".utf8)))
    #expect(buffer.next() == .line([]))
    #expect(buffer.next() == .line(Array("d".utf8)))
    #expect(buffer.next() == .incomplete)
    buffer.append("m".utf8)
    #expect(buffer.next() == .tooLong)
    buffer.append("\n".utf8)
    #expect(buffer.next() == .tooLong)
  }

  @Test func messagesSurviveTheChannel() throws {
    let request = WorkerProtocol.Request(
      number: 3, problem: problem, schedule: schedule, memoryBytes: 5, slowAbove: 1.5)
    let line = try WorkerProtocol.line(request)
    #expect(line.last == UInt8(ascii: "\n") && !line.dropLast().contains(UInt8(ascii: "\n")))
    #expect(WorkerProtocol.message(WorkerProtocol.Request.self, line.dropLast()) == request)
    let verdicts: [TrialVerdict] = [
      .admitted(CorrectnessCheck(worstErrorOverTolerance: 0.5, elementsChecked: 9), nanoseconds: 3),
      .rejected(.wrongResult(worstErrorOverTolerance: .infinity), reason: "C[0, 0] is nan\n\"quoted\""),
      .rejected(.slow(timesTheBest: 20), reason: ""), .rejected(.illegal, reason: "kc"),
    ]
    for verdict in verdicts {
      let line = try WorkerProtocol.line(WorkerProtocol.Reply(verdict, number: 4))
      #expect(WorkerProtocol.message(WorkerProtocol.Reply.self, line.dropLast())?.verdict == verdict)
    }
  }

  @Test func anyBytesAreAMessageOrNone() {
    var random = SystemRandomNumberGenerator()
    let seed = UInt64.random(in: 0 ... .max, using: &random)
    var generator = OperandGenerator(seed: seed)
    let whole = Array(#"{"kind":"rejected","number":1,"outcome":"slow","figure":2,"reason":"r"}"#.utf8)
    for _ in 0..<2000 {
      var bytes = whole
      for _ in 0..<(1 + generator.next() % 4) {
        bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next())
      }
      bytes.removeLast(Int(generator.next() % 8))
      let reply = WorkerProtocol.message(WorkerProtocol.Reply.self, bytes)
      if let reply, case .admitted = reply.verdict { Issue.record("seed \(seed): \(bytes) admits a candidate") }
    }
  }

  @Test func brokenTrialsAreClassified() {
    let cases: [(BrokenTrial, CandidateOutcome)] = [
      (BrokenTrial(cause: .tooLate(seconds: 2), signal: 9), .timedOut(seconds: 2)),
      (BrokenTrial(cause: .closed, signal: 11), .crashed(signal: 11)),
      (BrokenTrial(cause: .closed, exitStatus: 0), .crashed(signal: 0)),
      (BrokenTrial(cause: .nonsense), .crashed(signal: 0)),
      (BrokenTrial(cause: .closed, exitStatus: 137, ranOutOfMemory: true), .outOfMemory(limitBytes: 1000)),
      // The system's choice when memory is short.
      (BrokenTrial(cause: .closed, signal: 9, systemWasOutOfMemory: true), .outOfMemory(limitBytes: 1000)),
      (BrokenTrial(cause: .closed, signal: 9), .crashed(signal: 9)),
      (BrokenTrial(cause: .closed, signal: 11, systemWasOutOfMemory: true), .crashed(signal: 11)),
      (BrokenTrial(cause: .closed, signal: 4, lastWords: "out of memory for 9 bytes"), .outOfMemory(limitBytes: 1000)),
    ]
    for (broken, outcome) in cases {
      let found = broken.outcome(limitBytes: 1000)
      #expect(found.outcome == outcome, "\(broken)")
      #expect(!found.reason.isEmpty)
    }
    for code in [KernelError.Code.badKnob, .shapeMismatch, .rejected] {
      #expect(CandidateOutcome(KernelError(code, "")) == .illegal)
    }
    for code in [KernelError.Code.unknownKernel, .missingISA, .unsupported] {
      #expect(CandidateOutcome(KernelError(code, "")) == .unavailable)
    }
    #expect(
      CandidateOutcome(KernelError(.wrongResult, "", worstErrorOverTolerance: 7))
        == .wrongResult(worstErrorOverTolerance: 7))
  }

  @Test func limitsGrowWithTheProblemAndShrinkWithTheBest() {
    let small = TrialLimits(problem, threads: 1, best: nil)
    let large = TrialLimits(.gemm(.f32, m: 4096, n: 4096, k: 4096), threads: 1, best: nil)
    #expect(large.memoryBytes > small.memoryBytes && large.runSeconds > small.runSeconds)
    // 64 MiB each of A, W and C, in several forms.
    #expect(large.memoryBytes > 6 * 3 * (64 << 20))
    #expect(TrialLimits(problem, threads: 1, best: 1000).runSeconds == TrialLimits.shortestPatienceSeconds)
    let known = TrialLimits(.gemm(.f32, m: 4096, n: 4096, k: 4096), threads: 1, best: 1e9)
    #expect(known.runSeconds == 2 * TrialLimits.patienceRatio)
    let huge = Problem.gemm(.f32, m: 1 << 24, n: 1 << 24, k: 1 << 24)
    #expect(TrialLimits(huge, threads: 1, best: nil).memoryBytes > 0)
  }

  @Test func faultsAreRead() throws {
    let faults = try FaultInjection("a:segfault,b:loop")
    #expect(faults.inTrial(of: "a") == .segfault && faults.inTrial(of: "b") == .loop && faults.inTrial(of: "c") == nil)
    #expect(try FaultInjection("").inTrial(of: "a") == nil)
    let timed = try FaultInjection("a:timed-segfault,b:timed-loop,c:loop")
    #expect(timed.whenTimed("a") == .segfault && timed.whenTimed("b") == .loop && timed.whenTimed("c") == nil)
    #expect(timed.inTrial(of: "a") == nil && timed.inTrial(of: "b") == nil && timed.inTrial(of: "c") == .loop)
    for bad in ["a", "a:", "a:crash", "a:loop:loop", ":"] {
      #expect(throws: TuneError.self) { try FaultInjection(bad) }
    }
  }

  @Test func buildsThatDifferAreTold() throws {
    let file = FileManager.default.temporaryDirectory.appending(component: "wallclock-build-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    var content = Data((0..<300_001).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    func hash() throws -> String {
      try content.write(to: file)
      return BuildIdentity.hash(ofFile: file.path(percentEncoded: false))
    }
    let first = try hash()
    #expect(first.count == 16)
    #expect(try hash() == first)
    var seen: Set<String> = [first]
    for position in [0, 7, 131_071, 131_072, 300_000] {
      content[position] ^= 0x80
      #expect(seen.insert(try hash()).inserted, "byte \(position) is not in the hash")
      content[position] ^= 0x80
    }
    #expect(BuildIdentity.hash(ofFile: "/nowhere/at all") != BuildIdentity.hash(ofFile: "/nowhere/at all"))
  }
}

@Suite struct RejectionRecordTests {
  private func rejection(_ m: Int, _ outcome: CandidateOutcome, kernel: String = "k", mc: Int = 1) -> CandidateRejection {
    CandidateRejection(
      problem: .gemm(.f32, m: m, n: 8, k: 8), schedule: Schedule(kernel: kernel, knobs: [.mc: mc]), outcome: outcome,
      reason: "why")
  }

  @Test func aKernelThatCrashesOftenIsLeftAlone() throws {
    var record = RejectionRecord(session: nil, build: "b")
    let other = Schedule(kernel: "k", knobs: [.mc: 99])
    let problem = Problem.gemm(.f32, m: 1, n: 1, k: 1)
    for mc in 1...2 { try record.add(rejection(8, .crashed(signal: 11), mc: mc)) }
    try record.add(rejection(8, .crashed(signal: 11), mc: 2))
    for mc in 10...30 { try record.add(rejection(8, .wrongResult(worstErrorOverTolerance: 2), mc: mc)) }
    #expect(record.reasonToAvoid(other, for: problem) == nil)
    try record.add(rejection(8, .outOfMemory(limitBytes: 1), mc: 3))
    #expect(record.reasonToAvoid(other, for: problem)?.contains("3 other") == true)
    #expect(record.reasonToAvoid(Schedule(kernel: "l"), for: problem) == nil)
  }

  @Test func aKernelThatHangsIsStillTriedOnSmallerProblems() throws {
    var record = RejectionRecord(session: nil, build: "b")
    for m in [64, 128, 256] { try record.add(rejection(m, .timedOut(seconds: 2))) }
    let candidate = Schedule(kernel: "k", knobs: [.mc: 99])
    #expect(record.reasonToAvoid(candidate, for: .gemm(.f32, m: 32, n: 8, k: 8)) == nil)
    #expect(record.reasonToAvoid(candidate, for: .gemm(.f32, m: 64, n: 8, k: 8)) != nil)
    #expect(record.reasonToAvoid(candidate, for: .gemm(.f32, m: 512, n: 8, k: 8)) != nil)
  }
}
