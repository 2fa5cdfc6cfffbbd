import WallclockCore
import WallclockCounters
import WallclockKernels
import WallclockMachine
import WallclockMeasure
import WallclockProfiles
import WallclockThreads

/// Finds, for each target, the fastest Schedule this host has, and writes it to the journal.
///
/// Every candidate is checked against the oracle before it is timed, in a worker process where there is
/// one (see `CandidateTrial`); one that fails is recorded, and left alone by later runs. The standard
/// Schedule is replaced only by one that is faster beyond the noise floor in an interleaved comparison.
public final class Tuner {
  /// What happened to one target, for progress and reports.
  public enum Event: Sendable {
    case ceilings([Ceiling])
    case noiseFloor(Double)
    /// Settled before this run; nothing was measured.
    case alreadySettled(TuneTarget)
    case settled(TuneTarget, Measurement, candidates: Int, done: Int, total: Int)
    /// A candidate that was left out: found now, or on record from an earlier run and not tried again.
    case rejected(TuneTarget, CandidateRejection, isOnRecord: Bool)
    /// No kernel of this build computes it on this host, or the host was too noisy to time it.
    case skipped(TuneTarget, reason: String)
  }

  private let machine: Fingerprint
  private let session: TuneSession
  private let effort: TuneEffort
  private let report: (Event) -> Void
  private let isCancelled: () -> Bool
  private var pools: [Int: ThreadPool] = [:]
  private let probes: CeilingProbes
  private var noiseFloors: [OperandState: [Int: Double]] = [:]
  private var winners: [TuneTarget.Family: [(work: Double, schedule: Schedule)]] = [:]
  private let worker: WorkerCommand?
  private var rejections: RejectionRecord
  private lazy var trial: any CandidateTrial =
    if let worker {
      WorkerTrial(worker, isCancelled: isCancelled)
    } else {
      InProcessTrial(machine: machine) { [unowned self] in try pool($0) }
    }

  /// - Parameters:
  ///   - worker: runs candidates before they are timed. Without one they run in this process, and one that
  ///     crashes or hangs takes the tune with it.
  ///   - build: whose kernels these are; rejections of another build count for nothing.
  public init(
    machine: Fingerprint, session: TuneSession, effort: TuneEffort, worker: WorkerCommand? = nil,
    build: String = BuildIdentity.current, isCancelled: @escaping () -> Bool = { false },
    report: @escaping (Event) -> Void
  ) {
    self.worker = worker
    rejections = RejectionRecord(session: session, build: build)
    self.machine = machine
    self.session = session
    self.effort = effort
    self.isCancelled = isCancelled
    self.report = report
    probes = CeilingProbes(machine: machine)
  }

  /// Settles `targets`. What an earlier run of the same pass settled is not measured again.
  ///
  /// - Throws: `TuneError.interrupted` when cancelled; what was measured until then is kept.
  public func run(_ targets: [TuneTarget]) throws {
    do {
      try settleAll(targets)
    } catch let error as MeasureError where error.code == .interrupted {
      throw TuneError.interrupted
    }
  }

  private func settleAll(_ targets: [TuneTarget]) throws {
    guard !targets.isEmpty else { throw TuneError(.nothingToTune, "no Problem was asked for") }
    let start = nanosecondsNow()
    var open: [TuneTarget] = []
    for target in targets {
      if let settled = try session.winner(of: target.problem, threads: target.threads) {
        remember(target, settled.schedule)
        report(.alreadySettled(target))
      } else {
        open.append(target)
      }
    }
    for rejection in try rejections.load() {
      let target = TuneTarget(rejection.problem, threads: rejection.schedule.threads)
      if targets.contains(target) { report(.rejected(target, rejection, isOnRecord: true)) }
    }
    guard !open.isEmpty else { return }
    try measureCeilings(threadCounts: Set(targets.map(\.threads)).sorted())
    try measureNoiseFloors(open)

    let budget = Double(effort.budget / .nanoseconds(1))
    for (index, target) in open.enumerated() {
      if isCancelled() { throw TuneError.interrupted }
      let left = budget - Double(nanosecondsNow() - start)
      // Every target left is owed its final samples; the rest is for searching.
      let owed = Double(effort.samplingCap / .nanoseconds(1)) * 1.3 * Double(open.count - index)
      let share = max(0, left - owed) / Double(open.count - index)
      do {
        let (measurement, candidates) = try MeasuredRun.patiently { try settle(target, searchNanoseconds: share) }
        report(
          .settled(
            target, measurement, candidates: candidates, done: targets.count - open.count + index + 1,
            total: targets.count))
      } catch let error as KernelError {
        report(.skipped(target, reason: error.message))
      } catch let error as MeasureError where error.code != .interrupted {
        // A noisy moment costs this target, not the tune; the next run of it tries again.
        report(.skipped(target, reason: error.message))
      }
    }
    try session.finish()
  }

