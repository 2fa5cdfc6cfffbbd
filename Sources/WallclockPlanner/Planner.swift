import WallclockCore
import WallclockModels
import WallclockProfiles

/// Chooses formats and Schedules for a model on a profiled machine. Pure: the same arguments give the
/// same plan anywhere.
public enum Planner {
  /// The best plan for the request, what it was chosen from, and why the rest was not.
  ///
  /// The choice over nodes, formats and thread counts is optimal for the cost model; it is given up, by
  /// at most the profile's noise floor, only for a plan that rounds less. No plan is slower than the best
  /// dense one within the same memory limit.
  ///
  /// - Throws: `PlannerError.notMeasured` outside the profiled hull, `.infeasible` when no plan meets the
  ///   limits, `.invalidRequest`.
  public static func plan(
    _ graph: ModelGraph, _ workload: Workload, profile: Profile, request: PlanRequest = PlanRequest()
  ) throws(PlannerError) -> PlanReport {
    try check(workload)
    try check(graph, workload)
    try check(request)
    let model = CostModel(profile: profile)
    let quality = QualityKnowledge(
      family: graph.name.split(separator: " ").first.map { $0.lowercased() } ?? "",
      measured: request.measuredQuality)

    let namesDense = request.formats.contains(where: \.isDenseFloat)
    let formats = Format.all.filter { request.formats.contains($0) || (!namesDense && $0.isDenseFloat) }
    var objections: [Format: String] = [:]
    if let limit = request.maximumLoss {
      for format in formats { objections[format] = quality.objection(to: format, maximumLoss: limit) }
    }
    let admitted = Set(formats.filter { objections[$0] == nil })

    var spaces: [SearchSpace] = []
    var failures: [(threads: Int, error: PlannerError)] = []
    for threads in try threadCounts(profile, request) {
      do {
        spaces.append(
          try SearchSpace(
            graph: graph, workload: workload, threads: threads, formats: formats, model: model,
            lastLevelCacheBytes: profile.fingerprint.lastLevelCacheBytes))
      } catch { failures.append((threads, error)) }
    }
    guard !spaces.isEmpty else { throw failures[0].error }

    // The best dense plan within the memory limit is what every other has to beat.
    typealias Found = (space: SearchSpace, candidate: SearchSpace.Candidate)
    func search(_ formats: Set<Format>) -> [Found] {
      spaces.flatMap { space in space.candidates(among: formats).map { (space, $0) } }.filter {
        graph.fixedBytes + $0.candidate.weightBytes <= request.maximumMemoryBytes ?? .max
      }
    }
    func isFaster(_ a: Found, _ b: Found) -> Bool {
      (a.candidate.nanoseconds, a.candidate.weightBytes) < (b.candidate.nanoseconds, b.candidate.weightBytes)
    }
    func isSmaller(_ a: Found, _ b: Found) -> Bool {
      (a.candidate.weightBytes, a.candidate.nanoseconds) < (b.candidate.weightBytes, b.candidate.nanoseconds)
    }
    let isBetter = request.objective == .memory ? isSmaller : isFaster
    let baseline = search(admitted.filter(\.isDenseFloat)).min(by: isFaster)
    let latencyLimit = request.maximumMilliseconds.map { $0 * 1e6 } ?? .infinity
    func best(_ formats: Set<Format>) -> Found? {
      search(formats).filter {
        $0.candidate.nanoseconds <= latencyLimit
          && $0.candidate.nanoseconds <= baseline?.candidate.nanoseconds ?? .infinity
      }.min(by: isBetter)
    }
    let everything = search(admitted)
    guard let optimum = best(admitted) else {
      throw infeasible(graph, request, spaces, admitted, objections)
    }

    // A plan that rounds more replaces one that rounds less only for more than the noise.
    let noise = request.objective == .memory ? 0 : profile.noiseFloor ?? defaultNoiseFloor
    let chosen =
      (0...3).lazy.compactMap { lossiness in best(admitted.filter { $0.lossiness <= lossiness }) }
      .first { candidate in
        request.objective == .memory
          ? candidate.candidate.weightBytes <= optimum.candidate.weightBytes
          : candidate.candidate.nanoseconds <= optimum.candidate.nanoseconds * (1 + noise)
      } ?? optimum

    func written(_ found: Found, _ reason: String) -> Plan {
      found.space.plan(
        found.candidate, quality: quality, objective: request.objective, reason: reason, profile: profile)
    }
    let baselinePlan = baseline.map { written($0, "the fastest plan with dense floating-point weights") }
    let space = chosen.space
    var front: [Plan] = []
    for found in everything.sorted(by: isFaster) where found.candidate.nanoseconds <= latencyLimit {
      let plan = written(found, "no other plan takes both less time and less memory")
      if plan.memoryBytes < front.last?.memoryBytes ?? .max { front.append(plan) }
    }
    let uniform = formats.compactMap { format in
      space.uniform(format).map { written((space, $0), "every weight in \(format), for comparison") }
    }
    let rejections = Rejections(
      space: space, chosen: chosen.candidate, model: model, formats: formats, objections: objections,
      noise: noise)
    var chosenPlan = written(chosen, "")
    chosenPlan.reason = reason(
      chosenPlan, baseline: baselinePlan, noise: noise, request: request,
      fastestCompressed: search(admitted.filter { !$0.isDenseFloat }).min(by: isFaster).map {
        written($0, "")
      })
    return PlanReport(
      schemaVersion: Plan.currentSchemaVersion, chosen: chosenPlan, front: front,
      rejected: rejections.list() + threadRejections(chosen, spaces, failures, admitted), uniform: uniform,
      baseline: baselinePlan,
      optimalityGap: request.objective == .memory
        ? 0 : max(0, chosen.candidate.nanoseconds / optimum.candidate.nanoseconds - 1),
      warnings: warnings(chosenPlan, profile: profile)
        + fasterBackends(chosenPlan, dense: baselinePlan, profile: profile, noise: noise))
  }

