import CWallclockLinux
import Synchronization

/// What a pool's threads share: one region at a time, and the words they wait on.
///
/// A region is open while its ranges are handed out. Workers enter and leave it; the caller closes
/// it once every range has been claimed and nobody is inside. So a worker that the system keeps
/// off its CPU delays nobody: the others take its ranges and it finds the region closed.
///
/// Sendable: every mutable word is atomic, but for `body`, `chunks`, `count` and `grain`, which the
/// caller writes only while the region is closed and empty, and workers read only inside it; entering
/// (acquire) and opening (release) order the two.
@safe final class RegionState: @unchecked Sendable {
  typealias Body = (Range<Int>, Int) -> Void

  /// Two cache lines apart, since the adjacent-line prefetcher pairs them.
  private static let stride = 16
  private static let slots = 4

  /// Bit 0: open. Bits 1–12: workers inside. Bits 13–31: the region's number, which may wrap: a
  /// worker that sleeps through exactly 2¹⁹ regions misses one, and nobody waits for it.
  static let open: UInt32 = 1
  static let one: UInt32 = 2
  static let inside: UInt32 = 0x1ffe
  static let region: UInt32 = 1 << 13
  /// Most workers that fit those bits.
  static let mostWorkers = 4095

  let workers: Int
  let spinNanoseconds: UInt64
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  /// 32-bit words for futexes: gate, wake, sleepers, callerWake, callerSleeps, stop.
  private let small: UnsafeMutablePointer<Atomic<UInt32>>

  private var body: UnsafePointer<Body>?
  private var count = 0
  private var grain = 1
  private var chunks = 0

  init(workers: Int, spinNanoseconds: UInt64) {
    self.workers = workers
    self.spinNanoseconds = spinNanoseconds
    let wordCount = workers * Self.stride
    unsafe words = UnsafeMutableRawPointer.allocate(byteCount: wordCount * 8, alignment: 128)
      .bindMemory(to: Atomic<UInt64>.self, capacity: wordCount)
    for i in 0..<wordCount { unsafe (words + i).initialize(to: Atomic(0)) }
    let smallCount = Self.slots * Self.stride * 2
    unsafe small = UnsafeMutableRawPointer.allocate(byteCount: smallCount * 4, alignment: 128)
      .bindMemory(to: Atomic<UInt32>.self, capacity: smallCount)
    for i in 0..<smallCount { unsafe (small + i).initialize(to: Atomic(0)) }
  }

  deinit {
    // Atomics of integers need no deinitialising.
    unsafe words.deallocate()
    unsafe small.deallocate()
  }