  private func pool(_ threads: Int) throws -> ThreadPool {
    // One pool at a time: another's workers would spin on the same CPUs.
    if let pool = pools[threads] { return pool }
    for (_, pool) in pools { pool.shutdown() }
    pools.removeAll()
    let pool = try ThreadPool.onePerCore(of: machine, threads: threads, node: nil)
    pools[threads] = pool
    return pool
  }

  private func measureCeilings(threadCounts: [Int]) throws {
    let known = try session.ceilings()
    for threads in threadCounts {
      let open = probes.names.filter { name in !known.contains { $0.name == name && $0.threads == threads } }
      if open.isEmpty { continue }
      var found: [Ceiling] = []
      let pool = try pool(threads)
      for name in open {
        if isCancelled() { throw TuneError(.interrupted, "interrupted while measuring ceilings") }
        guard let ceiling = probes.measure(name, on: pool) else { continue }
        try session.record([ceiling])
        found.append(ceiling)
      }
      if !found.isEmpty { report(.ceilings(found)) }
    }
  }

  /// What identical sides differ by on this host, for each state and thread count there is to tune.
  private func measureNoiseFloors(_ targets: [TuneTarget]) throws {
    for threads in Set(targets.map(\.threads)).sorted() {
      let pool = try pool(threads)
      for state in Set(targets.filter { $0.threads == threads }.map(\.problem.state)) {
        do {
          noiseFloors[state, default: [:]][threads] = try NoiseFloor.measure(
            state, on: pool, machine: machine, isCancelled: isCancelled)
        } catch let error as MeasureError where error.code == .tooManyDropped {
          // A noisy moment costs boldness, not the tune.
          noiseFloors[state, default: [:]][threads] = NoiseFloor.whenTooNoisy
        }
      }
    }
    let largest = noiseFloors.values.flatMap(\.values).max() ?? DecisionRule.leastMargin
    try session.record(noiseFloor: largest)
    report(.noiseFloor(largest))
  }

  private func remember(_ target: TuneTarget, _ schedule: Schedule) {
    winners[target.family, default: []].append((target.work, schedule))
  }

  // MARK: - One target

  private func settle(
    _ target: TuneTarget, searchNanoseconds: Double
  ) throws -> (measurement: Measurement, candidates: Int) {
    let pool = try pool(target.threads)
    let problem = target.problem
    let candidates = try candidates(for: target)
    var field: [Candidate] = []
    for schedule in candidates {
      if isCancelled() { throw TuneError.interrupted }
      let best = field.map(\.trialNanoseconds).min()
      guard let candidate = try admit(schedule, sharing: field.first?.prepared, target, best: best, on: pool)
      else { continue }
      field.append(candidate)
      // One look at each candidate is the least a search costs; stop when even that is too dear.
      let spent = field.reduce(0) { $0 + $1.pace * 3 }
      if spent > searchNanoseconds, field.count >= 2 { break }
    }
    guard let first = field.first else {
      throw KernelError(.unsupported, "every Schedule tried for \(problem) was rejected")
    }
    var winner = first
    var tried = field.count
    var left = searchNanoseconds * 0.6
    if let method = effort.search {
      let found = try searched(method, beside: first, target, on: pool, nanoseconds: searchNanoseconds * 0.4)
      field += found.best.filter { new in !field.contains { $0.prepared.schedule == new.prepared.schedule } }
      tried += found.evaluations
      left -= searchNanoseconds * 0.4
    }
    if field.count > 1 {
      let finalist = try halve(field, on: pool, nanoseconds: left)
      if finalist.prepared.schedule != first.prepared.schedule {
        if try replaces(finalist, first, target, on: pool, nanoseconds: searchNanoseconds * 0.4) { winner = finalist }
      }
    }
    let measurement = try measure(winner.prepared, check: try confirm(winner, target, on: pool), on: pool)
    try session.settle(with: measurement)
    remember(target, measurement.schedule)
    return (measurement, tried)
  }

