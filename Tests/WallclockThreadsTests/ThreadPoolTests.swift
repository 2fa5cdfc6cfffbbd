import Synchronization
import Testing
import WallclockCore
import WallclockMachine

@testable import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// Counts how often each index was visited; the pool's ranges never overlap, and if they did the
/// atomics would show it.
private final class Visits: Sendable {
  private let counts: Mutex<[Int]>
  init(_ count: Int) { counts = Mutex(Array(repeating: 0, count: count)) }
  func add(_ range: Range<Int>) { counts.withLock { for i in range { $0[i] += 1 } } }
  var all: [Int] { counts.withLock { $0 } }
}

@Suite(.serialized) struct ThreadPoolTests {
  static let allowed = Machine.host.fingerprint.cpuset
  /// One worker, all CPUs, and three workers per CPU: more threads than CPUs must work too.
  static let cpuLists = [
    [allowed[0]], allowed, allowed + allowed + allowed, [allowed[0], allowed[0]],
  ]

  @Test(arguments: cpuLists) func everyIndexExactlyOnce(cpus: [Int]) throws {
    let pool = try ThreadPool(cpus: cpus)
    #expect(pool.workerCount == cpus.count)
    for count in [0, 1, 2, 3, 7, 64, 65, 1000] {
      for grain in [-1, 0, 1, 2, 7, 64, 999, 1000, 5000, Int.max] {
        let visits = Visits(count)
        let wrong = Atomic<Int>(0)
        pool.forEachRange(of: count, grain: grain) { range, worker in
          visits.add(range)
          let fits = !range.isEmpty && range.count <= max(1, grain) && (0..<cpus.count).contains(worker)
          if !fits { wrong.add(1, ordering: .relaxed) }
        }
        #expect(visits.all.allSatisfy { $0 == 1 }, "count \(count), grain \(grain)")
        #expect(wrong.load(ordering: .relaxed) == 0, "count \(count), grain \(grain)")
      }
    }
  }

  @Test func hugeCountsDoNotOverflow() throws {
    let pool = try ThreadPool(cpus: Self.allowed)
    let total = Atomic<Int>(0)
    pool.forEachRange(of: Int.max, grain: Int.max / 5) { range, _ in
      total.add(range.count, ordering: .relaxed)
    }
    #expect(total.load(ordering: .relaxed) == Int.max)
  }

  @Test(arguments: [0, 2_000, 100_000] as [UInt64]) func manySmallRegions(spin: UInt64) throws {
    let pool = try ThreadPool(cpus: Self.allowed, spinNanoseconds: spin)
    let total = Atomic<Int>(0)
    let regions = spin == 0 ? 20_000 : 100_000
    for region in 0..<regions {
      pool.forEachRange(of: 2 + region % 5, grain: 1) { range, _ in
        total.add(range.count, ordering: .relaxed)
      }
    }
    let expected = (0..<regions).reduce(0) { $0 + 2 + $1 % 5 }
    #expect(total.load(ordering: .relaxed) == expected)
  }

  @Test func oversubscribedRegions() throws {
    let pool = try ThreadPool(cpus: (0..<16).map { Self.allowed[$0 % Self.allowed.count] })
    let total = Atomic<Int>(0)
    for _ in 0..<500 {
      pool.forEachRange(of: 64, grain: 1) { range, _ in total.add(range.count, ordering: .relaxed) }
    }
    #expect(total.load(ordering: .relaxed) == 500 * 64)
  }

  @Test func writesAreSeenByTheCallerAndByLaterRegions() throws {
    let pool = try ThreadPool(cpus: Self.allowed + Self.allowed)
    let buffer = AlignedBuffer<Int>(count: 4096)
    for turn in 1...200 {
      let start = unsafe UInt(bitPattern: buffer.unsafePointer)
      pool.forEachRange(of: buffer.count, grain: 100) { range, _ in
        let values = unsafe UnsafeMutablePointer<Int>(bitPattern: start)!
        for i in range { unsafe values[i] += i }
      }
      #expect(buffer[4095] == turn * 4095)
    }
    #expect((0..<4096).allSatisfy { buffer[$0] == 200 * $0 })
  }

  @Test func poolEndsWhileWorkersSleepOrSpin() throws {
    for turn in 0..<50 {
      let pool = try ThreadPool(cpus: Self.allowed + Self.allowed, spinNanoseconds: turn % 2 == 0 ? 0 : 50_000)
      if turn % 3 == 0 { pool.forEachRange(of: 8, grain: 1) { _, _ in } }
      if turn % 5 == 0 { usleep(1000) }
    }
  }

  @Test func sleepersWake() throws {
    let pool = try ThreadPool(cpus: Self.allowed, spinNanoseconds: 10_000)
    let seen = Mutex<Set<Int>>([])
    for _ in 0..<50 {
      usleep(2000)
      pool.forEachRange(of: 64, grain: 1) { _, worker in
        seen.withLock { _ = $0.insert(worker) }
        usleep(50)
      }
    }
    #expect(seen.withLock { $0 } == Set(0..<pool.workerCount))
  }

