import WallclockCore
import WallclockKernels
import WallclockMachine

/// Puts the deciding itself to the test: a Schedule against itself, or against itself with planted work.
///
/// Each trial prepares its sides anew, as a tune prepares the standard Schedule and a candidate, and asks
/// what a tune asks: may B take A's place? With nothing planted it must not; with p % more work on A's
/// side it should.
package final class DecisionTrial {
  package struct Case: Sendable {
    package var problem: Problem
    package var threads: Int

    /// Problems of every kind, around what a small encoder has, in every state.
    package static func all(threads: [Int]) -> [Case] {
      var norm = Problem.rowwise(.layerNorm, rows: 512, channels: 384)
      norm.state = .cold
      let problems: [Problem] = [
        .gemm(.f32, m: 32, n: 384, k: 384), .gemm(.w8a8, m: 128, n: 384, k: 384),
        .attention(batch: 1, tokens: 128, heads: 12, headDim: 32), .rowwise(.layerNorm, rows: 128, channels: 384),
        .gemm(.f32, m: 16, n: 384, k: 1536, state: .warm), .attention(batch: 1, tokens: 64, heads: 12, headDim: 32, state: .warm),
        .gemm(.f32, m: 1, n: 1024, k: 1024, state: .cold), .gemm(.w8a8, m: 16, n: 1536, k: 384, state: .cold),
        norm,
      ]
      return threads.flatMap { threads in problems.map { Case(problem: $0, threads: threads) } }
    }
  }

  private let machine: Fingerprint
  private let pool: any Executor
  private let probe: CeilingProbe
  private let scratch = AlignedBuffer<UInt8>(count: 4096)

  /// - Parameter pool: runs the Problems; its workers are the threads of the Schedules.
  /// - Throws: `MeasureError.unavailable` when the build has no arithmetic probe for the host.
  package init(machine: Fingerprint, pool: any Executor) throws(MeasureError) {
    self.machine = machine
    self.pool = pool
    guard let probe = CeilingProbe.all.last(where: { $0.kind == .f32 && machine.isa.contains($0.isa) }) else {
      throw MeasureError(.unavailable, "this build has no f32 probe that the host runs")
    }
    self.probe = probe
  }

  /// - Parameters:
  ///   - planted: how much more work side A has, as a fraction of its own.
  ///   - apart: B is prepared by itself, not under A's operands.
  package func decide(
    _ problem: Problem, rule: DecisionRule, planted: Double, apart: Bool, isCancelled: () -> Bool = { false }
  ) throws -> Decision {
    let schedule = try ScheduleSpace.standard(for: problem, threads: pool.workerCount, machine: machine)
    return try PairedComparison.decideReplacement(rule: rule, clock: .system(watching: [pool]), isCancelled: isCancelled) {
      let a = try problem.prepare(schedule, machine: machine)
      let b = try apart ? problem.prepare(schedule, machine: machine) : a.rescheduled(schedule)
      let counter = RunCounter()
      let turns = planted > 0 ? turnsOfProbe(lasting: planted, of: a) : 0
      return (
        InProcessSide(a, on: pool, countedBy: counter, then: turns > 0 ? { self.work(turns) } : nil),
        InProcessSide(b, on: pool, countedBy: counter)
      )
    }
  }

  private func work(_ turns: Int) { _ = unsafe probe.run(turns, UnsafeRawPointer(scratch.unsafePointer), scratch.count) }

  /// Turns of the probe that take `fraction` of the time of one run: both are timed in turn, so that
  /// neither gets the better moment.
  private func turnsOfProbe(lasting fraction: Double, of prepared: any PreparedProblem) -> Int {
    let turns = 2000
    let clock = SampleClock.system(watching: [pool])
    let kernel = InProcessSide(prepared, on: pool, countedBy: RunCounter())
    let extra = InProcessSide(TimedSide { _ in self.work(turns) }, isHot: false)
    _ = kernel.warmUp(minimum: .microseconds(50), clock)
    _ = extra.warmUp(minimum: .microseconds(50), clock)
    let ratios = (0..<41).map { _ in kernel.sample(clock).nanoseconds / extra.sample(clock).nanoseconds }
    return max(1, Int((OrderStatistics.median(ratios) * fraction * Double(turns)).rounded()))
  }
}

/// A neighbour's work: arithmetic and reading from memory in turn, on one CPU.
package final class NeighbourLoad {
  private let probes: [CeilingProbe]
  private let memory = AlignedBuffer<UInt8>(count: 64 << 20)

  package init(machine: Fingerprint) {
    let usable = CeilingProbe.all.filter { machine.isa.contains($0.isa) }
    probes = [CeilingProbe.Kind.f32, .read].compactMap { kind in usable.last { $0.kind == kind } }
    for offset in stride(from: 0, to: memory.count, by: 4096) { unsafe memory.unsafePointer[offset] = 1 }
  }

  /// Works until told to end.
  package func run(until isOver: () -> Bool) {
    while true {
      for probe in probes {
        let end = nanosecondsNow() + 50_000_000
        while nanosecondsNow() < end {
          _ = unsafe probe.run(
            probe.kind == .read ? 1 : 100_000, UnsafeRawPointer(memory.unsafePointer), memory.count)
        }
        if isOver() { return }
      }
    }
  }
}
