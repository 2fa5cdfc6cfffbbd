import WallclockCore
import WallclockKernels
import WallclockMeasure
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// A plug-in backend in a process of its own, as seen from this one.
///
/// Between requests its process group is stopped (SIGSTOP), so that threads which spin while they wait take nothing from
/// whatever else is timed. It is killed when this object goes. After `.crashed` or `.timedOut` it is of no more use.
public final class BackendProcess {
  public let description: BackendDescription
  public let threads: Int
  private let process: WorkerProcess
  private let isCancelled: () -> Bool

  /// Loading takes some seconds where a library compiles or sets up threads.
  private static let loadSeconds = 60.0

  /// Starts the process and waits for the library's description.
  ///
  /// - Parameter command: a program that calls `BackendWorker.serve` for the library.
  /// - Throws: `BackendError`; `TuneError` when the process cannot be started.
  public init(_ command: WorkerCommand, threads: Int, isCancelled: @escaping () -> Bool = { false }) throws {
    let process = try WorkerProcess(command)
    self.process = process
    self.threads = threads
    self.isCancelled = isCancelled
    let reply = try Self.reply(of: process, seconds: Self.loadSeconds, to: "loading it", isCancelled)
    guard case .described(let description) = reply else { throw Self.nonsense("loading it") }
    self.description = description
    pause()
  }

  private func pause() { kill(-process.id, SIGSTOP) }

  /// The Schedule its measurements are kept by.
  public var schedule: Schedule {
    Schedule(kernel: description.name, backend: .plugin(description.name), threads: threads)
  }

  /// Has the library prepare for `problem`, runs it and compares with the oracle. What was prepared before is gone.
  ///
  /// - Returns: the check, and the nanoseconds the library took to prepare.
  /// - Throws: `BackendError`.
  public func prepare(_ problem: Problem) throws -> (check: CorrectnessCheck, nanoseconds: Double) {
    let limits = TrialLimits(problem, threads: threads, best: nil)
    // Cold and warm problems have many copies of their weights, which together fill a few caches.
    let extra = 60.0
    let prepared = try ask(.prepare(problem), seconds: limits.preparationSeconds + extra, doing: "prepare of \(problem)")
    guard case .prepared(let nanoseconds) = prepared else { throw Self.nonsense("prepare") }
    guard case .ran = try next(seconds: limits.runSeconds, doing: "run of \(problem)") else { throw Self.nonsense("run") }
    guard case .checked(let check) = try next(seconds: limits.checkSeconds, doing: "run of \(problem)"), check.passed else {
      throw Self.nonsense("run")
    }
    pause()
    return (check, nanoseconds)
  }

  /// Times what was prepared, as `MeasuredRun` does for kernels of this program.
  public func measure(
    _ problem: Problem, check: CorrectnessCheck, on pool: ThreadPool, options: SamplingOptions, probes: CeilingProbes,
    ceilings: [String]? = nil
  ) throws -> Measurement {
    try measure(
      problem, check: check, on: pool, probes: probes, ceilings: ceilings,
      samples: {
        // Disturbed samples may take four times the cap, and the last one as long as it likes.
        let seconds = 5 * (options.timeCap / .seconds(1)) + Self.loadSeconds
        guard case .measured(let summary) = try answer(.measure(options), seconds: seconds, doing: "run of \(problem)")
        else { throw Self.nonsense("run") }
        return summary
      })
  }

  /// As above, where the samples come from a comparison.
  func measure(
    _ problem: Problem, check: CorrectnessCheck, on pool: ThreadPool, probes: CeilingProbes, ceilings: [String]?,
    samples: () throws -> SampleSummary
  ) throws -> Measurement {
    try MeasuredRun.measure(
      problem, schedule, check: check, on: pool, probes: probes, ceilings: ceilings, samples: samples,
      counters: {
        guard case .counted(let reading) = try answer(.count, seconds: Self.loadSeconds, doing: "run of \(problem)") else {
          throw Self.nonsense("run")
        }
        return reading
      })
  }

  fileprivate func sample(_ request: BackendProtocol.Request) throws(MeasureError) -> TimedSample {
    do {
      guard
        case .sampled(let nanoseconds, let isDisturbed) = try answer(request, seconds: Self.loadSeconds, doing: "run"),
        nanoseconds > 0, nanoseconds.isFinite
      else { throw Self.nonsense("run") }
      return TimedSample(nanoseconds: nanoseconds, isDisturbed: isDisturbed)
    } catch let error as MeasureError {
      throw error
    } catch let error as BackendError {
      throw MeasureError(error.code == .interrupted ? .interrupted : .unavailable, error.message)
    } catch {
      throw MeasureError(.unavailable, "\(error)")
    }
  }

  // MARK: - Talking

  /// One request with one answer, after which the process is stopped again.
  private func answer(_ request: BackendProtocol.Request, seconds: Double, doing what: String) throws -> BackendProtocol.Reply {
    let reply = try ask(request, seconds: seconds, doing: what)
    pause()
    return reply
  }

  private func ask(_ request: BackendProtocol.Request, seconds: Double, doing what: String) throws -> BackendProtocol.Reply {
    kill(-process.id, SIGCONT)
    // What cannot be sent is told by what comes back: nothing.
    _ = process.send(try WorkerProtocol.line(request))
    return try next(seconds: seconds, doing: what)
  }

  private func next(seconds: Double, doing what: String) throws -> BackendProtocol.Reply {
    do { return try Self.reply(of: process, seconds: seconds, to: what, isCancelled) } catch {
      pause()
      throw error
    }
  }

  private static func reply(
    of process: WorkerProcess, seconds: Double, to what: String, _ isCancelled: () -> Bool
  ) throws -> BackendProtocol.Reply {
    let received = process.receive(seconds: seconds, isCancelled: isCancelled)
    if case .interrupted = received { throw BackendError(.interrupted, "interrupted during \(what)") }
    if case .line(let line) = received, let reply = WorkerProtocol.message(BackendProtocol.Reply.self, line) {
      switch reply {
      case .refused(let code, let message): throw BackendError(code, message)
      case .disturbed(let message): throw MeasureError(.tooManyDropped, message)
      default: return reply
      }
    }
    let cause: WorkerProcess.Received = if case .line = received { .nonsense } else { received }
    let broken = process.failed(cause, seconds: seconds)
    let reason = broken.outcome(limitBytes: 0).reason
    if case .tooLate = broken.cause { throw BackendError(.timedOut, "\(what): \(reason)") }
    throw BackendError(.crashed, "\(what): \(reason)")
  }

  private static func nonsense(_ what: String) -> BackendError {
    BackendError(.crashed, "\(what): its process answered nonsense")
  }
}

/// A backend as one side of a comparison.
package final class BackendSide: ComparedSide {
  private let process: BackendProcess

  /// - Parameter process: it has prepared the problem that is compared.
  package init(_ process: BackendProcess) { self.process = process }

  package func warmUp(minimum: Duration, _ clock: SampleClock) throws(MeasureError) -> Double {
    try process.sample(.warmUp(minimum: minimum)).nanoseconds
  }

  package func sample(_ clock: SampleClock) throws(MeasureError) -> TimedSample {
    // The threads of a pool, which may have served the other side, spin for so long.
    usleep(UInt32(ThreadPool.defaultSpinNanoseconds / 1000 + 50))
    return try process.sample(.sample)
  }
}