  /// Taken for the noise floor where the profile has none.
  static let defaultNoiseFloor = 0.02

  // MARK: - Checks

  /// Rows above this are taken for a mistake; sizes stay far from overflow.
  static let mostRows = 1 << 24

  static func check(_ workload: Workload) throws(PlannerError) {
    let (rows, overflow) = workload.batch.multipliedReportingOverflow(by: workload.tokens)
    guard workload.batch > 0, workload.tokens > 0, !overflow, rows <= mostRows else {
      throw PlannerError(
        .invalidRequest,
        "batch \(workload.batch) of \(workload.tokens) tokens; both must be at least 1, "
          + "and at most \(mostRows) together")
    }
  }

  private static func check(_ graph: ModelGraph, _ workload: Workload) throws(PlannerError) {
    guard workload.tokens <= graph.maximumTokens else {
      throw PlannerError(
        .invalidRequest,
        "\(workload.tokens) tokens; \(graph.name) takes at most \(graph.maximumTokens) per sequence")
    }
    guard Set(graph.nodes.map(\.name)).count == graph.nodes.count else {
      throw PlannerError(.invalidRequest, "two nodes of \(graph.name) have one name")
    }
  }

  private static func check(_ request: PlanRequest) throws(PlannerError) {
    guard !request.formats.isEmpty else {
      throw PlannerError(.invalidRequest, "no format was given to choose from")
    }
    for (name, limit) in [
      ("latency", request.maximumMilliseconds), ("loss", request.maximumLoss),
      ("memory", request.maximumMemoryBytes.map(Double.init)),
    ] {
      guard let limit, !(limit.isFinite && limit >= 0) else { continue }
      throw PlannerError(.invalidRequest, "a limit of \(limit) on \(name); expected a number ≥ 0")
    }
    for (format, measured) in request.measuredQuality where !(measured.loss.isFinite) {
      throw PlannerError(.invalidRequest, "the measured loss of \(format) is \(measured.loss)")
    }
  }

  private static func threadCounts(_ profile: Profile, _ request: PlanRequest) throws(PlannerError) -> [Int] {
    let known = profile.threadCounts
    guard let wanted = request.threads else {
      guard !known.isEmpty else {
        throw PlannerError(
          .notMeasured, "profile \"\(profile.name)\" holds no measurements; `wallclock tune` makes them")
      }
      return known
    }
    guard known.contains(wanted) else {
      throw PlannerError(
        .notMeasured,
        "nothing was measured at \(wanted) threads, only at \(known.map(String.init).joined(separator: ", ")); "
          + "`wallclock tune --threads \(wanted)` measures it")
    }
    return [wanted]
  }

  // MARK: - Words

