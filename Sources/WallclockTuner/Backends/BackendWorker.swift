import CWallclockLinux
import WallclockCore
import WallclockCounters
import WallclockKernels
import WallclockMachine
import WallclockMeasure

#if canImport(Glibc)
  import Glibc
#endif

/// The process that a plug-in library is loaded into: it checks and times what the library computes, for the process
/// that started it.
public enum BackendWorker {
  /// Serves until the other side closes the channel.
  ///
  /// - Parameters:
  ///   - parent: the process id of the other side; this process dies with it.
  ///   - path: of the library.
  ///   - threads: the library may use. Libraries count the CPUs when they are loaded, so it is one process for each count.
  ///   - cpus: the CPUs this process may use; as many of them as there are threads are chosen, on cores of their own.
  /// - Throws: `TuneError` when this process cannot be such a one.
  public static func serve(parent: Int32, library path: String, threads: Int, cpus: [Int]) throws {
    let entered = wcl_worker_enter(parent)
    guard entered == 0 else {
      throw TuneError(
        .workerFailed, "cannot load backends for process \(parent): \(unsafe String(cString: strerror(-entered)))")
    }
    // The parent's thread is pinned, and this process inherited that. The machine is read while it is seen whole.
    try run(on: cpus)
    let machine = Machine.host.fingerprint
    try run(on: Machine.host.topology.chooseCPUs(threads: threads, within: machine.cpuset, nodes: machine.nodes))
    let channel = ParentChannel()
    do {
      let library = try BackendLibrary(path: path)
      try channel.send(BackendProtocol.Reply.described(library.description))
      var session = BackendSession(library: library, threads: threads, machine: machine)
      while let request = try channel.next(BackendProtocol.Request.self) {
        do {
          try session.answer(request) { try channel.send($0) }
        } catch let error as KernelError {
          try channel.send(
            BackendProtocol.Reply.refused(
              code: error.code == .wrongResult ? .wrongResult : .failed, message: error.message))
        } catch let error as BackendError {
          try channel.send(BackendProtocol.Reply.refused(code: error.code, message: error.message))
        } catch let error as MeasureError {
          try channel.send(BackendProtocol.Reply.disturbed(message: error.message))
        }
      }
    } catch let error as BackendError {
      try channel.send(BackendProtocol.Reply.refused(code: error.code, message: error.message))
    }
  }

  private static func run(on cpus: [Int]) throws(TuneError) {
    let list = cpus.map(Int32.init(truncatingIfNeeded:))
    guard unsafe wcl_set_affinity(0, list, Int32(list.count)) == 0 else {
      throw TuneError(.workerFailed, "cannot run on CPUs \(cpus.map(String.init).joined(separator: ","))")
    }
  }
}

/// What such a process has at hand: a library, and a Problem prepared by it.
private struct BackendSession {
  let library: BackendLibrary
  let threads: Int
  let machine: Fingerprint
  private var prepared: PreparedBackendGemm?
  private var side: InProcessSide?
  private let executor = SerialExecutor()
  private let clock = SampleClock.wholeProcess()

  init(library: BackendLibrary, threads: Int, machine: Fingerprint) {
    self.library = library
    self.threads = threads
    self.machine = machine
  }

  mutating func answer(_ request: BackendProtocol.Request, _ reply: (BackendProtocol.Reply) throws -> Void) throws {
    if case .prepare(let problem) = request { return try prepare(problem, reply) }
    guard let prepared, let side else {
      throw BackendError(.failed, "nothing is prepared to be timed")
    }
    let answer: BackendProtocol.Reply
    switch request {
    case .prepare: return
    case .warmUp(let minimum):
      answer = .sampled(nanoseconds: side.warmUp(minimum: minimum, clock), isDisturbed: false)
    case .sample:
      let sample = side.sample(clock)
      answer = .sampled(nanoseconds: sample.nanoseconds, isDisturbed: sample.isDisturbed)
    case .measure(let options):
      var sides = [TimedSide(prepared, on: executor)]
      answer = .measured(try Sampler.sample(&sides, options: options, clock: clock).summaries[0])
    case .count:
      answer = .counted(
        try CounterSession(threads: SchedulerStatistics.threads(of: getpid())).measure {
          prepared.run(copy: 0, on: executor)
        })
    }
    // What a run failed in is nothing timed.
    if let failure = prepared.failure { throw failure }
    try reply(answer)
  }

  private mutating func prepare(_ problem: Problem, _ reply: (BackendProtocol.Reply) throws -> Void) throws {
    side = nil
    prepared = nil
    let made = try PreparedBackendGemm(library, problem, threads: threads, machine: machine, now: nanosecondsNow)
    try reply(.prepared(nanoseconds: made.preparationNanoseconds))
    made.run(copy: 0, on: executor)
    if let failure = made.failure { throw failure }
    try reply(.ran)
    try reply(.checked(try made.check(on: executor)))
    prepared = made
    side = InProcessSide(made, on: executor, countedBy: RunCounter(), beside: .otherThreads)
  }
}