  /// Schedules a search hands on: the winner is decided among them with more samples.
  private static let finalists = 4
  /// Evaluations without anything better after which a search ends.
  private static let patience = 80

  /// The best Schedules that a search of the whole knob space comes upon, each timed in turn with `standard`,
  /// so that what slows the host for a while slows both. It ends with its time, its evaluations, or when it
  /// has long found nothing better.
  private func searched(
    _ method: SearchMethod, beside standard: Candidate, _ target: TuneTarget, on pool: ThreadPool, nanoseconds: Double
  ) throws -> (best: [Candidate], evaluations: Int) {
    let start = nanosecondsNow()
    var search = try KnobSearch(target, machine: machine, method: method)
    var best: [(time: Double, candidate: Candidate)] = []
    var evaluations = 0
    var fruitless = 0
    while evaluations < effort.maximumEvaluations, fruitless < Self.patience,
      Double(nanosecondsNow() - start) < nanoseconds, let (point, schedule) = search.next()
    {
      if isCancelled() { throw TuneError.interrupted }
      evaluations += 1
      fruitless += 1
      guard
        let candidate = try admit(
          schedule, sharing: standard.prepared, target, best: standard.trialNanoseconds, on: pool)
      else {
        search.tell(point, .failed)
        continue
      }
      let time = relativeTime(of: candidate, to: standard, on: pool)
      search.tell(point, .time(time))
      if time < best.first?.time ?? .infinity { fruitless = 0 }
      best.append((time, candidate))
      best.sort { $0.time < $1.time }
      if best.count > Self.finalists { best.removeLast() }
    }
    return (best.map(\.candidate), evaluations)
  }

  /// The time of one candidate over another's, from a few samples of each in turn.
  private func relativeTime(of candidate: Candidate, to standard: Candidate, on pool: ThreadPool) -> Double {
    var sides = [candidate, standard].map { TimedSide($0.prepared, on: pool) }
    let repetitions = [candidate, standard].map { max(1, Int(30_000 / $0.pace)) }
    var times: [[Double]] = [[], []]
    for _ in 0..<5 {
      for i in sides.indices { times[i].append(sides[i].time(repetitions[i]) / Double(repetitions[i])) }
    }
    return OrderStatistics.median(times[0]) / OrderStatistics.median(times[1])
  }

  /// Whether `finalist` is faster than `standard` beyond doubt and noise floor, twice. On a machine too
  /// noisy to tell, it is not.
  private func replaces(
    _ finalist: Candidate, _ standard: Candidate, _ target: TuneTarget, on pool: ThreadPool, nanoseconds: Double
  ) throws -> Bool {
    var rule = DecisionRule(
      .replacement, margin: noiseFloors[target.problem.state]?[target.threads] ?? DecisionRule.leastMargin)
    rule.timeCap = .nanoseconds(Int(max(nanoseconds, standard.pace * 24)))
    var sides: (any PreparedProblem, any PreparedProblem)? = (standard.prepared, finalist.prepared)
    do {
      return try PairedComparison.decideReplacement(
        rule: rule, clock: .system(watching: [pool]), isCancelled: isCancelled
      ) {
        // The second time on operands of their own.
        let (a, b) = try sides ?? anew(standard.prepared, finalist.prepared)
        sides = nil
        let counter = RunCounter()
        return (InProcessSide(a, on: pool, countedBy: counter), InProcessSide(b, on: pool, countedBy: counter))
      }.outcome == .better
    } catch let error as MeasureError where error.code == .tooManyDropped {
      return false
    }
  }

