import Foundation
import Wallclock

/// What a tune has searched and what more time could gain, for people.
enum TuneOutlookText {
  /// Ends in a newline where it is not empty.
  ///
  /// - Parameters:
  ///   - command: what would go on with it; nil where nothing is left.
  ///   - isQuick: one line for all workloads.
  static func lines(_ outlook: TuneOutlook, command: String?, isQuick: Bool) -> String {
    guard let command else {
      return outlook.workloads.isEmpty ? "" : "More time would gain nothing that shows.\n"
    }
    let more = "\(outlook.open) searches are open; for these: \(command)\n"
    guard !outlook.workloads.isEmpty else { return more }
    if isQuick {
      let expected = outlook.workloads.map(\.expectedGain), possible = outlook.workloads.map(\.possibleGain)
      return "Nothing was searched; that is expected to gain \(range(expected)) of the models' time"
        + " (\(percent(possible.max()!)) at most): \(command)\n"
    }
    var table = TextTable(columns: [
      ("model", .left), ("workload", .left), ("searched", .right), ("cut short", .right), ("not searched", .right),
      ("negligible", .right), ("to gain", .right), ("at most", .right),
    ])
    table.rows = outlook.workloads.map {
      [
        $0.model, $0.workload, percent($0.searched), percent($0.cutShort), percent($0.unsearched),
        percent($0.negligible), percent($0.expectedGain), percent($0.possibleGain),
      ]
    }
    return "Parts of each workload's time, over formats and thread counts, and what more searching could gain:\n"
      + table.lines.joined(separator: "\n") + "\n" + more
  }

  private static func percent(_ part: Double) -> String { String(format: part < 0.1 ? "%.1f %%" : "%.0f %%", 100 * part) }

  private static func range(_ parts: [Double]) -> String {
    let (low, high) = (percent(parts.min()!), percent(parts.max()!))
    return low == high ? low : "\(low) to \(high)"
  }
}
