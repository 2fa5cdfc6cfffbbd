/// Something that runs a parallel region: the calling thread alone, or a pool it takes part in.
///
/// A region's ranges must be independent of each other: which worker runs which range, and in what
/// order, is not fixed. Nothing in a body may allocate, lock, await or throw.
public protocol Executor: AnyObject, Sendable {
  /// Threads that take part, the caller included.
  var workerCount: Int { get }

  /// Calls `body(range, worker)` until `0 ..< count` is covered once, in ranges of at most `grain`;
  /// returns when all are done. `worker` is in `0 ..< workerCount`; the caller is worker 0.
  func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void)
}

/// Runs every range on the calling thread.
public final class SerialExecutor: Executor {
  public init() {}
  public var workerCount: Int { 1 }
  public func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    var start = 0
    while start < count {
      let end = min(count, start + max(1, grain))
      body(start..<end, 0)
      start = end
    }
  }
}
