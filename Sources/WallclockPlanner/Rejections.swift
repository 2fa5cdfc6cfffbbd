import WallclockCore
import WallclockModels

/// Why each format that was considered is not in a plan, node by node.
struct Rejections {
  var space: SearchSpace
  var chosen: SearchSpace.Candidate
  var model: CostModel
  var formats: [Format]
  /// Formats the limit on the loss rules out.
  var objections: [Format: String]
  /// Relative differences up to this are none.
  var noise: Double

  func list() -> [Rejection] {
    formats.flatMap { format -> [Rejection] in
      let nodes = space.weighted.indices.filter { chosenOption($0).format != format }
      guard !nodes.isEmpty else { return [] }
      let refusals = nodes.map { space.weighted[$0].refused[format] }
      // One entry where one reason holds for the whole model: its first gap stands for all.
      if refusals.allSatisfy({ $0 != nil }), let first = refusals.first, let first {
        return [Rejection(setting: format.description, reason: first, ratio: nil, breakEven: nil)]
      }
      if let objection = objections[format] {
        let ratio = space.uniform(format).flatMap { uniform in
          denseUniform().map { $0.nanoseconds / uniform.nanoseconds }
        }
        let speed = ratio.map { "; it would run at \(times($0)) of dense" } ?? ""
        return [
          Rejection(setting: format.description, reason: objection + speed, ratio: ratio, breakEven: nil)
        ]
      }
      return nodes.map { rejection(of: format, node: $0) }
    }
  }

  private func chosenOption(_ node: Int) -> SearchSpace.Option {
    space.weighted[node].options[chosen.choices[node]]
  }

  /// The faster of all f32 and all bf16.
  private func denseUniform() -> SearchSpace.Candidate? {
    [Format.f32, .bf16].compactMap(space.uniform).min { $0.nanoseconds < $1.nanoseconds }
  }

  private func rejection(of format: Format, node index: Int) -> Rejection {
    let choices = space.weighted[index]
    let rows = space.workload.batch * space.workload.tokens
    let setting = "\(format) for \(choices.node.name) at m=\(rows)"
    guard let option = choices.options.first(where: { $0.format == format }) else {
      return Rejection(
        setting: setting, reason: choices.refused[format] ?? "it was not considered", ratio: nil,
        breakEven: nil)
    }
    let current = chosenOption(index)
    let dense = choices.options.filter { $0.format.isDenseFloat && $0.format != format }
      .min { nanoseconds($0, in: index) < nanoseconds($1, in: index) }
    let here = nanoseconds(option, in: index)
    let against = nanoseconds(current, in: index)
    guard let dense else {
      return Rejection(
        setting: setting, reason: "\(times(against / here)) of \(current.format) here", ratio: against / here,
        breakEven: nil)
    }
    let ratio = nanoseconds(dense, in: index) / here
    var reason = "\(times(ratio)) of dense \(dense.format) here"
    var breakEven: Int?
    if ratio > 1 {
      breakEven = self.breakEven(format, node: index)
      let relative = against / here
      if relative > 1 + noise {
        reason += "; \(times(relative)) of \(current.format), but the plan as a whole would break a limit"
      } else if relative > 1 {
        reason += "; no more than the noise of \(percent(noise)) ahead of \(current.format)"
      } else {
        reason += ", but \(current.format) is \(times(nanoseconds(dense, in: index) / against))"
      }
    } else if !format.isDenseFloat {
      breakEven = self.breakEven(format, node: index)
      reason += breakEven.map { "; breaks even at m=\($0)" } ?? "; it pays at no m that was measured"
    }
    return Rejection(setting: setting, reason: reason, ratio: ratio, breakEven: breakEven)
  }

  /// The time of a node in the chosen plan with `option` put in its place.
  private func nanoseconds(_ option: SearchSpace.Option, in node: Int) -> Double {
    let bytes = chosen.weightBytes - chosenOption(node).bytes + option.bytes
    return option.cost(coldFraction: space.coldFraction(weightBytes: bytes)).nanoseconds
  }

  /// The smallest m in the measured hull from which `format` beats the best dense format on this node,
  /// in the operand state of the plan; nil when it never does.
  ///
  /// Found on the measured sizes and then narrowed down between two of them.
  private func breakEven(_ format: Format, node index: Int) -> Int? {
    guard case .gemm(let n, let k, let epilogue) = space.weighted[index].node.work else { return nil }
    let state: OperandState = space.coldFraction(weightBytes: chosen.weightBytes) < 0.5 ? .warm : .cold
    func nanoseconds(_ format: Format, _ m: Int) -> Double? {
      let problem = Problem.gemm(format, m: m, n: n, k: k, epilogue: epilogue, state: state)
      return (try? model.cost(of: problem, threads: space.threads))?.nanoseconds
    }
    func pays(_ m: Int) -> Bool? {
      guard let here = nanoseconds(format, m),
        let dense = [Format.f32, .bf16].filter(formats.contains).compactMap({ nanoseconds($0, m) }).min()
      else { return nil }
      return here < dense
    }
    let sizes = model.measuredRows(format: format, threads: space.threads).filter { pays($0) != nil }
    guard let first = sizes.firstIndex(where: { pays($0) == true }) else { return nil }
    guard first > 0 else { return sizes[first] }
    var (low, high) = (sizes[first - 1], sizes[first])
    while high - low > 1 {
      let middle = (low + high) / 2
      if pays(middle) == true { high = middle } else { low = middle }
    }
    return high
  }
}
