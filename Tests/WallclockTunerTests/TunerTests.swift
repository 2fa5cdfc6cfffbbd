import Foundation
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockProfiles
@testable import WallclockTuner

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// A journal in a folder of its own.
private final class TemporaryJournal {
  let folder: URL
  let journal: Journal

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(component: "wallclock-tuner-\(UUID().uuidString)")
    journal = try Journal.open(at: folder.appending(component: "journal.sqlite"))
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func session() throws -> TuneSession {
    try journal.beginTune(
      on: Machine.host.fingerprint, command: "tune", wallclockVersion: "test",
      conditions: Conditions(transparentHugePages: nil, governor: nil, loadAverage: 0, steal: 0))
  }
}

/// What a tune told of itself.
private final class Events {
  var settled: [TuneTarget: Measurement] = [:]
  var already: [TuneTarget] = []
  var skipped: [TuneTarget] = []
  var ceilings: [Ceiling] = []
  var noiseFloors: [Double] = []
  var order: [Int] = []
  var candidates: [TuneTarget: Int] = [:]
  var rejected: [CandidateRejection] = []
  var onRecord: [CandidateRejection] = []
  var searches: [(target: TuneTarget, record: SearchRecord, measurement: Measurement?, evaluations: Int)] = []
  var outlook: TuneOutlook?

  func add(_ event: Tuner.Event) {
    switch event {
    case .settled(let target, let measurement, let count, let done, _):
      settled[target] = measurement
      candidates[target] = count
      order.append(done)
    case .searched(let target, let record, let measurement, let count):
      searches.append((target, record, measurement, count))
    case .outlook(let found): outlook = found
    case .alreadySettled(let target): already.append(target)
    case .skipped(let target, _): skipped.append(target)
    case .ceilings(let found): ceilings += found
    case .noiseFloor(let floor): noiseFloors.append(floor)
    case .rejected(_, let rejection, let isOnRecord):
      #expect(!rejection.outcome.isFault, "\(rejection)")
      if isOnRecord { onRecord.append(rejection) } else { rejected.append(rejection) }
    }
  }
}

@Suite(.serialized) struct TunerTests {
  static let host = Machine.host.fingerprint
  static let targets = [
    TuneTarget(.gemm(.f32, m: 8, n: 64, k: 64, epilogue: .bias), threads: 1),
    TuneTarget(.gemm(.w8a8, m: 8, n: 64, k: 64), threads: 1),
    TuneTarget(.rowwise(.layerNorm, rows: 32, channels: 64), threads: 1),
  ]
  static let effort = TuneEffort(
    budget: .milliseconds(900), samplingCap: .milliseconds(60), maximumCandidates: 4)

  @discardableResult
  private func tune(
    _ session: TuneSession, _ targets: [TuneTarget] = targets, effort: TuneEffort = effort,
    cancelWhen isCancelled: @escaping (Events) -> Bool = { _ in false }
  ) throws -> Events {
    let events = Events()
    let tuner = Tuner(
      machine: Self.host, session: session, effort: effort, isCancelled: { isCancelled(events) },
      report: events.add)
    do { try tuner.run(targets) } catch let error as TuneError where error.code == .interrupted {}
    return events
  }

  @Test func aTuneSettlesEveryTargetAndASecondMeasuresNothing() throws {
    let temporary = try TemporaryJournal()
    let session = try temporary.session()
    let first = try tune(session)
    #expect(Set(first.settled.keys) == Set(Self.targets))
    #expect(first.order == [1, 2, 3])
    #expect(first.already.isEmpty && first.skipped.isEmpty)
    #expect(first.noiseFloors.count == 1 && first.noiseFloors[0] >= 0.003)
    #expect(first.ceilings.contains { $0.name == "f32" })
    for (target, measurement) in first.settled {
      #expect(measurement.problem == target.problem && measurement.check.passed)
      #expect(try session.winner(of: target.problem, threads: 1) == measurement)
    }

    let again = try temporary.session()
    #expect(again.isResumed)
    let second = try tune(again)
    #expect(second.already == Self.targets)
    #expect(second.settled.isEmpty && second.ceilings.isEmpty && second.noiseFloors.isEmpty)
    #expect(second.outlook != nil)
    for (target, measurement) in first.settled {
      #expect(try again.winner(of: target.problem, threads: 1) == measurement)
      #expect(try again.measurements(of: target.problem, threads: 1).count == 1, "measured twice")
    }
  }

