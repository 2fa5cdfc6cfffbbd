import Foundation
import Wallclock

/// What a tune found out about plug-in backends.
struct TuneBaselines: Encodable {
  /// A problem that a backend was measured at.
  struct Entry: Encodable {
    var problem: String
    var threads: Int
    var backend: String
    var nanoseconds: Double
    /// Time of this program's winner over the backend's, sampled in turn: above 1, the backend is faster.
    var ratio: Double
    var interval: ClosedRange<Double>
    var significant: Bool
  }

  struct LeftOut: Encodable {
    var backend: String
    /// Absent when the backend was given up.
    var problem: String?
    var reason: String
  }

  var measured: [Entry] = []
  var leftOut: [LeftOut] = []
  /// Not measured because the time was up.
  var open = 0

  /// Searches and samples have the budget; backends get this part of it besides.
  private static let share = 0.3

  /// Measures every backend that is ready on the targets that are settled.
  static func measure(
    _ catalog: BackendCatalog, _ targets: [TuneTarget], machine: Fingerprint, session: TuneSession, effort: TuneEffort,
    progress: Progress
  ) throws -> TuneBaselines {
    var result = TuneBaselines()
    let tuner = BaselineTuner(
      catalog, machine: machine, session: session, effort: effort, budget: effort.budget * share,
      isCancelled: { Interruption.isRequested }
    ) { event in
      switch event {
      case .measured(let target, let measurement):
        guard let comparison = measurement.comparison else { return }
        let time = measurement.samples.medianNanoseconds
        result.measured.append(
          Entry(
            problem: "\(target.problem)", threads: target.threads, backend: "\(measurement.schedule.backend)",
            nanoseconds: time, ratio: comparison.ratio, interval: comparison.interval, significant: comparison.isSignificant))
        progress.update(
          done: result.measured.count, total: max(targets.count, result.measured.count),
          detail: "\(target.problem): \(Units.time(time)) by \(measurement.schedule.kernel)")
      case .leftOut(let backend, let target, let reason):
        result.leftOut.append(LeftOut(backend: backend, problem: target.map { "\($0.problem)" }, reason: reason))
        progress.note("left out \(backend)\(target.map { " for \($0.problem)" } ?? ""): \(reason)")
      }
    }
    result.open = try tuner.run(targets)
    return result
  }

  /// A line for each backend; empty when none was measured.
  var lines: String {
    let byBackend = Dictionary(grouping: measured, by: \.backend).sorted { $0.key < $1.key }
    let lines = byBackend.map { backend, entries in
      let faster = entries.filter { $0.significant && $0.ratio > 1 }
      let best = faster.max { $0.ratio < $1.ratio }
      return "\(backend) was compared on \(entries.count) problems and is faster than the kernels here on \(faster.count)"
        + (best.map { String(format: ", at best %.2f× (%@)", $0.ratio, $0.problem) } ?? "")
    }
    let left = open > 0 ? ["\(open) comparisons with backends were left open for want of time; the same command goes on."] : []
    return (lines + left).map { $0 + "\n" }.joined()
  }
}
