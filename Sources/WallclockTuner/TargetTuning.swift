import WallclockCore
import WallclockKernels
import WallclockMeasure
import WallclockProfiles
import WallclockThreads

/// What is done for one target: candidates tried, timed and compared.
extension Tuner {
  // MARK: - Settling

  /// Settles `target` with the best of its likeliest Schedules.
  func settle(
    _ target: TuneTarget, searchNanoseconds: Double
  ) throws -> (measurement: Measurement, candidates: Int) {
    let pool = try pool(target.threads)
    let problem = target.problem
    var field: [Candidate] = []
    for schedule in try candidates(for: target) {
      if isCancelled() { throw TuneError.interrupted }
      let best = field.map(\.trialNanoseconds).min()
      evaluations += 1
      guard let candidate = try admit(schedule, sharing: field.first?.prepared, target, best: best, on: pool)
      else { continue }
      field.append(candidate)
      // One look at each candidate is the least a search costs; stop when even that is too dear.
      let spent = field.reduce(0) { $0 + $1.pace * 3 }
      if spent > searchNanoseconds && field.count >= 2 || evaluations >= effort.evaluations { break }
    }
    guard let first = field.first else {
      throw KernelError(.unsupported, "every Schedule tried for \(problem) was rejected")
    }
    var winner = 0
    var timed: [TimedSchedule] = []
    if field.count > 1 {
      let halving = try halve(field, on: pool, nanoseconds: searchNanoseconds * 0.6)
      let finalist = halving.fastest
      if finalist != 0,
        try advantage(of: field[finalist], over: first, target, on: pool, nanoseconds: searchNanoseconds * 0.4) != nil
      {
        winner = finalist
      }
      timed = field.indices.filter { $0 != winner }.map {
        TimedSchedule(
          field[$0].prepared.schedule, ratio: halving.ratio($0, to: winner), wasCompared: $0 == 0 || $0 == finalist)
      }
    }
    let chosen = field[winner]
    let measurement = try measure(chosen.prepared, check: try confirm(chosen, target, on: pool), on: pool)
    try session.settle(with: measurement, beside: timed)
    remember(target, measurement.schedule)
    return (measurement, field.count)
  }

  /// Samples a field in turn until one is left or the time is used up.
  func halve(_ field: [Candidate], on pool: ThreadPool, nanoseconds: Double) throws -> PairedHalving {
    let start = nanosecondsNow()
    var halving = PairedHalving(count: field.count)
    let counter = RunCounter()
    var sides = field.map { TimedSide($0.prepared, on: pool, countedBy: counter) }
    let repetitions = field.map { max(1, Int(30_000 / $0.pace)) }
    repeat {
      var times: [Double] = []
      for i in halving.field {
        if isCancelled() { throw TuneError.interrupted }
        times.append(sides[i].time(repetitions[i]) / Double(repetitions[i]))
      }
      halving.append(times)
    } while !halving.isOver && Double(nanosecondsNow() - start) < nanoseconds
    return halving
  }

  // MARK: - Searching

  /// Schedules a search hands on: what takes the winner's place is decided among them.
  private static let finalists = 4
  /// Evaluations without anything better after which a search ends.
  private static let patience = 48
  /// What counts as better, and as worth comparing: less is lost in a few samples.
  private static let step = 0.005

