import WallclockCore
import WallclockProfiles

extension Planner {
  /// Where the profile has plug-in backends that are faster than this program's kernels: of the chosen plan, and of the
  /// best dense one that it is measured against, since no speed-up is claimed over a slow baseline.
  ///
  /// - Parameter noise: what a difference must exceed.
  static func fasterBackends(_ chosen: Plan, dense: Plan?, profile: Profile, noise: Double) -> [String] {
    let known = Dictionary(grouping: profile.baselines ?? []) { $0.schedule.threads }
    func warning(_ plan: Plan, _ name: String) -> String? {
      var total = plan.predicted.milliseconds
      var nodes: [String] = []
      for setting in plan.settings {
        // Times taken apart tell less than the two sampled in turn: nothing else is believed.
        let faster = (known[plan.threads] ?? []).filter {
          guard let beside = $0.comparison, $0.problem == setting.problem else { return false }
          return beside.schedule == setting.schedule && beside.isSignificant && beside.ratio > 1 + noise
        }
        guard let best = faster.max(by: { $0.comparison!.ratio < $1.comparison!.ratio }), let ratio = best.comparison?.ratio
        else { continue }
        total -= setting.predicted.milliseconds * (1 - 1 / ratio)
        nodes.append("\(setting.node) \(times(ratio)) by \(best.schedule.backend)")
      }
      if nodes.isEmpty { return nil }
      return "vendors are faster here than the kernels of this program, by which `run` runs: \(name) would take "
        + "\(milliseconds(total)), not \(milliseconds(plan.predicted.milliseconds)), with "
        + nodes.joined(separator: ", ")
    }
    let others = dense.flatMap { $0.settings == chosen.settings ? nil : warning($0, "the best dense plan") }
    return [warning(chosen, "this plan"), others].compactMap { $0 }
  }
}
