import Synchronization
import WallclockCore

/// Runs ranges on the calling thread in a random order, each as a random one of several workers:
/// what a pool may do at its worst, reproducibly.
package final class ScramblingExecutor: Executor {
  package let workerCount: Int
  private let random: Mutex<TestRandom>

  package init(workers: Int, seed: UInt64) {
    workerCount = workers
    random = Mutex(TestRandom(seed: seed))
  }

  package func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    let grain = max(1, grain)
    var starts = Array(stride(from: 0, to: count, by: grain))
    let workers = random.withLock { random in
      starts.shuffle(using: &random)
      return starts.map { _ in random.integer(0...(workerCount - 1)) }
    }
    for (start, worker) in zip(starts, workers) {
      body(start..<min(count, start + grain), worker)
    }
  }
}
