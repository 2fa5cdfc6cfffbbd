import WallclockCore
import WallclockProfiles

/// Tries candidates in a worker process, which is kept from one to the next and replaced when it fails.
///
/// A failure counts against a candidate when it comes after the worker began with it, and when the worker
/// had run no other before: one that spoils the worker's memory may let the next one pay. So a candidate that
/// fails in a used worker is tried again in a fresh one. Time is not asked for twice.
final class WorkerTrial: CandidateTrial {
  private let command: WorkerCommand
  private let isCancelled: () -> Bool
  private var worker: WorkerProcess?
  private var number = 0

  /// A worker that dies before it begins with what it is given this often in a row is no worker.
  private static let mostStillbirths = 3
  private static let startSeconds = 60.0

  init(_ command: WorkerCommand, isCancelled: @escaping () -> Bool) {
    self.command = command
    self.isCancelled = isCancelled
  }

  func attempt(_ schedule: Schedule, of problem: Problem, best: Double?) throws -> TrialVerdict {
    let limits = TrialLimits(problem, threads: schedule.threads, best: best)
    var stillbirths = 0
    var last = ""
    while stillbirths < Self.mostStillbirths {
      if isCancelled() { throw TuneError.interrupted }
      let worker = try ready()
      let isFresh = worker.trials == 0
      switch try converse(worker, schedule, problem, limits, best) {
      case .verdict(let verdict): return verdict
      case .notBegun(let broken):
        stillbirths += 1
        last = broken.outcome(limitBytes: limits.memoryBytes).reason
      case .broken(let broken):
        if case .tooLate = broken.cause {} else if !isFresh { continue }
        let (outcome, reason) = broken.outcome(limitBytes: limits.memoryBytes)
        return .rejected(outcome, reason: reason)
      }
    }
    throw TuneError(
      .workerFailed,
      "the worker process ended \(stillbirths) times before it began with \(schedule) for \(problem): \(last)")
  }

  /// The worker at hand, or a new one that has said it is ready.
  private func ready() throws -> WorkerProcess {
    if let worker { return worker }
    let made = try WorkerProcess(command)
    let received = made.receive(seconds: Self.startSeconds, isCancelled: isCancelled)
    if case .interrupted = received { throw TuneError.interrupted }
    if case .line(let line) = received,
      let reply = WorkerProtocol.message(WorkerProtocol.Reply.self, line), reply.kind == .ready,
      reply.number == WorkerProtocol.version
    {
      worker = made
      return made
    }
    let reason = made.failed(received, seconds: Self.startSeconds).outcome(limitBytes: 0).reason
    throw TuneError(.workerFailed, "\(command.path) does not serve as a worker process: \(reason)")
  }

  private enum Conversation {
    case verdict(TrialVerdict)
    /// It failed before it came to the candidate.
    case notBegun(BrokenTrial)
    case broken(BrokenTrial)
  }

  private func converse(
    _ worker: WorkerProcess, _ schedule: Schedule, _ problem: Problem, _ limits: TrialLimits, _ best: Double?
  ) throws -> Conversation {
    // Nothing is due from an idle worker: one that has ended, or speaks, is of no more use.
    let idle = worker.receive(seconds: 0, isCancelled: { false })
    guard case .tooLate = idle else { return .notBegun(discard(idle, seconds: 0)) }
    number += 1
    let request = WorkerProtocol.Request(
      number: number, problem: problem, schedule: schedule, memoryBytes: limits.memoryBytes,
      slowAbove: best.map { $0 * TrialLimits.slowRatio })
    guard worker.send(try WorkerProtocol.line(request)) else { return .notBegun(discard(.closed, seconds: 0)) }

    var hasBegun = false
    // What is due, and how long it may take.
    var due = WorkerProtocol.Reply.Kind.began
    var seconds = Self.startSeconds
    while true {
      let received = worker.receive(seconds: seconds, isCancelled: isCancelled)
      if case .interrupted = received {
        _ = discard(received, seconds: seconds)
        throw TuneError.interrupted
      }
      guard case .line(let line) = received,
        let reply = WorkerProtocol.message(WorkerProtocol.Reply.self, line), reply.number == number
      else {
        let cause: WorkerProcess.Received = if case .line = received { .nonsense } else { received }
        let broken = discard(cause, seconds: seconds)
        return hasBegun ? .broken(broken) : .notBegun(broken)
      }
      switch (due, reply.kind) {
      case (.began, .began):
        hasBegun = true
        worker.trials += 1
        (due, seconds) = (.prepared, limits.preparationSeconds)
        continue
      case (.prepared, .prepared):
        (due, seconds) = (.ran, limits.runSeconds)
        continue
      case (.ran, .ran):
        (due, seconds) = (.admitted, limits.checkSeconds)
        continue
      case (.prepared, .rejected), (.admitted, .admitted), (.admitted, .rejected):
        if let verdict = reply.verdict { return .verdict(verdict) }
      default: break
      }
      let broken = discard(.nonsense, seconds: seconds)
      return hasBegun ? .broken(broken) : .notBegun(broken)
    }
  }

  /// Ends the worker at hand, and says how it failed.
  private func discard(_ received: WorkerProcess.Received, seconds: Double) -> BrokenTrial {
    guard let worker else { return BrokenTrial(cause: .closed) }
    self.worker = nil
    return worker.failed(received, seconds: seconds)
  }
}
