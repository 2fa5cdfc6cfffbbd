import WallclockCore
import WallclockCounters
import WallclockKernels
import WallclockMachine
import WallclockMeasure
import WallclockProfiles
import WallclockThreads

/// Finds, for each target, the fastest Schedule this host has, and writes it to the journal.
///
/// In two passes: every target is first *settled* with the best of its likeliest Schedules, so that a profile
/// covers all that was asked for; then whole knob spaces are *searched*, where that is expected to gain most.
///
/// Every candidate is checked against the oracle before it is timed, in a worker process where there is
/// one (see `CandidateTrial`); one that fails is recorded, and left alone by later runs. The standard
/// Schedule is replaced only by one that is faster beyond the noise floor in an interleaved comparison.
public final class Tuner {
  /// What happened, for progress and reports.
  public enum Event: Sendable, Codable {
    case ceilings([Ceiling])
    case noiseFloor(Double)
    /// Settled before this run; nothing was measured.
    case alreadySettled(TuneTarget)
    case settled(TuneTarget, Measurement, candidates: Int, done: Int, total: Int)
    /// A search was gone on with; `measurement` is of the Schedule that took the winner's place, where one did.
    case searched(TuneTarget, SearchRecord, Measurement?, evaluations: Int)
    /// A candidate that was left out: found now, or on record from an earlier run and not tried again.
    case rejected(TuneTarget, CandidateRejection, isOnRecord: Bool)
    /// No kernel of this build computes it on this host, or the host was too noisy to time it.
    case skipped(TuneTarget, reason: String)
    /// The last one.
    case outlook(TuneOutlook)
  }

  let machine: Fingerprint
  let session: TuneSession
  let effort: TuneEffort
  let report: (Event) -> Void
  let isCancelled: () -> Bool
  let probes: CeilingProbes
  private var pools: [Int: ThreadPool] = [:]
  var noiseFloors: [OperandState: [Int: Double]] = [:]
  var winners: [TuneTarget.Family: [(work: Double, schedule: Schedule)]] = [:]
  var rejections: RejectionRecord
  /// Schedules tried in this run.
  var evaluations = 0
  /// For the samples of one settled Schedule: what the effort allows, less where the budget is small.
  var samplingCap: Duration
  private let worker: WorkerCommand?
  /// Says which candidate is run here, to whoever supervises this process.
  let marker: CandidateMarker?
  private(set) lazy var trial: any CandidateTrial =
    if let worker {
      WorkerTrial(worker, isCancelled: isCancelled)
    } else {
      InProcessTrial(machine: machine) { [unowned self] in try pool($0) }
    }

  /// - Parameters:
  ///   - worker: runs candidates before they are timed. Without one they run in this process, and one that
  ///     crashes or hangs takes the tune with it.
  ///   - build: whose kernels these are; rejections of another build count for nothing.
  public convenience init(
    machine: Fingerprint, session: TuneSession, effort: TuneEffort, worker: WorkerCommand? = nil,
    build: String = BuildIdentity.current, isCancelled: @escaping () -> Bool = { false },
    report: @escaping (Event) -> Void
  ) {
    self.init(
      machine: machine, session: session, effort: effort, worker: worker, build: build, marker: nil,
      isCancelled: isCancelled, report: report)
  }

  init(
    machine: Fingerprint, session: TuneSession, effort: TuneEffort, worker: WorkerCommand?, build: String,
    marker: CandidateMarker?, isCancelled: @escaping () -> Bool, report: @escaping (Event) -> Void
  ) {
    self.worker = worker
    self.marker = marker
    rejections = RejectionRecord(session: session, build: build)
    self.machine = machine
    self.session = session
    self.effort = effort
    self.isCancelled = isCancelled
    self.report = report
    samplingCap = effort.samplingCap
    probes = CeilingProbes(machine: machine)
  }