  private static func infeasible(
    _ graph: ModelGraph, _ request: PlanRequest, _ spaces: [SearchSpace], _ admitted: Set<Format>,
    _ objections: [Format: String]
  ) -> PlannerError {
    let all = spaces.flatMap { $0.candidates(among: admitted) }
    guard let fastest = all.map(\.nanoseconds).min(), let smallest = all.map(\.weightBytes).min() else {
      let why = objections.sorted { $0.key.description < $1.key.description }.map { "\($0.key) \($0.value)" }
      return PlannerError(.infeasible, "no format is left to choose from: " + why.joined(separator: "; "))
    }
    var limits: [String] = []
    if let limit = request.maximumMilliseconds {
      limits.append("at most \(milliseconds(limit)) (the fastest plan takes \(milliseconds(fastest / 1e6)))")
    }
    if let limit = request.maximumMemoryBytes {
      limits.append("at most \(bytes(limit)) (the smallest plan takes \(bytes(graph.fixedBytes + smallest)))")
    }
    return PlannerError(
      .infeasible,
      "no plan takes \(limits.joined(separator: " and ")) without being slower than dense; relax a limit")
  }

  private static func reason(
    _ chosen: Plan, baseline: Plan?, noise: Double, request: PlanRequest, fastestCompressed: Plan?
  ) -> String {
    guard let baseline else {
      return "\(chosen.label) at \(count(chosen.threads, "thread")) meets the limits; no dense plan does"
    }
    let speed = baseline.predicted.milliseconds / chosen.predicted.milliseconds
    let memory = Double(chosen.memoryBytes) / Double(max(1, baseline.memoryBytes))
    let against =
      "the best dense plan (\(baseline.label), \(milliseconds(baseline.predicted.milliseconds)), "
      + "\(count(baseline.threads, "thread")))"
    if chosen.formats.allSatisfy(\.isDenseFloat) {
      guard let other = fastestCompressed else {
        return "\(chosen.label) is the only kind of weights left to choose from"
      }
      let ratio = baseline.predicted.milliseconds / other.predicted.milliseconds
      if request.objective == .memory {
        return "\(chosen.label): nothing smaller is as fast as dense here"
      }
      let verdict =
        ratio > 1 ? "gains less than the noise of \(percent(noise)) or breaks a limit" : "is slower"
      return "nothing beats dense here: the fastest compressed plan, \(other.label), is \(times(ratio)) of "
        + "\(baseline.label) and \(verdict)"
    }
    return
      "\(chosen.label) at \(count(chosen.threads, "thread")) is \(times(speed)) as fast as \(against) in "
      + "\(times(memory)) of its memory"
  }

  private static func warnings(_ plan: Plan, profile: Profile) -> [String] {
    var warnings: [String] = []
    switch plan.quality.evidence {
    case .published:
      warnings.append(
        "quality is a published figure of another model (\(plan.quality.source)); "
          + "`wallclock verify` measures yours")
    case .unknown:
      warnings.append("quality is unknown: \(plan.quality.source); `wallclock verify` measures it")
    case .reference, .measured, .predicted: break
    }
    if plan.predicted.evidence == .predicted {
      let count = plan.settings.filter { $0.predicted.evidence == .predicted }.count
      warnings.append("\(count) of \(plan.settings.count) node costs are interpolated, not measured")
    }
    if profile.noiseFloor == nil {
      warnings.append("the profile has no noise floor; \(percent(defaultNoiseFloor)) was taken for it")
    }
    return warnings
  }

  private static func threadRejections(
    _ chosen: (space: SearchSpace, candidate: SearchSpace.Candidate), _ spaces: [SearchSpace],
    _ failures: [(threads: Int, error: PlannerError)], _ admitted: Set<Format>
  ) -> [Rejection] {
    let others: [Rejection] = spaces.compactMap { space in
      guard space.threads != chosen.space.threads,
        let fastest = space.candidates(among: admitted).map(\.nanoseconds).min()
      else { return nil }
      let ratio = chosen.candidate.nanoseconds / fastest
      return Rejection(
        setting: count(space.threads, "thread"),
        reason:
          "\(times(ratio)) of \(count(chosen.space.threads, "thread")): at best \(milliseconds(fastest / 1e6))",
        ratio: ratio, breakEven: nil)
    }
    return others
      + failures.map {
        Rejection(setting: count($0.threads, "thread"), reason: $0.error.message, ratio: nil, breakEven: nil)
      }
  }
}
