import WallclockCore
import WallclockKernels
import WallclockMachine

#if canImport(Glibc)
  import Glibc
#endif

/// Measures what this host can reach at most: arithmetic peaks and read bandwidth per cache level.
///
/// A ceiling is the best over every probe of its kind in the build: instruction mixes and
/// accumulator chains, streams, prefetch distances and page sizes. The winner is found once and then sampled
/// again whenever a rate needs a ceiling taken beside it in time.
public final class CeilingProbes {
  private let machine: Fingerprint
  private var winners: [Key: Winner] = [:]
  private let buffers: ReadBuffers

  struct Key: Hashable {
    var name: String
    var workers: Int
  }

  struct Winner {
    var probe: CeilingProbe
    var pages: PageSize
    var iterations: Int
  }

  public init(machine: Fingerprint) {
    self.machine = machine
    buffers = ReadBuffers(machine: machine)
  }

  /// The names of ceilings this host has, in the order they are shown. The last is of two threads or more.
  public var names: [String] {
    let compute = ["int8", "int4", "bf16", "f32"].filter { name in !probes(of: name).isEmpty }
    let levels = (1...3).filter { machine.cacheBytes(level: $0) != nil }.map { "read.l\($0)" }
    return compute + levels + ["read.dram"] + ["handoff"]
  }

  /// The ceiling of the memory that `problem` reads its operands from: the first level that holds them, shared
  /// out over `threads`. Inside a model the private levels hold other things.
  func levelRead(by problem: Problem, threads: Int) -> String {
    if problem.state == .cold { return "read.dram" }
    for level in problem.state == .hot ? 1...3 : 3...3 {
      guard let bytes = machine.cacheBytes(level: level) else { continue }
      if problem.bytes <= Double(bytes) * 0.75 * Double(level < 3 ? threads : 1) { return "read.l\(level)" }
    }
    return "read.dram"
  }

  /// The ceiling called `name` for all workers of `executor` together; nil when this host or `executor`
  /// has no such thing.
  ///
  /// - Parameter samples: how often the winning probe runs, a millisecond each; the value is their median.
  public func measure(_ name: String, on executor: any Executor, samples: Int = 9) -> Ceiling? {
    if name == "handoff" {
      guard let probe = HandoffProbe(on: executor) else { return nil }
      let times = (0..<max(1, samples)).map { _ in probe.latency() }
      return Ceiling(
        name: name, threads: executor.workerCount, value: OrderStatistics.median(times), unit: "ns",
        spread: OrderStatistics.relativeSpread(times), probe: "one line between two workers")
    }
    let key = Key(name: name, workers: executor.workerCount)
    if winners[key] == nil { winners[key] = findWinner(name, on: executor) }
    guard let winner = winners[key] else { return nil }
    let rates = (0..<max(1, samples)).map { _ in
      rate(winner.probe, name, winner.pages, iterations: winner.iterations, on: executor)
    }
    return Ceiling(
      name: name, threads: executor.workerCount, value: OrderStatistics.median(rates),
      unit: name.hasPrefix("read.") ? "GB/s" : "GOP/s", spread: OrderStatistics.relativeSpread(rates),
      probe: name.hasPrefix("read.") ? "\(winner.probe.name).\(winner.pages.rawValue)" : winner.probe.name)
  }

  private func findWinner(_ name: String, on executor: any Executor) -> Winner? {
    let ranked = probes(of: name).map { candidate($0, name, .huge, on: executor) }.sorted { $0.rate > $1.rate }
    guard let first = ranked.first else { return nil }
    guard name.hasPrefix("read."), buffers.hasBothPageSizes else { return first.winner }
    // The best streams and distances over small pages are near the best over large ones.
    let small = ranked.prefix(4).map { candidate($0.winner.probe, name, .small, on: executor) }
    return ([first] + small).max { $0.rate < $1.rate }?.winner
  }

  /// Enough turns for a millisecond; then the best of three.
  private func candidate(
    _ probe: CeilingProbe, _ name: String, _ pages: PageSize, on executor: any Executor
  ) -> (rate: Double, winner: Winner) {
    var iterations = 1
    var elapsed = time(probe, name, pages, iterations: iterations, on: executor).nanoseconds
    while elapsed < 1e6 {
      iterations = max(iterations + 1, Int(Double(iterations) * min(64, 1.2e6 / max(elapsed, 1000))))
      elapsed = time(probe, name, pages, iterations: iterations, on: executor).nanoseconds
    }
    let rate = (0..<3).map { _ in self.rate(probe, name, pages, iterations: iterations, on: executor) }.max()!
    return (rate, Winner(probe: probe, pages: pages, iterations: iterations))
  }