  /// Goes on with the search of a settled target, for so long.
  ///
  /// What was timed in earlier runs is told to the strategy again, not timed again; so it asks for what comes
  /// after.
  ///
  /// - Parameter least: nanoseconds of one run at the ceilings.
  /// - Returns: how far it came, and the measurement of a new winner.
  func improve(
    _ target: TuneTarget, _ record: SearchRecord, least: Double, nanoseconds: Double
  ) throws -> (record: SearchRecord, measurement: Measurement?, evaluations: Int) {
    let start = nanosecondsNow()
    let problem = target.problem
    let pool = try pool(target.threads)
    guard let method = effort.search, let settled = try session.winner(of: problem, threads: target.threads) else {
      return (record, nil, 0)
    }
    var record = record
    try session.record([(problem, record)])
    let reference = try candidate(
      problem.prepare(record.reference, machine: machine), nanoseconds: settled.samples.medianNanoseconds, on: pool)
    var known: [Schedule: TimedSchedule] = [:]
    for timed in try session.timedSchedules(of: problem, threads: target.threads) { known[timed.schedule] = timed }

    let before = evaluations
    let end = start + UInt64(nanoseconds * 0.7)
    var search = try KnobSearch(target, machine: machine, method: method)
    (record.ending, known) = try searchOn(
      &search, target, beside: reference, known: known, until: end, least: least / reference.pace, on: pool)

    let incumbent = settled.schedule == record.reference ? 1 : known[settled.schedule]?.ratio ?? 1
    let finalists = known.values.filter { !$0.wasCompared && $0.ratio < incumbent * (1 - Self.step) }
      .sorted { $0.ratio < $1.ratio }.prefix(Self.finalists)
    let better = try replaceWinner(
      settled.schedule, by: Array(finalists), target, sharing: reference, on: pool, nanoseconds: nanoseconds * 0.3)
    if let better { record.gain = 1 - (1 - record.gain) / better.advantage }
    record.seconds += Double(nanosecondsNow() - start) / 1e9
    try session.record([(problem, record)])
    return (record, better?.measurement, evaluations - before)
  }

  /// Evaluates what the strategy asks for until it, the time, or the hope for better has come to an end.
  ///
  /// - Parameter least: the ratio that no Schedule gets below.
  /// - Returns: why it ended, nil where it was cut short, and all that is timed now.
  private func searchOn(
    _ search: inout KnobSearch, _ target: TuneTarget, beside reference: Candidate,
    known: [Schedule: TimedSchedule], until end: UInt64, least: Double, on pool: ThreadPool
  ) throws -> (SearchRecord.Ending?, [Schedule: TimedSchedule]) {
    var known = known
    var best = 1.0
    var fruitless = 0
    for _ in 0..<effort.maximumEvaluations {
      if isCancelled() { throw TuneError.interrupted }
      if fruitless >= Self.patience { return (.patience, known) }
      if best <= least * 1.02 { return (.roofline, known) }
      if nanosecondsNow() >= end || evaluations >= effort.evaluations { return (nil, known) }
      guard let (point, schedule) = search.next() else { return (.exhausted, known) }
      fruitless += 1
      let ratio: Double
      if schedule == reference.prepared.schedule {
        ratio = 1
      } else if let timed = known[schedule] {
        ratio = timed.ratio
      } else {
        evaluations += 1
        guard
          let candidate = try admit(
            schedule, sharing: reference.prepared, target, best: reference.trialNanoseconds, on: pool)
        else {
          search.tell(point, .failed)
          continue
        }
        ratio = relativeTime(of: candidate, to: reference, best: best, on: pool)
        let timed = TimedSchedule(schedule, ratio: ratio)
        try session.record(timed, of: target.problem)
        known[schedule] = timed
      }
      search.tell(point, .time(ratio))
      if ratio < best - Self.step { fruitless = 0 }
      best = min(best, ratio)
    }
    return (.evaluations, known)
  }

  /// The time of one candidate over another's, from a few samples of each in turn: fewer where it is lost.
  private func relativeTime(
    of candidate: Candidate, to reference: Candidate, best: Double, on pool: ThreadPool
  ) -> Double {
    let counter = RunCounter()
    var sides = [candidate, reference].map { TimedSide($0.prepared, on: pool, countedBy: counter) }
    let repetitions = [candidate, reference].map { max(1, Int(30_000 / $0.pace)) }
    var ratios: [Double] = []
    while ratios.count < 5 {
      let times = sides.indices.map { sides[$0].time(repetitions[$0]) / Double(repetitions[$0]) }
      ratios.append(times[0] / times[1])
      if ratios.count >= 2, ratios.min()! > 1.2 * best { break }
    }
    return OrderStatistics.median(ratios)
  }

