import CWallclockLinux
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// The worker's side: runs the candidates it is given until the tuner goes away.
public enum AdmissionWorker {
  /// Serves the process that started this one. Returns when that closes the channel.
  ///
  /// - Parameters:
  ///   - parent: its process id; this process dies with it.
  ///   - cpus: the CPUs it may use. It has pinned itself to one of them, and this process inherited that.
  /// - Throws: `TuneError` when this process cannot be made a worker.
  public static func serve(parent: Int32, cpus: [Int]) throws {
    let entered = wcl_worker_enter(parent)
    guard entered == 0 else {
      throw TuneError(
        .workerFailed, "cannot become the worker of process \(parent): \(unsafe String(cString: strerror(-entered)))")
    }
    let list = cpus.map(Int32.init(truncatingIfNeeded:))
    guard unsafe wcl_set_affinity(0, list, Int32(list.count)) == 0 else {
      throw TuneError(.workerFailed, "cannot run on CPUs \(cpus.map(String.init).joined(separator: ","))")
    }
    let faults = try FaultInjection()
    let channel = ParentChannel()
    let runner = CandidateRunner(machine: Machine.host.fingerprint)
    var pool: ThreadPool?
    try channel.send(WorkerProtocol.Reply(.ready, number: WorkerProtocol.version))
    while let request = try channel.next(WorkerProtocol.Request.self) {
      guard (1...Machine.host.fingerprint.cpuset.count).contains(request.schedule.threads) else {
        throw TuneError(.workerFailed, "the tuner asks for \(request.schedule.threads) threads")
      }
      if pool?.workerCount != request.schedule.threads {
        // The stacks of a pool are not the candidate's.
        _ = wcl_worker_limit_memory(0)
        pool?.shutdown()
        pool = try ThreadPool.onePerCore(of: Machine.host.fingerprint, threads: request.schedule.threads)
      }
      guard let pool, wcl_worker_limit_memory(UInt64(max(1, request.memoryBytes))) == 0 else {
        throw TuneError(.workerFailed, "cannot limit the memory of the worker process")
      }
      let fault = faults.inTrial(of: request.schedule.kernel)
      try channel.send(WorkerProtocol.Reply(.began, number: request.number))
      var failure: (any Error)?
      let verdict = runner.run(
        request.schedule, of: request.problem, slowAbove: request.slowAbove,
        on: fault.map { FaultyExecutor(pool, $0) } ?? pool
      ) { step in
        do {
          try channel.send(WorkerProtocol.Reply(step == .prepared ? .prepared : .ran, number: request.number))
        } catch { failure = error }
      }
      if let failure { throw failure }
      if fault == .garbage { try channel.send(bytes: Array(repeating: 0xFF, count: 100) + [UInt8(ascii: "\n")]) }
      try channel.send(WorkerProtocol.Reply(verdict, number: request.number))
      if fault == .late { exit(3) }
    }
  }
}
