import WallclockCore
import WallclockModels

extension PlanReport {
  /// For a terminal: the choice with its reason, node by node, the uniform plans and the front beside it,
  /// and what was rejected.
  public func rendered() -> String {
    var lines = [
      "\(chosen.model), \(chosen.workload), profile \(chosen.profile.name)",
      "",
      "Plan: \(chosen.label), \(count(chosen.threads, "thread"))",
      "  \(describe(chosen.predicted)), \(bytes(chosen.memoryBytes)), quality: \(chosen.quality.described)",
      "  \(chosen.reason).",
    ]
    if optimalityGap > 0 {
      lines.append("  Up to \(percent(optimalityGap)) faster plans round more; that is within the noise.")
    }
    lines += warnings.map { "  Warning: \($0)." }

    var nodes = TextTable(columns: [
      ("node", .left), ("×", .right), ("format", .left), ("ms", .right), ("share", .right),
      ("evidence", .left),
      ("schedule", .left),
    ])
    nodes.rows = chosen.settings.map { setting in
      [
        setting.node, "\(setting.count)", setting.format?.description ?? "-",
        fixed(setting.predicted.milliseconds, 3),
        percent(
          chosen.predicted.milliseconds > 0
            ? setting.predicted.milliseconds / chosen.predicted.milliseconds : 0),
        setting.predicted.evidence.described, setting.schedule.description,
      ]
    }
    lines += [""] + nodes.lines

    lines += ["", "One format throughout, \(count(chosen.threads, "thread")):"]
    lines += PlanReport.table(uniform, against: baseline).lines
    lines += ["", "Pareto front of time and memory:"]
    let shown = 12
    lines += PlanReport.table(Array(front.prefix(shown)), against: baseline).lines
    if front.count > shown { lines.append("… and \(front.count - shown) more in --json") }

    if !rejected.isEmpty {
      var table = TextTable(columns: [
        ("rejected", .left), ("of dense", .right), ("pays from m", .right), ("reason", .left),
      ])
      table.rows = rejected.map {
        [$0.setting, $0.ratio.map(times) ?? "-", $0.breakEven.map(String.init) ?? "-", $0.reason]
      }
      lines += [""] + table.lines
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func table(_ plans: [Plan], against baseline: Plan?) -> TextTable {
    var table = TextTable(columns: [
      ("plan", .left), ("threads", .right), ("ms", .right), ("interval", .right), ("of dense", .right),
      ("memory", .right), ("quality", .left),
    ])
    table.rows = plans.map { plan in
      [
        plan.label, "\(plan.threads)", fixed(plan.predicted.milliseconds, 3),
        "\(fixed(plan.predicted.interval.lowerBound, 3)) … \(fixed(plan.predicted.interval.upperBound, 3))",
        baseline.map { times($0.predicted.milliseconds / plan.predicted.milliseconds) } ?? "-",
        bytes(plan.memoryBytes), plan.quality.described,
      ]
    }
    return table
  }

  private func describe(_ prediction: Prediction) -> String {
    "\(milliseconds(prediction.milliseconds)) (\(fixed(prediction.interval.lowerBound, 3)) … "
      + "\(fixed(prediction.interval.upperBound, 3)), \(prediction.evidence.described))"
  }
}

extension CostEvidence {
  var described: String {
    switch self {
    case .measured: "measured here"
    case .predicted: "predicted"
    }
  }
}

extension Quality {
  /// `loss 0.5 % (measured: mean embedding cosine)`, in brief.
  var described: String {
    switch evidence {
    case .reference: "reference"
    case .unknown: "unknown"
    case .measured, .predicted, .published: "loss \(loss.map(percent) ?? "unknown") (\(evidence.rawValue))"
    }
  }
}

extension Explanation {
  public func rendered() -> String {
    var lines = [
      "\(model), \(workload), \(count(threads, "thread")): \(WallclockPlanner.milliseconds(milliseconds))",
      "",
    ]
    var table = TextTable(columns: [
      ("node", .left), ("×", .right), ("format", .left), ("ms", .right), ("share", .right),
      ("bound by", .left),
      ("bound ms", .right), ("of bound", .right), ("kernel", .left),
    ])
    // The dearest first: that is where a change pays.
    table.rows = rows.sorted { $0.milliseconds > $1.milliseconds }.map { row in
      [
        row.node, "\(row.count)", row.format.description, fixed(row.milliseconds, 3), percent(row.share),
        row.bound.rawValue, row.boundMilliseconds.map { fixed($0, 3) } ?? "-",
        row.fractionOfBound.map(percent) ?? "-", row.kernel,
      ]
    }
    lines += table.lines
    if !changes.isEmpty {
      var needs = TextTable(columns: [("to make it pay", .left), ("needs", .left)])
      needs.rows = changes.map { [$0.setting, $0.needs] }
      lines += [""] + needs.lines
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