  /// 10⁹ operations or bytes per second.
  private func rate(
    _ probe: CeilingProbe, _ name: String, _ pages: PageSize, iterations: Int, on executor: any Executor
  ) -> Double {
    let (amount, nanoseconds) = time(probe, name, pages, iterations: iterations, on: executor)
    return amount / max(nanoseconds, 1)
  }

  private func time(
    _ probe: CeilingProbe, _ name: String, _ pages: PageSize, iterations: Int, on executor: any Executor
  ) -> (amount: Double, nanoseconds: Double) {
    let workers = executor.workerCount
    let slices = workers == 1 ? 1 : workers * 8
    let amounts = AlignedBuffer<Double>(count: slices)
    let buffers = self.buffers
    let turns = max(1, iterations / (workers == 1 ? 1 : 8))
    let start = nanosecondsNow()
    executor.forEachRange(of: slices, grain: 1) { range, worker in
      for slice in range {
        let (data, bytes) = unsafe buffers.region(name, pages, worker: worker, slice: slice, of: slices)
        unsafe amounts.unsafePointer[slice] = probe.run(turns, data, bytes)
      }
    }
    let elapsed = nanosecondsNow() - start
    var total = 0.0
    for slice in 0..<slices { total += amounts[slice] }
    return (total, Double(elapsed))
  }

  private func probes(of name: String) -> [CeilingProbe] {
    let kind = CeilingProbe.Kind(rawValue: name.hasPrefix("read.") ? "read" : name)
    let isas = Set(machine.isa)
    return CeilingProbe.all.filter { $0.kind == kind && isas.contains($0.isa) }
  }
}

/// Which pages a read probe goes over.
enum PageSize: String {
  /// Those the kernel gives to memory advised to be huge; where it gives none, of the usual size.
  case huge = "hugepages"
  case small = "smallpages"
}

/// Memory for the read probes: half of each private cache per worker, and a region larger than the
/// last-level cache that the workers share out; once over huge pages and once over small ones.
final class ReadBuffers: @unchecked Sendable {
  // Sendable: filled once, only read afterwards.
  private let huge: AlignedBuffer<UInt8>
  private let small: AlignedBuffer<UInt8>
  private let machine: Fingerprint

  /// Whether the kernel was told to tell the two apart: it does so under "always" and under "madvise".
  let hasBothPageSizes: Bool

  init(machine: Fingerprint) {
    self.machine = machine
    hasBothPageSizes = ["always", "madvise"].contains(Conditions.current().transparentHugePages)
    let dram = min(max(4 * machine.lastLevelCacheBytes, 64 << 20), 1 << 30)
    huge = AlignedBuffer(count: dram)
    small = AlignedBuffer(count: hasBothPageSizes ? dram : 0)
    unsafe madvise(small.unsafePointer, small.count, MADV_NOHUGEPAGE)
    // Touched, so that every page is there and no two share the zero page.
    for offset in stride(from: 0, to: huge.count, by: 64) { unsafe huge.unsafePointer[offset] = 1 }
    for offset in stride(from: 0, to: small.count, by: 64) { unsafe small.unsafePointer[offset] = 1 }
  }

  /// The bytes slice `slice` reads for ceiling `name`.
  func region(_ name: String, _ pages: PageSize, worker: Int, slice: Int, of slices: Int) -> (UnsafeRawPointer, Int) {
    let base = unsafe UnsafeRawPointer(pages == .huge ? huge.unsafePointer : small.unsafePointer)
    let count = huge.count
    guard name.hasPrefix("read.l"), let level = Int(name.dropFirst(6)),
      let cache = machine.caches.first(where: { $0.level == level && $0.kind != .instruction })
    else {
      let part = count / slices / 4096 * 4096
      return unsafe (base + slice * part, part)
    }
    // Half of the cache, and each sharer's part of a shared one.
    let bytes = max(4096, cache.bytes / 2 / max(1, min(cache.sharedBy, machine.cpuset.count)) / 4096 * 4096)
    let offset = worker * bytes
    guard offset + bytes <= count else { return unsafe (base, min(bytes, count)) }
    return unsafe (base + offset, bytes)
  }
}