  /// Settles `targets`, then searches. What an earlier run of the same pass measured is not measured again.
  ///
  /// - Parameters:
  ///   - passes: what the targets are for, which tells how much each matters. One of no forward pass matters
  ///     for itself.
  ///   - spent: of the budget, before this call.
  /// - Throws: `TuneError.interrupted` when cancelled; what was measured until then is kept.
  public func run(_ targets: [TuneTarget], for passes: [ForwardPass] = [], spent: Duration = .zero) throws {
    guard !targets.isEmpty else { throw TuneError(.nothingToTune, "no Problem was asked for") }
    let clock = BudgetClock(effort.budget, spent: spent)
    samplingCap = min(effort.samplingCap, max(.milliseconds(120), effort.budget / (5 * targets.count)))
    do {
      var ledger = try settleAll(targets, passes, clock)
      if effort.search != nil { try searchAll(targets, &ledger, clock) }
      try session.finish()
      report(.outlook(ledger.outlook()))
    } catch let error as MeasureError where error.code == .interrupted {
      throw TuneError.interrupted
    }
  }

  // MARK: - Settling

  private func settleAll(
    _ targets: [TuneTarget], _ passes: [ForwardPass], _ clock: BudgetClock
  ) throws -> GainLedger {
    var settled: [TuneTarget: Measurement] = [:]
    for target in targets {
      guard let winner = try session.winner(of: target.problem, threads: target.threads) else { continue }
      settled[target] = winner
      remember(target, winner.schedule)
      report(.alreadySettled(target))
    }
    let asked = Set(targets)
    for rejection in try rejections.load() {
      let target = TuneTarget(rejection.problem, threads: rejection.schedule.threads)
      if asked.contains(target) { report(.rejected(target, rejection, isOnRecord: true)) }
    }
    if settled.count < targets.count { try measureCeilings(threadCounts: Set(targets.map(\.threads)).sorted()) }
    var ledger = GainLedger(targets, in: passes, ceilings: try session.ceilings())
    for (target, winner) in settled {
      ledger.measured(target, nanoseconds: winner.samples.medianNanoseconds)
      if let record = try session.search(of: target.problem, threads: target.threads) {
        ledger.searched(target, record)
      }
    }
    let open = ledger.byWeight(targets.filter { settled[$0] == nil })
    if open.isEmpty { return ledger }
    try measureNoiseFloors(open)

    let weights = ledger.weights()
    var weightLeft = open.reduce(0) { $0 + weights[$1]! }
    for (index, target) in open.enumerated() {
      if isCancelled() { throw TuneError.interrupted }
      // Every target left is owed its final samples; the rest is for comparing candidates.
      let owed = Double(samplingCap / .nanoseconds(1)) * 1.3 * Double(open.count - index)
      let left = max(0, clock.left(of: effort.settlingShare) - owed)
      let share = left * weights[target]! / weightLeft
      weightLeft = max(weightLeft - weights[target]!, .leastNonzeroMagnitude)
      try orSkip(target) {
        let (measurement, candidates) = try MeasuredRun.patiently { try settle(target, searchNanoseconds: share) }
        ledger.measured(target, nanoseconds: measurement.samples.medianNanoseconds)
        report(
          .settled(
            target, measurement, candidates: candidates, done: targets.count - open.count + index + 1,
            total: targets.count))
      }
    }
    return ledger
  }

  /// What cannot run, or not now, costs its target, not the tune; the next run tries again.
  private func orSkip(_ target: TuneTarget, _ body: () throws -> Void) throws {
    do { try body() } catch let error as KernelError {
      report(.skipped(target, reason: error.message))
    } catch let error as MeasureError where error.code != .interrupted {
      report(.skipped(target, reason: error.message))
    }
  }

  // MARK: - Searching

  /// Nanoseconds that a search should get at least: some evaluations, each with its fixed cost and its runs.
  private func leastSlot(_ nanoseconds: Double) -> Double { 16 * (20e6 + 14 * nanoseconds) }

