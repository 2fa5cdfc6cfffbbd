import CWallclockLinux
import Synchronization
public import WallclockCore
import WallclockMachine

#if canImport(Glibc)
  import Glibc
#endif

/// Pinned threads that run parallel regions together with the thread that calls them.
///
/// Each worker begins with a contiguous share of the ranges, the same in every region of the same
/// size, and then takes what others have not begun; so a core slowed by a neighbour delays the
/// region by one range at most. Between regions workers spin, then sleep. Opening a region boxes
/// its closure once on the caller; inside, nothing is allocated or locked.
///
/// The caller is worker 0 and is pinned to the first CPU while the pool lives; a thread it starts
/// meanwhile inherits that. Any thread may call, one at a time: a region inside a region, or two at
/// once, is a broken invariant of the program and traps.
public final class ThreadPool: Executor {
  /// The CPU of each worker; the caller's is first.
  public let cpus: [Int]
  public var workerCount: Int { cpus.count }

  private let state: RegionState
  private let threads: Threads
  private let enter: (@Sendable (Int) -> Void)?
  private let leave: (@Sendable (Int) -> Void)?

  /// The threads of a pool, joined once.
  private struct Threads {
    var handles: [pthread_t] = []
    var ids: [pid_t] = []
  }

  /// Which thread is worker 0 now. Changed only while the pool is claimed for a region.
  private let caller: Mutex<Caller>
  private struct Caller {
    var thread: pthread_t
    var id: pid_t
    var isOver = false
  }
  /// The same thread as a word that can be compared without a lock.
  private let callerWord: Atomic<UInt>

  /// How long idle workers spin before they sleep, unless told otherwise.
  public static var defaultSpinNanoseconds: UInt64 { 100_000 }

  /// - Parameters:
  ///   - cpus: one worker each, the caller on the first. A CPU named twice gets two workers, which
  ///     works but slowly: such workers do not spin.
  ///   - spinNanoseconds: how long to spin for the next region before sleeping.
  ///   - enter: called once on each worker's thread, with its index, before it runs any range; on
  ///     every thread that takes the caller's place too.
  ///   - leave: called on each worker's thread when the pool ends, and on the caller's when it is
  ///     the caller that ends it.
  /// - Throws: `ThreadError` when a CPU cannot be used or a thread cannot be made.
  public init(
    cpus: [Int], spinNanoseconds: UInt64 = ThreadPool.defaultSpinNanoseconds,
    enter: (@Sendable (Int) -> Void)? = nil, leave: (@Sendable (Int) -> Void)? = nil
  ) throws(ThreadError) {
    guard (1...RegionState.mostWorkers).contains(cpus.count) else {
      throw ThreadError(
        .badCount, "a pool needs 1 to \(RegionState.mostWorkers) CPUs, \(cpus.count) were named")
    }
    _ = Machine.host  // read the CPUs of this process before one of its threads loses them
    let oversubscribed = Set(cpus).count < cpus.count
    let state = RegionState(
      workers: cpus.count, spinNanoseconds: oversubscribed ? 0 : spinNanoseconds)
    self.cpus = cpus
    self.state = state
    self.enter = enter
    self.leave = leave

    let id = wcl_gettid()
    let pinned = Pinning.hold(id, on: cpus[0])
    guard pinned == 0 else { throw Self.cannotPin(cpus[0], pinned) }
    caller = Mutex(Caller(thread: pthread_self(), id: id))
    callerWord = Atomic(UInt(pthread_self()))

    var threads = Threads()
    var failure: ThreadError?
    for worker in cpus.indices.dropFirst() {
      let start = WorkerStart(state: state, worker: worker, cpu: cpus[worker], enter: enter, leave: leave)
      var handle = pthread_t()
      let error = start.launch(&handle)
      guard error == 0 else {
        failure = ThreadError(
          .cannotCreateThread,
          "the system gave no thread for worker \(worker) of \(cpus.count) (errno \(error)); ask for fewer threads")
        break
      }
      threads.handles.append(handle)
      let started = start.wait()
      guard started.status == 0 else {
        failure = Self.cannotPin(cpus[worker], started.status)
        break
      }
      threads.ids.append(started.thread)
    }
    self.threads = threads
    if let failure {
      Self.join(threads, state)
      Pinning.release(id)
      caller.withLock { $0.isOver = true }
      throw failure
    }
    enter?(0)
  }

