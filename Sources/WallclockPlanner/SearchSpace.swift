import WallclockCore
import WallclockModels
import WallclockProfiles

/// The choices for one model, workload and thread count, with their costs.
struct SearchSpace: Sendable {
  /// One format for one node; costs and bytes are of all its occurrences.
  struct Option: Sendable {
    var format: Format
    var bytes: Int
    var warm: PredictedCost
    var cold: PredictedCost

    /// The cost when `coldFraction` of the weights stream from DRAM.
    func cost(coldFraction: Double) -> PredictedCost {
      if coldFraction <= 0 { return warm }
      if coldFraction >= 1 { return cold }
      func blend(_ a: Double, _ b: Double) -> Double { a + coldFraction * (b - a) }
      return PredictedCost(
        nanoseconds: blend(warm.nanoseconds, cold.nanoseconds),
        interval: blend(
          warm.interval.lowerBound, cold.interval.lowerBound)...blend(
            warm.interval.upperBound, cold.interval.upperBound),
        evidence: .predicted, schedule: coldFraction < 0.5 ? warm.schedule : cold.schedule)
    }
  }

  struct Choices: Sendable {
    var node: ModelGraph.Node
    var options: [Option]
    /// Formats that cannot be costed, and why.
    var refused: [Format: String]
  }

  /// A choice of one option for each node with weights, and what it comes to.
  struct Candidate: Sendable {
    /// Indices into `weighted[i].options`.
    var choices: [Int]
    var weightBytes: Int
    var nanoseconds: Double
  }

  let graph: ModelGraph
  let workload: Workload
  let threads: Int
  let weighted: [Choices]
  /// Nodes without weights, by name: nothing to choose.
  let fixed: [String: PredictedCost]
  let lastLevelCacheBytes: Int

  /// - Throws: `PlannerError.notMeasured` when a node has no cost, or no dense format to compare with.
  init(
    graph: ModelGraph, workload: Workload, threads: Int, formats: [Format], model: CostModel,
    lastLevelCacheBytes: Int
  ) throws(PlannerError) {
    self.graph = graph
    self.workload = workload
    self.threads = threads
    self.lastLevelCacheBytes = lastLevelCacheBytes
    var weighted: [Choices] = []
    var fixed: [String: PredictedCost] = [:]
    for node in graph.nodes {
      let count = Double(node.count)
      guard case .gemm(_, let k, _) = node.work else {
        fixed[node.name] = try model.cost(
          of: node.problem(workload, format: .f32, state: .warm), threads: threads
        )
        .scaled(count)
        continue
      }
      var choices = Choices(node: node, options: [], refused: [:])
      var denseFailure: PlannerError?
      for format in formats {
        guard format.admits(k: k) else {
          choices.refused[format] = "K=\(k) is no multiple of the group of \(format.groupSize ?? 1)"
          continue
        }
        do {
          let (warm, cold) = try Self.costs(node, workload, format, threads, model)
          choices.options.append(
            Option(
              format: format, bytes: node.count * node.weightBytes(format), warm: warm.scaled(count),
              cold: cold.scaled(count)))
        } catch {
          choices.refused[format] = error.message
          if format.isDenseFloat, denseFailure == nil { denseFailure = error }
        }
      }
      if !choices.options.contains(where: \.format.isDenseFloat) {
        throw denseFailure
          ?? PlannerError(.notMeasured, "\(node.name) has no dense format to compare with; allow f32 or bf16")
      }
      weighted.append(choices)
    }
    self.weighted = weighted
    self.fixed = fixed
  }

  /// What the other operand state is taken to change at most, when only one is known.
  private static let stateError = 0.25

  /// Costs in both states; cold is never cheaper than warm.
  private static func costs(
    _ node: ModelGraph.Node, _ workload: Workload, _ format: Format, _ threads: Int, _ model: CostModel
  ) throws(PlannerError) -> (warm: PredictedCost, cold: PredictedCost) {
    var failure: PlannerError?
    func cost(_ state: OperandState) -> PredictedCost? {
      do {
        return try model.cost(of: node.problem(workload, format: format, state: state), threads: threads)
      } catch {
        failure = failure ?? error
        return nil
      }
    }
    switch (cost(.warm), cost(.cold)) {
    case (let warm?, let cold?):
      // Less than noise apart, the order of the two may come out wrong.
      return cold.nanoseconds >= warm.nanoseconds ? (warm, cold) : (warm, warm.predicted(error: 0))
    case (let warm?, nil): return (warm, warm.predicted(error: stateError))
    case (nil, let cold?): return (cold.predicted(error: stateError), cold)
    case (nil, nil):
      let problem = node.problem(workload, format: format, state: .warm)
      throw failure ?? .notMeasured(problem, threads: threads, "nothing like it was measured")
    }
  }

  /// The share of weights that streams from DRAM when a forward pass reads `weightBytes` of them: none up
  /// to ¾ of the last-level cache (the rest holds activations), all from 1¼, linear between.
  func coldFraction(weightBytes: Int) -> Double {
    guard lastLevelCacheBytes > 0 else { return 1 }
    let fill = Double(weightBytes) / Double(lastLevelCacheBytes)
    return min(1, max(0, (fill - 0.75) / 0.5))
  }

