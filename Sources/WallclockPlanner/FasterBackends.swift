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
        guard
          let best = known[plan.threads]?.filter({ $0.problem == setting.problem })
            .min(by: { $0.samples.medianNanoseconds < $1.samples.medianNanoseconds })
        else { continue }
        let theirs = best.samples.medianNanoseconds * Double(setting.count) / 1e6
        let ratio = setting.predicted.milliseconds / theirs
        guard ratio > 1 + noise else { continue }
        total += theirs - setting.predicted.milliseconds
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