  /// A thorough tune looks beyond the grid: a search asks for points of the whole knob space, and what it
  /// settles on is a Schedule that can be prepared and was checked.
  @Test(arguments: [SearchMethod.analytical, .bayesian, .random])
  func aThoroughTuneSearchesTheKnobSpace(_ method: SearchMethod) throws {
    let temporary = try TemporaryJournal()
    let target = Self.targets[0]
    let thorough = TuneEffort(
      budget: .seconds(20), samplingCap: .milliseconds(60), maximumCandidates: 2, search: method,
      maximumEvaluations: 12)
    let events = try tune(temporary.session(), [target], effort: thorough)
    #expect(events.settled[target]?.check.passed == true && events.candidates[target] == 2)
    // A moment too noisy to search in leaves the target open, for the next run.
    var last = events
    for _ in 0..<8 where last.searches.isEmpty { last = try tune(temporary.session(), [target], effort: thorough) }
    let search = try #require(last.searches.first)
    #expect((1...12).contains(search.evaluations), "\(search.evaluations) schedules")
    #expect(search.record.ending != nil && last.outlook?.open == 0)
    let winner = try #require(try temporary.session().winner(of: target.problem, threads: 1))
    #expect(winner == search.measurement ?? events.settled[target])
    _ = try target.problem.prepare(winner.schedule, machine: Self.host)
  }

  /// Cut short anywhere, a search times nothing twice and comes to the end it would have come to.
  @Test func aSearchGoesOnWhereItWasCutShort() throws {
    let temporary = try TemporaryJournal()
    let target = Self.targets[0]
    var effort = TuneEffort(
      budget: .seconds(60), samplingCap: .milliseconds(60), maximumCandidates: 2, search: .analytical,
      maximumEvaluations: 30)
    var timed: [Schedule: TimedSchedule] = [:]
    var tried = 0
    var runs = 0
    for limit in [5, 7, 9, Int.max] {
      effort.evaluations = limit
      // What used up its budget waits for a larger one.
      effort.budget += .seconds(60)
      let session = try temporary.session()
      let events = try tune(session, [target], effort: effort)
      runs += events.searches.count
      tried += events.searches.reduce(0) { $0 + $1.evaluations }
      for old in timed.values {
        let now = try session.timedSchedules(of: target.problem, threads: 1).first { $0.schedule == old.schedule }
        #expect(now?.ratio == old.ratio, "timed twice: \(old)")
      }
      for found in try session.timedSchedules(of: target.problem, threads: 1) { timed[found.schedule] = found }
      let record = try #require(try session.search(of: target.problem, threads: 1))
      #expect((record.ending != nil) == (limit == .max), "\(limit): \(record)")
      #expect((events.outlook?.open == 0) == (limit == .max))
      if limit != .max {
        // The same budget again is used up already.
        let again = try tune(try temporary.session(), [target], effort: effort)
        #expect(again.searches.isEmpty && again.noiseFloors.isEmpty && again.settled.isEmpty)
      }
    }
    #expect(runs == 4)
    #expect((20...30).contains(tried), "\(tried) schedules")
    let done = try tune(try temporary.session(), [target], effort: effort)
    #expect(done.searches.isEmpty && done.already == [target])
  }

  /// What a search asks for are points of the space, the cache model's first.
  @Test func aSearchBeginsWithWhatTheCacheModelRecommends() throws {
    let target = Self.targets[0]
    let knobs = try KnobSpace(for: target.problem, threads: 1, machine: Self.host)
    var search = try KnobSearch(target, machine: Self.host, method: .analytical)
    var asked: [Schedule] = []
    while asked.count < knobs.start.count, let (point, schedule) = search.next() {
      search.tell(point, asked.isEmpty ? .failed : .time(Double(asked.count)))
      asked.append(schedule)
    }
    #expect(Set(asked) == Set(knobs.start.map(knobs.schedule)))
  }

