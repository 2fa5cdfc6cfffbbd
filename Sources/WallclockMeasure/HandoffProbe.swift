import Synchronization
import WallclockCore
import WallclockKernels

/// What it costs a thread to see what another wrote. On a host whose cores do not share a cache, or whose hypervisor moves its CPUs about, this and
/// not arithmetic decides what a second thread is worth.
///
/// Sendable: the lines are atomics, and of `nanoseconds` each worker writes its own element, read after
/// the region.
@safe package final class HandoffProbe: @unchecked Sendable {
  private let executor: any Executor
  private let workers: Int
  /// Lines 0 and 1: the barrier. Lines 2w and 2w + 1: what worker 0 says to worker w, and its answer.
  private let lines: UnsafeMutablePointer<Atomic<UInt64>>
  private let lineCount: Int
  private let nanoseconds: AlignedBuffer<Double>
  /// Two cache lines, since the adjacent-line prefetcher pairs them.
  private static let stride = 16

  /// Nil when one worker has nobody to hand to.
  package init?(on executor: any Executor) {
    guard executor.workerCount > 1 else { return nil }
    self.executor = executor
    workers = executor.workerCount
    lineCount = 2 * workers
    nanoseconds = AlignedBuffer(count: workers)
    unsafe lines = UnsafeMutableRawPointer.allocate(byteCount: lineCount * Self.stride * 8, alignment: 128)
      .bindMemory(to: Atomic<UInt64>.self, capacity: lineCount * Self.stride)
    for i in 0..<lineCount * Self.stride { unsafe (lines + i).initialize(to: Atomic(0)) }
  }

  deinit { unsafe lines.deallocate() }  // atomics of integers need no deinitialising

  private func line(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { unsafe lines + index * Self.stride }

  /// Runs `body` once on every worker at the same time: each range waits until all have begun, so no
  /// worker takes two.
  private func together(_ body: (Int) -> Void) {
    for i in 0..<lineCount { unsafe line(i).pointee.store(0, ordering: .relaxed) }
    executor.forEachRange(of: workers, grain: 1) { _, worker in
      barrier(1)
      body(worker)
    }
  }

  /// Waits until all workers have come here for the `turn`-th time.
  private func barrier(_ turn: Int) {
    unsafe line(0).pointee.add(1, ordering: .acquiringAndReleasing)
    while unsafe line(0).pointee.load(ordering: .acquiring) < UInt64(turn * workers) {}
  }

  /// Nanoseconds in which a line that one worker wrote reaches another: half of a round trip, between
  /// worker 0 and the worker farthest from it.
  package func latency(rounds: UInt64 = 100) -> Double {
    unsafe nanoseconds.unsafePointer.update(repeating: 0, count: workers)
    together { worker in
      if worker > 0 {
        let (ask, answer) = unsafe (line(2 * worker), line(2 * worker + 1))
        for round in 1...rounds {
          while unsafe ask.pointee.load(ordering: .acquiring) != round {}
          unsafe answer.pointee.store(round, ordering: .releasing)
        }
        return
      }
      for other in 1..<workers {
        let (ask, answer) = unsafe (line(2 * other), line(2 * other + 1))
        let start = nanosecondsNow()
        for round in 1...rounds {
          unsafe ask.pointee.store(round, ordering: .releasing)
          while unsafe answer.pointee.load(ordering: .acquiring) != round {}
        }
        unsafe nanoseconds.unsafePointer[other] = Double(nanosecondsNow() - start) / Double(2 * rounds)
      }
    }
    return nanoseconds.array().max() ?? 0
  }
}