  /// Lets the best of `finalists` stand against the winner, and measures it where it is faster.
  ///
  /// - Returns: the winner's time over its, and its measurement.
  private func replaceWinner(
    _ winner: Schedule, by finalists: [TimedSchedule], _ target: TuneTarget, sharing reference: Candidate,
    on pool: ThreadPool, nanoseconds: Double
  ) throws -> (advantage: Double, measurement: Measurement)? {
    let field = try finalists.compactMap {
      try admit($0.schedule, sharing: reference.prepared, target, best: nil, on: pool)
    }
    guard !field.isEmpty else { return nil }
    let finalist = field[try halve(field, on: pool, nanoseconds: nanoseconds / 2).fastest]
    let incumbent =
      winner == reference.prepared.schedule
      ? reference
      : try candidate(reference.prepared.rescheduled(winner), nanoseconds: reference.pace, on: pool)
    let advantage = try advantage(of: finalist, over: incumbent, target, on: pool, nanoseconds: nanoseconds / 2)
    var measurement: Measurement?
    if advantage != nil {
      measurement = try measure(finalist.prepared, check: try confirm(finalist, target, on: pool), on: pool)
      try session.settle(with: measurement!)
      remember(target, finalist.prepared.schedule)
    }
    for timed in finalists {
      try session.record(TimedSchedule(timed.schedule, ratio: timed.ratio, wasCompared: true), of: target.problem)
    }
    return advantage.flatMap { advantage in measurement.map { (advantage, $0) } }
  }

  // MARK: - Comparing

  /// The time of `standard` over that of `finalist`, which is faster beyond doubt and noise floor, twice; nil
  /// when it is not, or the machine is too noisy to tell.
  func advantage(
    of finalist: Candidate, over standard: Candidate, _ target: TuneTarget, on pool: ThreadPool, nanoseconds: Double
  ) throws -> Double? {
    var rule = DecisionRule(
      .replacement, margin: noiseFloors[target.problem.state]?[target.threads] ?? DecisionRule.leastMargin)
    rule.timeCap = .nanoseconds(Int(max(nanoseconds, standard.pace * 24)))
    var sides: (any PreparedProblem, any PreparedProblem)? = (standard.prepared, finalist.prepared)
    do {
      let decision = try PairedComparison.decideReplacement(
        rule: rule, clock: .system(watching: [pool]), isCancelled: isCancelled
      ) {
        // The second time on operands of their own.
        let (a, b) = try sides ?? anew(standard, finalist)
        sides = nil
        let counter = RunCounter()
        return (InProcessSide(a, on: pool, countedBy: counter), InProcessSide(b, on: pool, countedBy: counter))
      }
      return decision.outcome == .better ? decision.ratio : nil
    } catch let error as MeasureError where error.code == .tooManyDropped {
      return nil
    }
  }

  func anew(
    _ a: Candidate, _ b: Candidate
  ) throws(KernelError) -> (any PreparedProblem, any PreparedProblem) {
    let again = try a.prepared.problem.prepare(a.prepared.schedule, machine: machine)
    return (marked(again, pace: a.pace), marked(try again.rescheduled(b.prepared.schedule), pace: b.pace))
  }

  // MARK: - Candidates

  struct Candidate {
    var prepared: any PreparedProblem
    /// Nanoseconds of one run when it was tried; comparable with those of the same field only.
    var trialNanoseconds: Double
    /// Nanoseconds of one run, roughly.
    var pace: Double
  }

  /// Tries a candidate and prepares it for timing. One that fails is recorded, reported and left out, as is
  /// one that failed before.
  func admit(
    _ schedule: Schedule, sharing prepared: (any PreparedProblem)?, _ target: TuneTarget, best: Double?,
    on pool: ThreadPool
  ) throws -> Candidate? {
    if rejections.contains(schedule, for: target.problem) { return nil }
    if let reason = rejections.reasonToAvoid(schedule, for: target.problem) {
      // Not recorded: it follows from what is.
      let rejection = CandidateRejection(
        problem: target.problem, schedule: schedule, outcome: .unavailable, reason: reason)
      report(.rejected(target, rejection, isOnRecord: false))
      return nil
    }
    switch try trial.attempt(schedule, of: target.problem, best: best) {
    case .admitted(_, let nanoseconds):
      let candidate =
        try prepared?.rescheduled(schedule) ?? target.problem.prepare(schedule, machine: machine)
      return self.candidate(candidate, nanoseconds: nanoseconds, on: pool)
    case .rejected(let outcome, let reason):
      try reject(schedule, target, outcome, reason)
      return nil
    }
  }

