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
  private static let channel: Int32 = 3

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
    let runner = CandidateRunner(machine: Machine.host.fingerprint)
    var pool: ThreadPool?
    try send(WorkerProtocol.Reply(.ready, number: WorkerProtocol.version))
    while let request = try nextRequest() {
      if pool?.workerCount != request.schedule.threads {
        // The stacks of a pool are not the candidate's.
        _ = wcl_worker_limit_memory(0)
        pool?.shutdown()
        pool = try ThreadPool.onePerCore(of: Machine.host.fingerprint, threads: request.schedule.threads)
      }
      guard let pool, wcl_worker_limit_memory(UInt64(max(1, request.memoryBytes))) == 0 else {
        throw TuneError(.workerFailed, "cannot limit the memory of the worker process")
      }
      let fault = faults[request.schedule.kernel]
      try send(WorkerProtocol.Reply(.began, number: request.number))
      var failure: (any Error)?
      let verdict = runner.run(
        request.schedule, of: request.problem, slowAbove: request.slowAbove,
        on: fault.map { FaultyExecutor(pool, $0) } ?? pool
      ) { step in
        do {
          try send(WorkerProtocol.Reply(step == .prepared ? .prepared : .ran, number: request.number))
        } catch { failure = error }
      }
      if let failure { throw failure }
      if fault == .garbage { try send(bytes: Array(repeating: 0xFF, count: 100) + [UInt8(ascii: "\n")]) }
      try send(WorkerProtocol.Reply(verdict, number: request.number))
      if fault == .late { exit(3) }
    }
  }

  private static nonisolated(unsafe) var lines = LineBuffer()

  private static func nextRequest() throws(TuneError) -> WorkerProtocol.Request? {
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      switch unsafe lines.next() {
      case .line(let line):
        guard let request = WorkerProtocol.message(WorkerProtocol.Request.self, line),
          (1...Machine.host.fingerprint.cpuset.count).contains(request.schedule.threads)
        else { throw TuneError(.workerFailed, "the tuner sent no request this worker understands") }
        return request
      case .tooLong: throw TuneError(.workerFailed, "the tuner sent a line of no request")
      case .incomplete: break
      }
      let got = unsafe wcl_worker_receive(channel, &chunk, chunk.count, -1)
      if got == 0 { return nil }
      if got > 0 {
        unsafe lines.append(chunk.prefix(got))
      } else if got != -Int(EAGAIN) {
        throw TuneError(
          .workerFailed, "descriptor \(channel) is no channel to a tune; `wallclock tune` starts its workers itself")
      }
    }
  }

  private static func send(_ reply: WorkerProtocol.Reply) throws {
    try send(bytes: WorkerProtocol.line(reply))
  }

  private static func send(bytes: [UInt8]) throws(TuneError) {
    guard unsafe wcl_worker_send(channel, bytes, bytes.count) == 0 else {
      throw TuneError(.workerFailed, "the tuner does not listen on descriptor \(channel)")
    }
  }
}
