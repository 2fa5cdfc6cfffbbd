import CWallclockLinux
import WallclockCore
import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// A candidate as it is known to a supervisor.
struct MarkedCandidate: Hashable, Codable {
  var problem: Problem
  var schedule: Schedule
  /// CPU seconds of each thread after which a run counts as hung.
  var patienceSeconds: Double
}

/// Memory that says which candidate a process is running, shared with the process that supervises it.
@safe final class SharedMark {
  let file: Int32
  private let mark: UnsafeMutablePointer<wcl_mark>

  /// - Parameter file: a descriptor of such memory, which it takes over; made when nil.
  init(file: Int32? = nil) throws(TuneError) {
    self.file = file ?? wcl_mark_create()
    guard self.file >= 0, let mark = unsafe wcl_mark_map(self.file) else {
      throw TuneError(.workerFailed, "cannot share memory with the process that measures")
    }
    unsafe self.mark = mark
  }

  deinit {
    unsafe wcl_mark_unmap(mark)
    close(file)
  }

  func enter(_ number: Int) { unsafe wcl_mark_enter(mark, UInt64(number)) }
  func leave() { unsafe wcl_mark_leave(mark) }

  /// The number of what is being run, 0 for nothing; and how many runs there were.
  var now: (number: Int, runs: UInt64) {
    var number: UInt64 = 0, runs: UInt64 = 0
    unsafe wcl_mark_read(mark, &number, &runs)
    return (Int(truncatingIfNeeded: number), runs)
  }
}

/// Gives candidates numbers, and has each of their runs marked.
final class CandidateMarker {
  private let mark: SharedMark
  private let faults: FaultInjection
  private let announce: (Int, MarkedCandidate) -> Void
  private struct Key: Hashable {
    var problem: Problem
    var schedule: Schedule
  }
  private var numbers: [Key: Int] = [:]

  /// - Parameter announce: called with each number before it is first used.
  init(_ mark: SharedMark, announce: @escaping (Int, MarkedCandidate) -> Void) throws(TuneError) {
    self.mark = mark
    self.announce = announce
    faults = try FaultInjection()
  }

  /// - Parameter nanoseconds: what a run is expected to take.
  func marked(_ prepared: any PreparedProblem, nanoseconds: Double) -> any PreparedProblem {
    let key = Key(problem: prepared.problem, schedule: prepared.schedule)
    let number = numbers[key] ?? numbers.count + 1
    if numbers.updateValue(number, forKey: key) == nil {
      let patience = max(TrialLimits.shortestPatienceSeconds, TrialLimits.patienceRatio * nanoseconds / 1e9)
      announce(
        number, MarkedCandidate(problem: key.problem, schedule: key.schedule, patienceSeconds: patience))
    }
    return MarkedProblem(prepared, number, mark, faults.whenTimed(key.schedule.kernel))
  }
}

/// A prepared Problem whose runs are marked.
private final class MarkedProblem: PreparedProblem {
  private let base: any PreparedProblem
  private let number: Int
  private let mark: SharedMark
  private let fault: FaultInjection.Fault?

  init(_ base: any PreparedProblem, _ number: Int, _ mark: SharedMark, _ fault: FaultInjection.Fault?) {
    self.base = base
    self.number = number
    self.mark = mark
    self.fault = fault
  }

  var problem: Problem { base.problem }
  var schedule: Schedule { base.schedule }
  var copies: Int { base.copies }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try base.rescheduled(schedule)
  }

  func run(copy: Int, on executor: any Executor) {
    mark.enter(number)
    defer { mark.leave() }
    base.run(copy: copy, on: fault.map { FaultyExecutor(executor, $0) } ?? executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    base.rewriteActivations(copy: copy, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    mark.enter(number)
    defer { mark.leave() }
    return try base.check(on: executor)
  }
}