  deinit { shutdown() }

  /// Ends the workers and gives the calling thread back the CPUs it had. The pool can run no
  /// region afterwards. Also done when the pool is released.
  public func shutdown() {
    let ending = caller.withLock { caller -> pid_t? in
      if caller.isOver { return nil }
      caller.isOver = true
      return caller.id
    }
    guard let ending else { return }
    precondition(state.claim(), "ThreadPool: shutdown while a region is running")
    Self.join(threads, state)
    // The claim is kept, so that a later region traps.
    if wcl_gettid() == ending { leave?(0) }
    Pinning.release(ending)
  }

  /// Kernel ids of the threads that take part, worker by worker, for counters.
  public var threadIDs: [Int32] { [caller.withLock { $0.id }] + threads.ids }

  public func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    guard count > 0 else { return }
    let grain = max(1, grain)
    let chunks = (count - 1) / grain + 1
    precondition(
      state.claim(), "ThreadPool: a region is running already, or the pool was shut down; one region at a time")
    if callerWord.load(ordering: .relaxed) != UInt(pthread_self()) { moveCaller() }
    // Another pool, or the program, may have moved this thread.
    if wcl_current_cpu() != Int32(truncatingIfNeeded: cpus[0]) { _ = Pinning.pin(0, on: cpus[0]) }
    if chunks == 1 || workerCount == 1 {
      var start = 0
      while start < count {
        let end = start + min(grain, count - start)
        body(start..<end, 0)
        start = end
      }
    } else {
      // The closure outlives no region: `run` returns after the last worker has left it.
      withoutActuallyEscaping(body) { body in
        unsafe withUnsafePointer(to: body) {
          unsafe state.run(count: count, grain: grain, chunks: chunks, body: $0)
        }
      }
    }
    state.unclaim()
  }

  /// Makes this thread worker 0 in place of the one before. Should pinning fail, it runs unpinned:
  /// slower, not wrong.
  private func moveCaller() {
    let old = caller.withLock { caller in
      let old = caller.id
      caller = Caller(thread: pthread_self(), id: wcl_gettid())
      return old
    }
    Pinning.release(old)
    _ = Pinning.hold(wcl_gettid(), on: cpus[0])
    callerWord.store(UInt(pthread_self()), ordering: .relaxed)
    enter?(0)
  }

  private static func join(_ threads: Threads, _ state: RegionState) {
    state.stop()
    for handle in threads.handles { pthread_join(handle, nil) }
  }

  private static func cannotPin(_ cpu: Int, _ status: Int32) -> ThreadError {
    let allowed = Machine.host.fingerprint.cpuset.map(String.init).joined(separator: ", ")
    return ThreadError(
      .cpuUnavailable,
      "cannot run on CPU \(cpu) (errno \(-status)); this process may use CPUs \(allowed)")
  }
}

extension ThreadPool {
  /// A pool with one thread per physical core, and SMT siblings only when there are more threads
  /// than cores.
  ///
  /// - Parameters:
  ///   - machine: whose cpuset and nodes bound the choice.
  ///   - node: stay on this NUMA node.
  /// - Throws: `MachineError` when there are fewer CPUs than threads, or no such node; `ThreadError`.
  public static func onePerCore(
    of machine: Fingerprint, threads: Int, node: Int? = nil,
    spinNanoseconds: UInt64 = ThreadPool.defaultSpinNanoseconds,
    enter: (@Sendable (Int) -> Void)? = nil, leave: (@Sendable (Int) -> Void)? = nil
  ) throws -> ThreadPool {
    let cpus = try Machine.host.topology.chooseCPUs(
      threads: threads, within: machine.cpuset, nodes: machine.nodes, node: node)
    return try ThreadPool(cpus: cpus, spinNanoseconds: spinNanoseconds, enter: enter, leave: leave)
  }
}