  private func anew(
    _ a: any PreparedProblem, _ b: any PreparedProblem
  ) throws(KernelError) -> (any PreparedProblem, any PreparedProblem) {
    let again = try a.problem.prepare(a.schedule, machine: machine)
    return (again, try again.rescheduled(b.schedule))
  }

  private struct Candidate {
    var prepared: any PreparedProblem
    /// Nanoseconds of one run when it was tried; comparable with those of the same field only.
    var trialNanoseconds: Double
    /// Nanoseconds of one run, roughly.
    var pace: Double
  }

  /// Tries a candidate and prepares it for timing. One that fails is recorded, reported and left out, as is
  /// one that failed before.
  private func admit(
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
      return Candidate(
        prepared: candidate, trialNanoseconds: nanoseconds, pace: pace(of: candidate, on: pool))
    case .rejected(let outcome, let reason):
      try reject(schedule, target, outcome, reason)
      return nil
    }
  }

  private func reject(
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
  private func confirm(
    _ winner: Candidate, _ target: TuneTarget, on pool: ThreadPool
  ) throws -> CorrectnessCheck {
    do { return try winner.prepared.check(on: pool) } catch {
      try reject(winner.prepared.schedule, target, CandidateOutcome(error), error.message)
      throw error
    }
  }

  private func pace(of prepared: any PreparedProblem, on pool: ThreadPool) -> Double {
    var side = TimedSide(prepared, on: pool)
    return min(side.time(1), side.time(1))
  }

  /// The standard Schedule first, then what won next door, then the grid, nearest to the standard first.
  private func candidates(for target: TuneTarget) throws -> [Schedule] {
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

  /// Successive halving: all candidates are sampled in turn, the slower half leaves, the rest are
  /// sampled twice as often, until one is left or the time is used up.
  private func halve(
    _ field: [Candidate], on pool: ThreadPool, nanoseconds: Double
  ) throws -> Candidate {
    var field = field
    let start = nanosecondsNow()
    var samples = 3
    while field.count > 1 {
      var times = [[Double]](repeating: [], count: field.count)
      var sides = field.map { TimedSide($0.prepared, on: pool) }
      for round in 0..<samples {
        for i in field.indices {
          if isCancelled() { throw TuneError.interrupted }
          let repetitions = max(1, Int(30_000 / field[i].pace))
          times[i].append(sides[i].time(repetitions) / Double(repetitions))
        }
        if Double(nanosecondsNow() - start) > nanoseconds, round > 0 { break }
      }
      let ranked = field.indices.sorted {
        OrderStatistics.median(times[$0]) < OrderStatistics.median(times[$1])
      }
      let out = Double(nanosecondsNow() - start) > nanoseconds
      field = ranked.prefix(out ? 1 : (field.count + 1) / 2).map { field[$0] }
      samples *= 2
      if field.count == 2, samples > 24 { field.removeLast() }
    }
    return field[0]
  }

  /// The final samples of a Schedule, with the ceilings it is compared to taken before and after.
  func measure(
    _ prepared: any PreparedProblem, check: CorrectnessCheck, on pool: ThreadPool
  ) throws -> Measurement {
    var options = SamplingOptions()
    options.timeCap = effort.samplingCap
    return try MeasuredRun.measure(
      prepared, check: check, on: pool, options: options, probes: probes,
      // Hot operands owe DRAM nothing, and its probe would push them out of the cache.
      ceilings: MeasuredRun.ceilingNames(for: prepared.problem)
        .filter { prepared.problem.state == .cold || !$0.hasPrefix("read.") },
      isCancelled: isCancelled)
  }
}