  func reject(
    _ schedule: Schedule, _ target: TuneTarget, _ outcome: CandidateOutcome, _ reason: String
  ) throws {
    let rejection = CandidateRejection(
      problem: target.problem, schedule: schedule, outcome: outcome, reason: reason)
    try rejections.add(rejection)
    report(.rejected(target, rejection, isOnRecord: false))
  }

  /// Compares the winner with the oracle where it is timed.
  ///
  /// - Throws: `KernelError.wrongResult`: then it is rejected, and the target stays open for the next run.
  func confirm(
    _ winner: Candidate, _ target: TuneTarget, on pool: ThreadPool
  ) throws -> CorrectnessCheck {
    do { return try winner.prepared.check(on: pool) } catch {
      try reject(winner.prepared.schedule, target, CandidateOutcome(error), error.message)
      throw error
    }
  }

  /// - Parameter nanoseconds: what a run took when it was tried, or timed before.
  func candidate(_ prepared: any PreparedProblem, nanoseconds: Double, on pool: ThreadPool) -> Candidate {
    let prepared = marked(prepared, pace: nanoseconds)
    var side = TimedSide(prepared, on: pool)
    return Candidate(prepared: prepared, trialNanoseconds: nanoseconds, pace: min(side.time(1), side.time(1)))
  }

  private func marked(_ prepared: any PreparedProblem, pace: Double) -> any PreparedProblem {
    marker.map { $0.marked(prepared, nanoseconds: pace) } ?? prepared
  }

  /// The standard Schedule first, then what won next door, then the grid, nearest to the standard first.
  func candidates(for target: TuneTarget) throws -> [Schedule] {
    let grid = try ScheduleSpace.grid(for: target.problem, threads: target.threads, machine: machine)
    var result = [grid[0]]
    let known = (winners[target.family] ?? []).sorted {
      abs($0.work - target.work) < abs($1.work - target.work)
    }
    for (_, schedule) in known.prefix(2)
    where result.count < effort.maximumCandidates && !result.contains(schedule) {
      result.append(schedule)
    }
    // One point per kernel before any second point of the same one.
    var perKernel: [String: Int] = [:]
    let ordered = grid.dropFirst().map { schedule -> (turn: Int, distance: Int, schedule: Schedule) in
      let turn = perKernel[schedule.kernel, default: schedule.kernel == grid[0].kernel ? 1 : 0]
      perKernel[schedule.kernel] = turn + 1
      let distance = schedule.knobs.reduce(0) { $0 + (grid[0].knobs[$1.key] == $1.value ? 0 : 1) }
      return (turn == 0 ? 0 : 1, distance, schedule)
    }.sorted { ($0.turn, $0.distance) < ($1.turn, $1.distance) }
    for entry in ordered where result.count < effort.maximumCandidates && !result.contains(entry.schedule) {
      result.append(entry.schedule)
    }
    return result
  }

  /// The final samples of a Schedule, with the ceilings it is compared to taken before and after.
  func measure(
    _ prepared: any PreparedProblem, check: CorrectnessCheck, on pool: ThreadPool
  ) throws -> Measurement {
    var options = SamplingOptions()
    options.timeCap = samplingCap
    return try MeasuredRun.measure(
      prepared, check: check, on: pool, options: options, probes: probes,
      // Hot operands owe DRAM nothing, and its probe would push them out of the cache.
      ceilings: MeasuredRun.ceilingNames(for: prepared.problem)
        .filter { prepared.problem.state == .cold || !$0.hasPrefix("read.") },
      isCancelled: isCancelled)
  }
}