  // The gate and the stop flag share a line: workers watch both.
  private var gate: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small }
  private var stopped: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small + 1 }
  private var wake: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small + Self.stride * 2 }
  private var sleepers: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small + Self.stride * 2 + 1 }
  private var callerWake: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small + Self.stride * 4 }
  private var callerSleeps: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small + Self.stride * 4 + 1 }
  private var busy: UnsafeMutablePointer<Atomic<UInt32>> { unsafe small + Self.stride * 6 }

  /// The next chunk of a worker's initial share.
  private func cursor(_ worker: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe words + worker * Self.stride
  }

  private func share(_ worker: Int) -> Range<Int> {
    // Divided first, so that nothing overflows: chunks can be near Int.max.
    let each = chunks / workers, extra = chunks % workers
    let start = worker * each + min(worker, extra)
    return start..<(start + each + (worker < extra ? 1 : 0))
  }

  // MARK: the caller

  /// Claims the pool for one region; false when a region is running already.
  func claim() -> Bool { unsafe busy.pointee.exchange(1, ordering: .acquiring) == 0 }
  func unclaim() { unsafe busy.pointee.store(0, ordering: .releasing) }

  /// Runs one region: opens it, works in it as worker 0, and returns when it is closed.
  func run(count: Int, grain: Int, chunks: Int, body: UnsafePointer<Body>) {
    unsafe self.body = unsafe body
    self.count = count
    self.grain = grain
    self.chunks = chunks
    for worker in 0..<workers {
      unsafe cursor(worker).pointee.store(UInt64(share(worker).lowerBound), ordering: .relaxed)
    }
    let closed = unsafe gate.pointee.load(ordering: .relaxed)
    let opened = (closed & ~(Self.inside | Self.open)) &+ Self.region | Self.open
    // Sequentially consistent with the sleepers' count: either a worker going to sleep sees the
    // gate open, or this sees it counted.
    unsafe gate.pointee.store(opened, ordering: .sequentiallyConsistent)
    if unsafe sleepers.pointee.load(ordering: .sequentiallyConsistent) > 0 { wakeWorkers() }

    unsafe work(as: 0, body.pointee)
    close()
  }

  /// All ranges are claimed; waits until they are done and nobody is inside.
  private func close() {
    var spin = SpinLimit(spinNanoseconds)
    while true {
      var value = unsafe gate.pointee.load(ordering: .acquiring)
      while value & Self.inside == 0 {
        let (done, now) = unsafe gate.pointee.weakCompareExchange(
          expected: value, desired: value & ~Self.open, ordering: .acquiringAndReleasing)
        if done { return }
        value = now
      }
      if spin.isOver() {
        unsafe callerSleeps.pointee.store(1, ordering: .sequentiallyConsistent)
        let ticket = unsafe callerWake.pointee.load(ordering: .sequentiallyConsistent)
        if unsafe gate.pointee.load(ordering: .sequentiallyConsistent) & Self.inside != 0 {
          unsafe Self.sleep(on: callerWake, unless: ticket)
        }
        unsafe callerSleeps.pointee.store(0, ordering: .relaxed)
        spin = SpinLimit(spinNanoseconds)
      }
    }
  }

  func stop() {
    unsafe stopped.pointee.store(1, ordering: .sequentiallyConsistent)
    wakeWorkers()
  }

  private func wakeWorkers() {
    unsafe wake.pointee.add(1, ordering: .sequentiallyConsistent)
    unsafe Self.wakeAll(wake)
  }

  // MARK: workers

  /// A worker's life: enters each region it sees, until told to stop.
  func serve(as worker: Int) {
    var seen: UInt32 = 0
    while let entered = nextRegion(after: seen) {
      seen = entered
      unsafe work(as: worker, body!.pointee)
      leave()
    }
  }

  /// Waits for an open region other than `seen` and enters it: its number, or nil when stopped.
  private func nextRegion(after seen: UInt32) -> UInt32? {
    var spin = SpinLimit(spinNanoseconds)
    while true {
      if unsafe stopped.pointee.load(ordering: .relaxed) != 0 { return nil }
      let value = unsafe gate.pointee.load(ordering: .relaxed)
      let number = value & ~(Self.inside | Self.open)
      if value & Self.open != 0, number != seen {
        let (done, _) = unsafe gate.pointee.weakCompareExchange(
          expected: value, desired: value &+ Self.one, ordering: .acquiring)
        if done { return number }
      } else if spin.isOver() {
        unsafe sleepers.pointee.add(1, ordering: .sequentiallyConsistent)
        let ticket = unsafe wake.pointee.load(ordering: .sequentiallyConsistent)
        let again = unsafe gate.pointee.load(ordering: .sequentiallyConsistent)
        let isNew = again & Self.open != 0 && again & ~(Self.inside | Self.open) != seen
        let isStopped = unsafe stopped.pointee.load(ordering: .sequentiallyConsistent) != 0
        if !isNew && !isStopped { unsafe Self.sleep(on: wake, unless: ticket) }
        unsafe sleepers.pointee.subtract(1, ordering: .sequentiallyConsistent)
        spin = SpinLimit(spinNanoseconds)
      }
    }
  }

  private func leave() {
    let value = unsafe gate.pointee.subtract(Self.one, ordering: .sequentiallyConsistent).newValue
    guard value & Self.inside == 0 else { return }
    if unsafe callerSleeps.pointee.load(ordering: .sequentiallyConsistent) != 0 {
      unsafe callerWake.pointee.add(1, ordering: .sequentiallyConsistent)
      unsafe Self.wakeAll(callerWake)
    }
  }

  /// Claims chunk after chunk: first this worker's share, then what the others have not begun.
  private func work(as worker: Int, _ body: Body) {
    for step in 0..<workers {
      let victim = worker + step < workers ? worker + step : worker + step - workers
      let end = UInt64(share(victim).upperBound)
      let next = unsafe cursor(victim)
      // A look before the claim keeps a finished share's line unwritten.
      while unsafe next.pointee.load(ordering: .relaxed) < end {
        let chunk = unsafe next.pointee.add(1, ordering: .relaxed).oldValue
        if chunk >= end { break }
        let start = Int(chunk) * grain
        body(start..<(start + min(grain, count - start)), worker)
      }
    }
  }

  // MARK: sleeping

  private static func sleep(on word: UnsafeMutablePointer<Atomic<UInt32>>, unless ticket: UInt32) {
    _ = unsafe wcl_futex_wait(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), ticket)
  }

  private static func wakeAll(_ word: UnsafeMutablePointer<Atomic<UInt32>>) {
    _ = unsafe wcl_futex_wake(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), Int32.max)
  }
}

/// Spinning for a while: a pause per turn, the clock now and then.
struct SpinLimit {
  private let limit: UInt64
  private var start: UInt64 = 0
  private var turns: UInt32 = 0

  init(_ nanoseconds: UInt64) { limit = nanoseconds }

  /// One turn; true when the time is over.
  mutating func isOver() -> Bool {
    if limit == 0 { return true }
    wcl_pause()
    turns &+= 1
    if turns & 63 != 0 { return false }
    let now = wcl_nanoseconds()
    if start == 0 { start = now }
    return now &- start > limit
  }
}
