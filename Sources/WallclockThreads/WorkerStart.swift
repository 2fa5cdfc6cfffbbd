import CWallclockLinux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// What a new worker is told, and what it answers before it serves.
final class WorkerStart: Sendable {
  private let state: RegionState
  private let worker: Int
  private let cpu: Int
  private let enter: (@Sendable (Int) -> Void)?
  private let leave: (@Sendable (Int) -> Void)?
  /// High half: the thread's id; low half: its negative errno or 0. `pending` until it answers.
  private let answer = Atomic<Int64>(WorkerStart.pending)
  private static let pending = Int64.min

  init(
    state: RegionState, worker: Int, cpu: Int, enter: (@Sendable (Int) -> Void)?,
    leave: (@Sendable (Int) -> Void)?
  ) {
    self.state = state
    self.worker = worker
    self.cpu = cpu
    self.enter = enter
    self.leave = leave
  }

  /// Starts the thread: 0 or an errno. Signals are left to the program's own threads, so that
  /// Ctrl-C never interrupts a worker.
  func launch(_ handle: inout pthread_t) -> Int32 {
    var all = sigset_t(), before = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    let me = unsafe Unmanaged.passRetained(self)
    let error = unsafe pthread_create(
      &handle, nil,
      { argument in
        unsafe Unmanaged<WorkerStart>.fromOpaque(argument!).takeRetainedValue().main()
        return nil
      }, me.toOpaque())
    if error != 0 { unsafe me.release() }
    return error
  }

  func wait() -> (status: Int32, thread: pid_t) {
    while true {
      let value = answer.load(ordering: .acquiring)
      if value != Self.pending {
        return (Int32(truncatingIfNeeded: value), pid_t(truncatingIfNeeded: value >> 32))
      }
      sched_yield()
    }
  }

  private func main() {
    unsafe wcl_name_thread("wallclock-\(worker)")
    let status = Pinning.pin(0, on: cpu)
    if status == 0 { enter?(worker) }
    answer.store(
      Int64(wcl_gettid()) << 32 | Int64(UInt32(bitPattern: status)), ordering: .releasing)
    guard status == 0 else { return }
    state.serve(as: worker)
    leave?(worker)
  }
}
