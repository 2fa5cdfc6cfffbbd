import Synchronization
import Testing
import WallclockCore
import WallclockMachine
import WallclockMeasure
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// What tells that a sample was disturbed, on the real clock.
@Suite struct LostTimeTests {
  /// Two busy threads share one CPU: at any moment one of them waits, so every window is disturbed, also
  /// those in which nothing was switched and the wait is still going on.
  @Test func aThreadThatWaitsIsSeenWhileItWaits() throws {
    let cpu = Machine.host.fingerprint.cpuset[0]
    let pool = try ThreadPool(cpus: [cpu, cpu])
    defer { pool.shutdown() }
    let isRunning = Atomic<Bool>(false), isOver = Atomic<Bool>(false)
    let clock = SampleClock.system(watching: [pool])
    var windows = 0, disturbed = 0
    pool.forEachRange(of: 2, grain: 1) { range, _ in
      if range.lowerBound == 1 {
        isRunning.store(true, ordering: .relaxed)
        while !isOver.load(ordering: .relaxed) {}
        return
      }
      while !isRunning.load(ordering: .relaxed) { sched_yield() }
      let end = clock.nanoseconds() + 300_000_000
      while clock.nanoseconds() < end {
        let before = clock.lostNanoseconds(), start = clock.nanoseconds()
        while clock.nanoseconds() < start + 100_000 {}
        let elapsed = clock.nanoseconds() - start, after = clock.lostNanoseconds()
        // A wait that ended may have been counted too long while it went on.
        let lost = after > before ? after - before : 0
        windows += 1
        if Double(lost) > 0.005 * Double(elapsed) { disturbed += 1 }
      }
      isOver.store(true, ordering: .relaxed)
    }
    #expect(windows > 20)
    #expect(Double(disturbed) > 0.9 * Double(windows), "\(disturbed) of \(windows) windows")
  }

  /// A thread that sleeps of its own will waits for nothing.
  @Test func sleepingIsNotWaiting() throws {
    let cpus = Machine.host.fingerprint.cpuset
    // Its worker sleeps from the start: no region is ever run.
    let pool = try ThreadPool(cpus: [cpus[0], cpus[cpus.count - 1]], spinNanoseconds: 0)
    defer { pool.shutdown() }
    let clock = SampleClock.system(watching: [pool])
    // The least over many windows: other processes may take the CPU in most of them.
    var least = UInt64.max
    for _ in 0..<2000 where least > 0 {
      let before = clock.lostNanoseconds()
      usleep(100)
      let after = clock.lostNanoseconds()
      least = min(least, after > before ? after - before : 0)
    }
    #expect(least == 0)
  }
}
