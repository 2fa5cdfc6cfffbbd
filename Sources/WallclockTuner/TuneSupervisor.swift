import CWallclockLinux
import WallclockCore
import WallclockMeasure
import WallclockProfiles

#if canImport(Glibc)
  import Glibc
#endif

/// Runs a tune in a process of its own, and starts another when a candidate takes that with it.
///
/// A candidate that behaved in its trial may still crash or hang when it is timed. The process that times it
/// marks what it runs in shared memory; when it dies of a fault, or a run comes to no end, that candidate is
/// rejected by name, and the tune goes on without it. A process that was killed from outside rejects nobody.
public final class TuneSupervisor {
  private let command: WorkerCommand
  private let session: TuneSession
  private let effort: TuneEffort
  private let build: String
  private let isCancelled: () -> Bool
  private let report: (Tuner.Event) -> Void
  private var candidates: [Int: MarkedCandidate] = [:]
  private var restarts = 0
  private var evaluations = 0

  /// - Parameters:
  ///   - command: starts a process that calls `MeasuringProcess.serve`.
  ///   - build: whose kernels these are.
  public init(
    _ command: WorkerCommand, session: TuneSession, effort: TuneEffort, build: String = BuildIdentity.current,
    isCancelled: @escaping () -> Bool = { false }, report: @escaping (Tuner.Event) -> Void
  ) {
    self.command = command
    self.session = session
    self.effort = effort
    self.build = build
    self.isCancelled = isCancelled
    self.report = report
  }

  /// As `Tuner.run`.
  ///
  /// - Throws: `TuneError.interrupted` when cancelled; `SupervisedError` with what the other process threw.
  public func run(_ targets: [TuneTarget], for passes: [ForwardPass] = []) throws {
    let clock = BudgetClock(effort.budget)
    while true {
      var effort = effort
      effort.evaluations -= evaluations
      let request = MeasuringProtocol.Request(
        journal: session.journal.url, session: session.id, build: build, effort: effort,
        spent: .nanoseconds(Int64(clock.budget - clock.left)), targets: targets, passes: passes)
      guard let rejection = try measure(request) else { return }
      try session.record(rejection, build: build)
      report(
        .rejected(
          TuneTarget(rejection.problem, threads: rejection.schedule.threads), rejection, isOnRecord: false))
      restarts += 1
    }
  }

  /// Listens to one process until it is done.
  ///
  /// - Returns: nil; or the candidate that ended it.
  private func measure(_ request: MeasuringProtocol.Request) throws -> CandidateRejection? {
    candidates = [:]
    let mark = try SharedMark()
    let process = try WorkerProcess(command, shared: mark.file)
    guard process.send(try WorkerProtocol.line(request)) else {
      return try verdict(on: process, .closed, mark)
    }
    let watch = HangWatch(process.id, mark)
    while true {
      let received = process.receive(seconds: 1, sliceMilliseconds: 1000, isCancelled: isCancelled)
      switch received {
      case .line(let line):
        guard let message = WorkerProtocol.message(MeasuringProtocol.Message.self, line) else {
          return try verdict(on: process, .nonsense, mark)
        }
        switch message {
        case .event(let event): relay(event)
        case .candidate(let number, let candidate): candidates[number] = candidate
        case .failed(let message, let status):
          throw SupervisedError(message, ExitStatus(rawValue: status) ?? .internal)
        case .done: return nil
        }
      case .interrupted: throw TuneError.interrupted
      case .closed, .nonsense: return try verdict(on: process, received, mark)
      case .tooLate:
        if isCancelled() { throw TuneError.interrupted }
        if let candidate = watch.hung(among: candidates) {
          let broken = process.failed(.tooLate, seconds: candidate.patienceSeconds)
          let (outcome, reason) = broken.outcome(limitBytes: 0)
          return rejection(candidate, outcome, reason)
        }
      }
    }
  }

  /// Why a process ended without a word: the candidate it ran, if it was that one's fault.
  private func verdict(
    on process: WorkerProcess, _ received: WorkerProcess.Received, _ mark: SharedMark
  ) throws -> CandidateRejection? {
    let broken = process.failed(received, seconds: 0)
    let (outcome, reason) = broken.outcome(limitBytes: 0)
    guard broken.isFault, let candidate = candidates[mark.now.number] else {
      throw TuneError(.workerFailed, "the process that measures is gone: \(reason); run the same command again to go on")
    }
    return rejection(candidate, outcome, reason)
  }

  private func rejection(
    _ candidate: MarkedCandidate, _ outcome: CandidateOutcome, _ reason: String
  ) -> CandidateRejection {
    CandidateRejection(
      problem: candidate.problem, schedule: candidate.schedule, outcome: outcome, reason: "while it was timed, \(reason)")
  }

  /// What a process finds on record was told already by the one before.
  private func relay(_ event: Tuner.Event) {
    switch event {
    case .alreadySettled where restarts > 0, .rejected(_, _, isOnRecord: true) where restarts > 0: return
    case .settled(_, _, candidates: let count, _, _), .searched(_, _, _, evaluations: let count): evaluations += count
    default: break
    }
    report(event)
  }
}

extension BrokenTrial {
  /// Whether the process ended by what it did itself: signals from outside are nobody's fault.
  fileprivate var isFault: Bool {
    signal == 0 || [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS].contains(Int32(signal))
  }
}

/// Notices a run that comes to no end: its process has used much CPU time since it began, on each of the CPUs
/// that its pool spins on. Time in which it was stopped, or the machine had no CPU for it, does not count.
private final class HangWatch {
  private let process: pid_t
  private let mark: SharedMark
  private var last: (runs: UInt64, nanoseconds: Int64)?

  init(_ process: pid_t, _ mark: SharedMark) {
    self.process = process
    self.mark = mark
  }

  /// The candidate that is hung, if one is. To be asked now and then.
  func hung(among candidates: [Int: MarkedCandidate]) -> MarkedCandidate? {
    let (number, runs) = mark.now
    let used = wcl_process_cpu_nanoseconds(process)
    guard number != 0, used >= 0 else {
      last = nil
      return nil
    }
    guard let last, last.runs == runs else {
      last = (runs, used)
      return nil
    }
    guard let candidate = candidates[number] else { return nil }
    let limit = candidate.patienceSeconds * 1e9 * Double(candidate.schedule.threads)
    return Double(used - last.nanoseconds) > limit ? candidate : nil
  }
}

/// What the process that measures threw.
struct SupervisedError: Diagnostic {
  enum Code: String, Sendable { case supervised }
  let code = Code.supervised
  let message: String
  let exitStatus: ExitStatus

  init(_ message: String, _ exitStatus: ExitStatus) {
    self.message = message
    self.exitStatus = exitStatus
  }
}