  @Test func workersArePinnedAndTheCallerIsFreedAgain() throws {
    let before = Pinning.allowed(0)
    let last = Self.allowed.last!
    do {
      let pool = try ThreadPool(cpus: [last] + Self.allowed)
      #expect(Pinning.allowed(0) == [Int32(last)])
      #expect(pool.threadIDs.count == pool.workerCount)
      #expect(Set(pool.threadIDs).count == pool.workerCount)
      for (id, cpu) in zip(pool.threadIDs, pool.cpus) { #expect(Pinning.allowed(id) == [Int32(cpu)]) }
      withExtendedLifetime(pool) {}
    }
    #expect(Pinning.allowed(0) == before)
  }

  @Test func poolsOfOneCallerEndInAnyOrder() throws {
    let before = Pinning.allowed(0)
    let one = try ThreadPool(cpus: [Self.allowed[0]])
    let two = try ThreadPool(cpus: [Self.allowed.last!])
    one.shutdown()
    two.forEachRange(of: 4, grain: 1) { _, _ in }
    #expect(Pinning.allowed(0) == [Int32(Self.allowed.last!)])
    two.shutdown()
    two.shutdown()
    #expect(Pinning.allowed(0) == before)
  }

  @Test func anotherThreadMayCall() throws {
    let pool = try ThreadPool(cpus: Self.allowed)
    let before = Pinning.allowed(0)
    final class Job: Sendable {
      let pool: ThreadPool
      let total = Atomic<Int>(0)
      init(_ pool: ThreadPool) { self.pool = pool }
    }
    let job = Job(pool)
    var handle = pthread_t()
    let error = unsafe pthread_create(
      &handle, nil,
      { argument in
        let job = unsafe Unmanaged<Job>.fromOpaque(argument!).takeRetainedValue()
        for _ in 0..<100 {
          job.pool.forEachRange(of: 10, grain: 1) { r, _ in job.total.add(r.count, ordering: .relaxed) }
        }
        return nil
      }, Unmanaged.passRetained(job).toOpaque())
    #expect(error == 0)
    pthread_join(handle, nil)
    #expect(job.total.load(ordering: .relaxed) == 1000)
    #expect(Pinning.allowed(0).count >= before.count, "the first caller was freed")
    pool.forEachRange(of: 10, grain: 1) { r, _ in job.total.add(r.count, ordering: .relaxed) }
    #expect(job.total.load(ordering: .relaxed) == 1010)
  }

  @Test func enterAndLeaveRunOnceOnEachWorker() throws {
    let entered = Mutex<[Int: pid_t]>([:]), left = Mutex<[Int: pid_t]>([:])
    do {
      let pool = try ThreadPool(
        cpus: Self.allowed + Self.allowed, enter: { w in entered.withLock { $0[w] = gettid() } },
        leave: { w in left.withLock { $0[w] = gettid() } })
      let ids = Dictionary(uniqueKeysWithValues: pool.threadIDs.enumerated().map { ($0, $1) })
      #expect(entered.withLock { $0 } == ids)
      #expect(left.withLock { $0 }.isEmpty)
    }
    #expect(left.withLock { $0 } == entered.withLock { $0 })
  }

  @Test func impossibleRequestsAreRefused() throws {
    let before = Pinning.allowed(0)
    #expect(throws: ThreadError.self) { try ThreadPool(cpus: []) }
    for cpu in [-1, 60_000, Int.max] {
      #expect(throws: ThreadError.self) { try ThreadPool(cpus: [cpu]) }
      #expect(throws: ThreadError.self) { try ThreadPool(cpus: [Self.allowed[0], cpu]) }
    }
    let machine = Machine.host.fingerprint
    #expect(throws: MachineError.self) { try ThreadPool.onePerCore(of: machine, threads: 1 << 20) }
    #expect(throws: MachineError.self) { try ThreadPool.onePerCore(of: machine, threads: 0) }
    #expect(throws: MachineError.self) { try ThreadPool.onePerCore(of: machine, threads: 1, node: 4000) }
    #expect(Pinning.allowed(0) == before)
    #expect(try ThreadPool.onePerCore(of: machine, threads: 1, node: machine.nodes[0].id).workerCount == 1)
  }

  @Test func nestedRegionTraps() async {
    await #expect(processExitsWith: .failure) {
      let pool = try ThreadPool(cpus: [Machine.host.fingerprint.cpuset[0]])
      pool.forEachRange(of: 1, grain: 1) { _, _ in pool.forEachRange(of: 1, grain: 1) { _, _ in } }
    }
  }
}

private func gettid() -> pid_t {
  // Linux names a thread's directory by its kernel id.
  var buffer = [CChar](repeating: 0, count: 64)
  let count = unsafe readlink("/proc/thread-self", &buffer, 63)
  let path = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
  return pid_t(String(decoding: path, as: UTF8.self).split(separator: "/").last ?? "") ?? -1
}