  @Test func aCancelledTuneKeepsWhatItMeasured() throws {
    let temporary = try TemporaryJournal()
    let session = try temporary.session()
    let first = try tune(session) { !$0.settled.isEmpty }
    #expect(Array(first.settled.keys) == [Self.targets[0]])

    let second = try tune(try temporary.session())
    #expect(second.already == [Self.targets[0]])
    #expect(Set(second.settled.keys) == Set(Self.targets.dropFirst()))
    #expect(second.order == [2, 3])
    #expect(second.ceilings.isEmpty, "the ceilings were measured before")
    let kept = try session.winner(of: Self.targets[0].problem, threads: 1)
    #expect(kept == first.settled[Self.targets[0]])
  }

  @Test func cancellingAnywhereIsATuneError() throws {
    // After the ceilings the noise floor is measured: sampling is what notices.
    let temporary = try TemporaryJournal()
    for cancel in [{ _ in true }, { !$0.ceilings.isEmpty }] as [(Events) -> Bool] {
      let events = Events()
      let tuner = Tuner(
        machine: Self.host, session: try temporary.session(), effort: Self.effort,
        isCancelled: { cancel(events) }, report: events.add)
      do {
        try tuner.run(Self.targets)
        Issue.record("a cancelled tune ended well")
      } catch let error as TuneError {
        #expect(error.code == .interrupted)
      }
      #expect(events.settled.isEmpty)
    }
  }

  @Test func whatCannotRunIsSkipped() throws {
    let temporary = try TemporaryJournal()
    // 48 is no multiple of the group.
    let odd = TuneTarget(.gemm(.w4a8g32, m: 2, n: 8, k: 48), threads: 1)
    let events = try tune(try temporary.session(), [odd, Self.targets[0]])
    #expect(events.skipped == [odd])
    #expect(Array(events.settled.keys) == [Self.targets[0]])
  }

  @Test func oneCandidateIsTheStandardSchedule() throws {
    let temporary = try TemporaryJournal()
    let effort = TuneEffort(budget: .milliseconds(500), samplingCap: .milliseconds(60), maximumCandidates: 1)
    let events = try tune(try temporary.session(), effort: effort)
    for (target, measurement) in events.settled {
      let standard = try ScheduleSpace.standard(for: target.problem, threads: 1, machine: Self.host)
      #expect(measurement.schedule == standard)
    }
    #expect(events.settled.count == 3)
  }

  @Test func rejectionsAreRecordedAndNotTriedAgain() throws {
    let temporary = try TemporaryJournal()
    let session = try temporary.session()
    guard Self.host.isa.contains(where: { $0 > .scalar }) else { try Test.cancel("a scalar host has no losers") }
    // Bytes one by one: the scalar kernel loses by far.
    let target = TuneTarget(.gemm(.w8a8, m: 64, n: 256, k: 256), threads: 1)
    let effort = TuneEffort(budget: .seconds(20), samplingCap: .milliseconds(60), maximumCandidates: 64)
    let first = try tune(session, [target], effort: effort)
    #expect(first.onRecord.isEmpty)
    let slow = first.rejected.filter { $0.outcome.name == "slow" }
    try #require(!slow.isEmpty, "no kernel lost by \(TrialLimits.slowRatio)")
    #expect(Set(first.rejected.map(\.schedule)).count == first.rejected.count, "tried twice")
    #expect(try Set(session.rejections(build: BuildIdentity.current)) == Set(first.rejected))
    #expect(first.settled[target].map { winner in !slow.contains { $0.schedule == winner.schedule } } == true)

    // Another thread count knows nothing of these; the same target, open again, does.
    try session.invalidate(target.problem)
    let second = try tune(try temporary.session(), [target], effort: effort)
    #expect(Set(second.onRecord) == Set(first.rejected))
    #expect(Set(second.rejected.map(\.schedule)).isDisjoint(with: first.rejected.map(\.schedule)))
    #expect(second.settled.count == 1)
  }

  @Test func aTuneWithoutAWorkingWorkerSaysSo() throws {
    let temporary = try TemporaryJournal()
    let tuner = Tuner(
      machine: Self.host, session: try temporary.session(), effort: Self.effort,
      worker: WorkerCommand(path: "/bin/false", arguments: []), report: { _ in })
    let error = #expect(throws: TuneError.self) { try tuner.run(Self.targets) }
    #expect(error?.code == .workerFailed)
  }

  @Test func nothingToTuneIsAnError() throws {
    let temporary = try TemporaryJournal()
    #expect(throws: TuneError.self) { try tune(try temporary.session(), []) }
  }
}