  var fixedNanoseconds: Double { fixed.values.reduce(0) { $0 + $1.nanoseconds } }

  /// Every choice among `formats` that is not dominated: no other takes at most its memory and time.
  ///
  /// Exact. Partial choices are kept while not dominated in (bytes, warm time, cold time); the final time,
  /// `warm + c(bytes) · (cold − warm)` with c rising and cold ≥ warm, grows with each of the three, so the
  /// best completion of a dominated partial choice is matched by that of its dominator.
  func candidates(among formats: Set<Format>) -> [Candidate] {
    struct Partial {
      var bytes = 0
      var warm = 0.0
      var cold = 0.0
      var choices: [Int] = []
      func dominates(_ other: Partial) -> Bool {
        bytes <= other.bytes && warm <= other.warm && cold <= other.cold
      }
    }
    var partials = [Partial()]
    for node in weighted {
      var extended: [Partial] = []
      for partial in partials {
        for (i, option) in node.options.enumerated() where formats.contains(option.format) {
          extended.append(
            Partial(
              bytes: partial.bytes + option.bytes, warm: partial.warm + option.warm.nanoseconds,
              cold: partial.cold + option.cold.nanoseconds, choices: partial.choices + [i]))
        }
      }
      // In this order a dominator comes before what it dominates.
      extended.sort { ($0.bytes, $0.warm, $0.cold) < ($1.bytes, $1.warm, $1.cold) }
      partials = extended.reduce(into: []) { kept, new in
        if !kept.contains(where: { $0.dominates(new) }) { kept.append(new) }
      }
    }
    return partials.map { partial in
      let share = coldFraction(weightBytes: partial.bytes)
      return Candidate(
        choices: partial.choices, weightBytes: partial.bytes,
        nanoseconds: fixedNanoseconds + partial.warm + share * (partial.cold - partial.warm))
    }
  }

  /// Every weight in `format`; nil when a node has no cost in it.
  func uniform(_ format: Format) -> Candidate? {
    var choices: [Int] = []
    for node in weighted {
      guard let i = node.options.firstIndex(where: { $0.format == format }) else { return nil }
      choices.append(i)
    }
    return candidate(choices)
  }

  func candidate(_ choices: [Int]) -> Candidate {
    let options = zip(weighted, choices).map { $0.options[$1] }
    let bytes = options.reduce(0) { $0 + $1.bytes }
    let share = coldFraction(weightBytes: bytes)
    return Candidate(
      choices: choices, weightBytes: bytes,
      nanoseconds: options.reduce(fixedNanoseconds) { $0 + $1.cost(coldFraction: share).nanoseconds })
  }

  /// Writes a candidate out as a plan.
  func plan(
    _ candidate: Candidate, quality: QualityKnowledge, objective: PlanRequest.Objective, reason: String,
    profile: Profile
  ) -> Plan {
    let share = coldFraction(weightBytes: candidate.weightBytes)
    var choices = zip(weighted, candidate.choices).makeIterator()
    var formats: [Format] = []
    let settings = graph.nodes.map { node in
      if node.hasWeights, let (space, choice) = choices.next() {
        let option = space.options[choice]
        formats.append(option.format)
        return setting(
          node, node.problem(workload, format: option.format, state: share < 0.5 ? .warm : .cold),
          option.format, option.cost(coldFraction: share))
      }
      // Every node without weights got a cost in `init`.
      let cost = fixed[node.name]!
      return setting(node, node.problem(workload, format: .f32, state: .warm), nil, cost)
    }
    let total = settings.map(\.predicted).reduce(
      Prediction(milliseconds: 0, interval: 0...0, evidence: .measured)
    ) { sum, part in
      Prediction(
        milliseconds: sum.milliseconds + part.milliseconds,
        interval: sum.interval.lowerBound + part.interval.lowerBound...sum.interval.upperBound
          + part.interval.upperBound,
        evidence: part.evidence == .measured ? sum.evidence : .predicted)
    }
    return Plan(
      schemaVersion: Plan.currentSchemaVersion, model: graph.name, workload: workload, threads: threads,
      settings: settings, predicted: total, memoryBytes: graph.fixedBytes + candidate.weightBytes,
      coldFraction: share, quality: quality.quality(of: formats), objective: objective, reason: reason,
      profile: Plan.ProfileIdentity(
        name: profile.name, fingerprintHash: profile.fingerprint.identityHash, updatedAt: profile.updatedAt))
  }

  private func setting(
    _ node: ModelGraph.Node, _ problem: Problem, _ format: Format?, _ cost: PredictedCost
  ) -> Plan.Setting {
    Plan.Setting(
      node: node.name, count: node.count, problem: problem, format: format, schedule: cost.schedule,
      predicted: Prediction(
        milliseconds: cost.nanoseconds / 1e6,
        interval: cost.interval.lowerBound / 1e6...cost.interval.upperBound / 1e6, evidence: cost.evidence))
  }
}
