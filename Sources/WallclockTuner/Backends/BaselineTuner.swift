import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockMeasure
import WallclockProfiles
import WallclockThreads

/// Compares plug-in backends with what a tune has settled on, so that no speed-up is claimed over less than the
/// fastest there is on the host.
///
/// They are baselines: models are run by this program's kernels, and a profile keeps the two apart. A backend that crashes
/// costs the problem it crashed with, and is left alone after the third time.
public final class BaselineTuner {
  public enum Event: Sendable {
    /// The measurement has a comparison with this program's own winner.
    case measured(TuneTarget, Measurement)
    /// Why there is no baseline; `target` is nil when the backend is given up altogether.
    case leftOut(backend: String, TuneTarget?, reason: String)
  }

  private static let mostFailures = 3

  private let catalog: BackendCatalog
  private let machine: Fingerprint
  private let session: TuneSession
  private let samplingCap: Duration
  private let budget: Duration
  private let isCancelled: () -> Bool
  private let report: (Event) -> Void
  private let probes: CeilingProbes

  /// - Parameters:
  ///   - budget: time for all of it; what is left open is measured by the next tune.
  public init(
    _ catalog: BackendCatalog, machine: Fingerprint, session: TuneSession, effort: TuneEffort, budget: Duration,
    isCancelled: @escaping () -> Bool = { false }, report: @escaping (Event) -> Void
  ) {
    self.catalog = catalog
    self.machine = machine
    self.session = session
    samplingCap = effort.samplingCap
    self.budget = budget
    self.isCancelled = isCancelled
    self.report = report
    probes = CeilingProbes(machine: machine)
  }

  /// Measures each backend that takes it for each target that is settled; what this pass measured before is kept.
  ///
  /// - Returns: how many were left open because the time was up.
  /// - Throws: `TuneError.interrupted`; what was measured until then is kept.
  public func run(_ targets: [TuneTarget]) throws -> Int {
    let names = catalog.ready.compactMap(\.description?.name)
    guard !names.isEmpty else { return 0 }
    let end = nanosecondsNow() + UInt64(max(0, budget / .nanoseconds(1)))
    var open = 0
    for threads in Set(targets.map(\.threads)).sorted() {
      let pool = try ThreadPool.onePerCore(of: machine, threads: threads)
      defer { pool.shutdown() }
      for name in names {
        open += try run(name, targets.filter { $0.threads == threads }, on: pool, until: end)
      }
    }
    return open
  }

  private func run(_ name: String, _ targets: [TuneTarget], on pool: ThreadPool, until end: UInt64) throws -> Int {
    let rows = catalog.ready.first { $0.description?.name == name }?.description
    var process: BackendProcess?
    var failures = 0
    var open = 0
    for target in targets where rows?.row(for: target.problem) != nil {
      if isCancelled() { throw TuneError.interrupted }
      guard let winner = try session.winner(of: target.problem, threads: target.threads) else { continue }
      let schedule = Schedule(kernel: name, backend: .plugin(name), threads: target.threads)
      let known = try session.measurement(for: target.problem, schedule: schedule)
      if known?.comparison?.schedule == winner.schedule { continue }
      if nanosecondsNow() > end {
        open += 1
        continue
      }
      do {
        let running = try process ?? catalog.start(name, threads: target.threads, isCancelled: isCancelled)
        process = running
        let measurement = try measure(target.problem, by: running, beside: winner.schedule, on: pool)
        try session.record(measurement)
        report(.measured(target, measurement))
      } catch let error as BackendError where error.code == .interrupted {
        throw TuneError.interrupted
      } catch let error as BackendError {
        report(.leftOut(backend: name, target, reason: error.message))
        guard error.code == .crashed || error.code == .timedOut else { continue }
        process = nil
        failures += 1
        if failures == Self.mostFailures {
          report(.leftOut(backend: name, nil, reason: "it failed \(failures) times at \(target.threads) threads"))
          break
        }
      } catch let error as MeasureError where error.code == .interrupted {
        throw TuneError.interrupted
      } catch let error as MeasureError {
        // A noisy moment: the next tune tries again.
        report(.leftOut(backend: name, target, reason: error.message))
      }
    }
    return open
  }

  /// Samples it in turn with the winner: what was timed apart may have met another state of the host.
  private func measure(
    _ problem: Problem, by process: BackendProcess, beside winner: Schedule, on pool: ThreadPool
  ) throws -> Measurement {
    let own = try problem.prepare(winner, machine: machine)
    _ = try own.check(on: pool)
    let (check, _) = try process.prepare(problem)
    var rule = DecisionRule(.either)
    rule.precision = DecisionRule.leastMargin
    rule.timeCap = samplingCap * 2
    var decision: Decision?
    var measurement = try process.measure(
      problem, check: check, on: pool, probes: probes,
      ceilings: MeasuredRun.ceilingNames(for: problem).filter { problem.state == .cold || !$0.hasPrefix("read.") },
      samples: {
        let found = try PairedComparison.decide(
          InProcessSide(own, on: pool, countedBy: RunCounter(), beside: .otherThreads), BackendSide(process), rule: rule,
          clock: .system(watching: [pool]), isCancelled: isCancelled)
        decision = found
        return found.b
      })
    measurement.comparison = decision.map {
      ScheduleComparison(with: winner, ratio: $0.ratio, interval: $0.interval, isSignificant: $0.isSignificant)
    }
    return measurement
  }
}