  /// Spends the time left on searches, where most is expected first, each with its part of that time. What
  /// one leaves over goes to the others, and then to those that were cut short.
  private func searchAll(_ targets: [TuneTarget], _ ledger: inout GainLedger, _ clock: BudgetClock) throws {
    let budget = clock.budget / 1e9
    var records: [TuneTarget: SearchRecord] = [:]
    var times: [TuneTarget: Double] = [:]
    for target in targets {
      guard let winner = try session.winner(of: target.problem, threads: target.threads) else { continue }
      times[target] = winner.samples.medianNanoseconds
      records[target] =
        try session.search(of: target.problem, threads: target.threads) ?? SearchRecord(reference: winner.schedule)
    }
    // A budget that was used up once is not spent again, but a larger one in so far as it is larger.
    var candidates = Set(records.filter { ($0.value.usedUpBudget ?? 0) < budget }.keys)
    let before = candidates.compactMap { records[$0]!.usedUpBudget }.max() ?? 0
    func open(_ ledger: GainLedger) -> [(target: TuneTarget, score: Double)] {
      ledger.worthSearching().filter { candidates.contains($0.target) }
    }
    var waiting: Set<TuneTarget> = []
    while true {
      let ranked = open(ledger)
      if ranked.isEmpty { return }
      if waiting.isEmpty {
        waiting = Set(ranked.map(\.target))
        try measureNoiseFloors(ranked.map(\.target))
      }
      let round = ranked.filter { waiting.contains($0.target) }
      guard let next = round.first else {
        waiting = []
        continue
      }
      let left = clock.left - before * 1e9
      guard left > 0, evaluations < effort.evaluations else {
        return try session.record(
          records.filter { $0.value.ending == nil }.map { target, record in
            var record = record
            record.usedUpBudget = budget
            return (target.problem, record)
          })
      }
      if isCancelled() { throw TuneError.interrupted }
      let target = next.target
      let slot = max(left * next.score / round.reduce(0) { $0 + $1.score }, leastSlot(times[target]!))
      waiting.remove(target)
      var found: SearchRecord?
      try orSkip(target) {
        let (record, measurement, count) = try improve(
          target, records[target]!, least: ledger.leastNanoseconds(target), nanoseconds: min(slot, left))
        found = record
        records[target] = record
        ledger.searched(target, record)
        if let measurement {
          times[target] = measurement.samples.medianNanoseconds
          ledger.measured(target, nanoseconds: measurement.samples.medianNanoseconds)
        }
        report(.searched(target, record, measurement, evaluations: count))
      }
      if found == nil { candidates.remove(target) }
    }
  }

  // MARK: - The host

  func pool(_ threads: Int) throws -> ThreadPool {
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

  /// What identical sides differ by on this host, for each state and thread count there is to tune; once in a run.
  private func measureNoiseFloors(_ targets: [TuneTarget]) throws {
    var isNew = false
    for threads in Set(targets.map(\.threads)).sorted() {
      let states = Set(targets.filter { $0.threads == threads }.map(\.problem.state))
        .filter { noiseFloors[$0]?[threads] == nil }
      guard !states.isEmpty else { continue }
      isNew = true
      let floors = try NoiseFloor.measure(states, on: pool(threads), machine: machine, isCancelled: isCancelled)
      for (state, floor) in floors { noiseFloors[state, default: [:]][threads] = floor }
    }
    guard isNew else { return }
    let largest = noiseFloors.values.flatMap(\.values).max() ?? DecisionRule.leastMargin
    try session.record(noiseFloor: largest)
    report(.noiseFloor(largest))
  }

  func remember(_ target: TuneTarget, _ schedule: Schedule) {
    winners[target.family, default: []].append((target.work, schedule))
  }
}

/// The time a tune may take, from when it began.
struct BudgetClock {
  /// Nanoseconds.
  let budget: Double
  private let start = nanosecondsNow()
  private let spent: Double

  init(_ budget: Duration, spent: Duration = .zero) {
    self.budget = Double(budget / .nanoseconds(1))
    self.spent = Double(spent / .nanoseconds(1))
  }

  /// Nanoseconds left; below 0 when overdrawn.
  var left: Double { left(of: 1) }

  func left(of share: Double) -> Double { budget * share - spent - Double(nanosecondsNow() - start) }
}
