import Foundation
import GRDB
import Testing
import WallclockCore

@testable import WallclockProfiles

import struct WallclockCore.Measurement

@Suite struct JournalTests {
  private func begin(_ journal: Journal, startingOver: Bool = false) throws -> TuneSession {
    try journal.beginTune(
      on: Fixture.fingerprint, command: "wallclock tune", wallclockVersion: "0.1.0",
      conditions: Fixture.conditions,
      startingOver: startingOver)
  }

  private func rows(_ journal: Journal, _ table: String) throws -> Int {
    try journal.read { try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM \(table)") ?? -1 }
  }

  @Test func resumesWithoutLossOrDoubles() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appending(component: "journal.sqlite")
    let kept = Fixture.measurement()
    do {
      let session = try begin(Journal.open(at: file))
      #expect(!session.isResumed)
      try session.record(kept)
      // The session is not finished and the journal not closed: what a kill leaves behind.
    }
    let journal = try Journal.open(at: file)
    let session = try begin(journal)
    #expect(session.isResumed)
    #expect(try session.measurement(for: kept.problem, schedule: kept.schedule) == kept)
    #expect(try !session.isSettled(kept.problem, threads: 1))
    try session.record(Fixture.measurement(nanoseconds: 1000))
    #expect(try rows(journal, "measurement") == 1)
    try session.settle(kept.problem, winner: kept.schedule)
    try session.settle(kept.problem, winner: kept.schedule)
    #expect(try rows(journal, "winner") == 1)
    #expect(try session.isSettled(kept.problem, threads: 1))
    #expect(try !session.isSettled(kept.problem, threads: 2))
    #expect(try session.winner(of: kept.problem, threads: 1)?.samples.medianNanoseconds == 1000)
    try session.finish()
  }

  /// The files as they lie at any moment are what `kill -9` leaves: nothing recorded may be missing in them.
  @Test func whatIsRecordedIsInTheFilesAtOnce() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "journal.sqlite"))
    let session = try begin(journal)
    for count in 1...5 {
      try session.record(Fixture.measurement(m: count))
      let copy = folder.url.appending(component: "copy\(count)")
      try FileManager.default.createDirectory(at: copy, withIntermediateDirectories: true)
      for file in ["journal.sqlite", "journal.sqlite-wal"] {
        try FileManager.default.copyItem(
          at: folder.url.appending(component: file), to: copy.appending(component: file))
      }
      #expect(try rows(Journal.open(at: copy.appending(component: "journal.sqlite")), "measurement") == count)
    }
  }

  @Test func schedulesThatDifferInBackendOnlyAreTwo() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    let session = try begin(journal)
    var second = Fixture.measurement(nanoseconds: 5)
    second.schedule.backend = .numa
    try session.record(Fixture.measurement())
    try session.record(second)
    #expect(
      try session.measurements(of: second.problem, threads: 1).map(\.schedule.backend) == [.numa, .simd])
  }

  @Test func baselinesArePutApart() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    func vendor(_ m: Int, _ nanoseconds: Double) -> Measurement {
      var measurement = Fixture.measurement(m: m, nanoseconds: nanoseconds)
      measurement.schedule = Schedule(kernel: "onednn", backend: .plugin("onednn"), threads: measurement.schedule.threads)
      return measurement
    }
    let first = try begin(journal)
    try first.settle(with: Fixture.measurement(m: 16, nanoseconds: 20))
    try first.record(vendor(16, 10))
    // Of what is not settled, nothing is compared.
    try first.record(vendor(17, 10))
    var profile = try journal.profile(of: Fixture.fingerprint, name: "p", alternatives: true)
    #expect(profile.measurements.map(\.schedule.backend) == [.simd])
    #expect(profile.alternatives == [] && profile.baselines == [vendor(16, 10)])
    // A later pass has the last word, and an import keeps what there is.
    let second = try begin(journal, startingOver: true)
    try second.settle(with: Fixture.measurement(m: 16, nanoseconds: 19))
    try second.record(vendor(16, 11))
    profile = try journal.profile(of: Fixture.fingerprint, name: "p")
    #expect(profile.baselines == [vendor(16, 11)])
    let other = try Journal.open(at: folder.url.appending(component: "other"))
    try other.importProfile(profile)
    #expect(try other.profile(of: Fixture.fingerprint, name: "p").baselines == profile.baselines)
    // As a winner, a plug-in's measurement is an error in the file.
    profile.measurements = [vendor(16, 11)]
    #expect(throws: ProfileError.self) { try profile.checked() }
  }

  @Test func settlesOnlyWhatWasRecorded() throws {
    let folder = try TemporaryFolder()
    let session = try begin(Journal.open(at: folder.url.appending(component: "j")))
    let measurement = Fixture.measurement()
    #expect(throws: ProfileError.self) {
      try session.settle(measurement.problem, winner: measurement.schedule)
    }
    try session.record(measurement)
    try session.settle(measurement.problem, winner: measurement.schedule)
    try session.invalidate(measurement.problem)
    #expect(try !session.isSettled(measurement.problem, threads: 1))
    #expect(try session.measurement(for: measurement.problem, schedule: measurement.schedule) == nil)
  }

  @Test func startingOverKeepsTheOldPassUntilResettled() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    let first = try begin(journal)
    for m in [16, 128] {
      let measurement = Fixture.measurement(m: m, nanoseconds: Double(m))
      try first.record(measurement)
      try first.settle(measurement.problem, winner: measurement.schedule)
    }
    let second = try begin(journal, startingOver: true)
    #expect(second.pass == first.pass + 1 && !second.isResumed)
    let again = Fixture.measurement(m: 16, nanoseconds: 15)
    #expect(try second.measurement(for: again.problem, schedule: again.schedule) == nil)
    try second.record(again)
    try second.settle(again.problem, winner: again.schedule)
    let profile = try journal.profile(of: Fixture.fingerprint, name: "p")
    #expect(profile.measurements.map(\.samples.medianNanoseconds).sorted() == [15, 128])
  }

  @Test func keepsRejectionsOfAMachineAPassAndABuild() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    let session = try begin(journal)
    let measurement = Fixture.measurement()
    let outcomes: [CandidateOutcome] = [
      .illegal, .crashed(signal: 11), .timedOut(seconds: 2.5), .outOfMemory(limitBytes: 1 << 30),
      .wrongResult(worstErrorOverTolerance: .infinity), .slow(timesTheBest: 31), .unavailable,
    ]
    let all = outcomes.enumerated().map { index, outcome in
      CandidateRejection(
        problem: measurement.problem, schedule: Schedule(kernel: "k", knobs: [.mc: index + 1]), outcome: outcome,
        reason: "reason \(index)")
    }
    for rejection in all { try session.record(rejection, build: "one") }
    #expect(try session.rejections(build: "one") == all)
    #expect(try session.rejections(build: "two").isEmpty)
    var again = all[0]
    again.outcome = .slow(timesTheBest: 12)
    try session.record(again, build: "one")
    #expect(try session.rejections(build: "one").first == again)
    #expect(try rows(journal, "rejection") == all.count)
    // Nothing but rejections: a session joins them, one that starts over does not.
    #expect(try begin(journal).rejections(build: "one").count == all.count)
    #expect(try begin(journal, startingOver: true).rejections(build: "one").isEmpty)
    #expect(try begin(journal).rejections(build: "one").isEmpty)
  }

  @Test func outcomesThatAreNoneAreErrors() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    let session = try begin(journal)
    let measurement = Fixture.measurement()
    let rejection = CandidateRejection(
      problem: measurement.problem, schedule: measurement.schedule, outcome: .crashed(signal: 11), reason: "r")
    for change in [
      "outcome = 'nice'", "figure = 11.5", "figure = 1e300", "figure = NULL", "outcome = 'slow', figure = -1",
      "figure = 'x'", "outcome = x'ff'", "problemContent = '{}'", "scheduleContent = x'00'",
    ] {
      try journal.write { try $0.execute(sql: "DELETE FROM rejection") }
      try session.record(rejection, build: "b")
      #expect(try session.rejections(build: "b") == [rejection])
      try journal.write { try $0.execute(sql: "UPDATE rejection SET \(change)") }
      let error = #expect(throws: ProfileError.self, "\(change)") { try session.rejections(build: "b") }
      #expect(error?.code == .invalid)
    }
  }

  @Test func aWinnerIsMeasuredAndSettledAtOnce() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    let session = try begin(journal)
    let measurement = Fixture.measurement()
    try journal.write {
      try $0.execute(sql: "CREATE TRIGGER full BEFORE INSERT ON winner BEGIN SELECT RAISE(FAIL, 'full'); END")
    }
    #expect(throws: ProfileError.self) { try session.settle(with: measurement) }
    #expect(try rows(journal, "measurement") == 0)
    try journal.write { try $0.execute(sql: "DROP TRIGGER full") }
    try session.settle(with: measurement)
    #expect(try session.winner(of: measurement.problem, threads: 1) == measurement)
  }

  @Test func openingLeavesWhatIsNotAJournalAlone() throws {
    let folder = try TemporaryFolder()
    let foreign = folder.url.appending(component: "foreign")
    let queue = try DatabaseQueue(path: foreign.path(percentEncoded: false))
    try queue.write { try $0.execute(sql: "CREATE TABLE thesis (chapter TEXT)") }
    try queue.close()
    let newer = folder.url.appending(component: "newer")
    try Journal.open(at: newer).database.close()
    let later = try DatabaseQueue(path: newer.path(percentEncoded: false))
    try later.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('v99')") }
    try later.close()
    let text = folder.url.appending(component: "text")
    try Data("SQLite".utf8).write(to: text)
    for (url, code) in [(foreign, ProfileError.Code.invalid), (newer, .newerSchema), (text, .invalid)] {
      let before = try Data(contentsOf: url)
      let error = #expect(throws: ProfileError.self) { try Journal.open(at: url) }
      #expect(error?.code == code)
      #expect(try Data(contentsOf: url) == before, "\(url.lastPathComponent) was changed")
    }
    // An empty file is a journal to be.
    let empty = folder.url.appending(component: "empty")
    try Data().write(to: empty)
    _ = try Journal.open(at: empty)
  }

  @Test func aJournalOfTheFirstVersionGainsRejectionsAndSearches() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appending(component: "j")
    let measurement = Fixture.measurement()
    do {
      let journal = try Journal.open(at: url)
      try begin(journal).settle(with: measurement)
      try journal.write { db in
        try db.execute(
          sql: "DROP TABLE rejection; DROP TABLE evaluation; DROP TABLE search; DELETE FROM grdb_migrations WHERE identifier <> 'v1'")
      }
      try journal.database.close()
    }
    let session = try begin(Journal.open(at: url))
    #expect(try session.winner(of: measurement.problem, threads: 1) == measurement)
    #expect(try session.rejections(build: "b").isEmpty)
    #expect(try session.search(of: measurement.problem, threads: 1) == nil)
    let record = SearchRecord(reference: measurement.schedule)
    try session.record([(measurement.problem, record)])
    #expect(try session.search(of: measurement.problem, threads: 1) == record)
  }

  @Test func searchesKeepWhatTheyTimed() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    let session = try begin(journal)
    let winner = Fixture.measurement()
    let problem = winner.problem
    func other(_ mc: Int) -> Schedule { Schedule(kernel: winner.schedule.kernel, knobs: [.kc: 256, .mc: mc]) }
    #expect(throws: ProfileError.self) { try session.record(TimedSchedule(other(6), ratio: 1.5), of: problem) }
    try session.settle(with: winner, beside: [TimedSchedule(other(12), ratio: 1.25, wasCompared: true)])
    try session.record(TimedSchedule(other(6), ratio: 0.5), of: problem)
    try session.record(TimedSchedule(other(6), ratio: 0.75), of: problem)
    let timed = [TimedSchedule(other(6), ratio: 0.75), TimedSchedule(other(12), ratio: 1.25, wasCompared: true)]
    var record = try #require(try session.search(of: problem, threads: 1))
    #expect(record == SearchRecord(reference: winner.schedule))
    record.seconds = 3
    record.ending = .patience
    record.usedUpBudget = 60
    record.gain = 0.25
    try session.record([(problem, record)])

    // Another process of the same tune, and a later one, find it all.
    let joined = try journal.joinTune(session.id, on: Fixture.fingerprint)
    for session in [joined, try begin(journal)] {
      #expect(session.pass == 1)
      #expect(try session.search(of: problem, threads: 1) == record)
      #expect(try session.timedSchedules(of: problem, threads: 1) == timed)
      #expect(try session.search(of: problem, threads: 2) == nil)
    }
    #expect(throws: ProfileError.self) { try journal.joinTune(99, on: Fixture.fingerprint) }
    #expect(try begin(journal, startingOver: true).search(of: problem, threads: 1) == nil)

    // T4 has the winner as measured, the others by their ratios to it.
    let t4 = T4Results(
      try journal.profile(of: Fixture.fingerprint, name: "p", alternatives: true),
      timed: try journal.timedFields(of: Fixture.fingerprint))
    let expected = [1, 0.75, 1.25].map { $0 * winner.samples.medianNanoseconds / 1e6 }
    #expect(t4.results.map { $0.times.runtimes[0] } == expected)

    // Settled anew, it is searched anew; a winner that a search found ends no search.
    try session.settle(with: winner, beside: nil)
    #expect(try session.timedSchedules(of: problem, threads: 1) == timed)
    try session.settle(with: winner, beside: [])
    #expect(try session.timedSchedules(of: problem, threads: 1).isEmpty)
    #expect(try session.search(of: problem, threads: 1)?.ending == nil)
    try session.invalidate(problem)
    #expect(try rows(journal, "search") == 0)
  }

  @Test func oneTuneAtATime() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "journal.sqlite"))
    var waits: [Int?] = []
    func acquire() throws -> TuneLock {
      try TuneLock.acquire(for: journal, waiting: { waits.append($0) }, isCancelled: { waits.count > 0 })
    }
    do {
      let held = try acquire()
      #expect(waits.isEmpty)
      let error = #expect(throws: ProfileError.self) { try acquire() }
      #expect(error?.code == .busy)
      #expect(waits == [Int(ProcessInfo.processInfo.processIdentifier)])
      withExtendedLifetime(held) {}
    }
    waits = []
    _ = try acquire()
    #expect(waits.isEmpty)
  }

  @Test func exportsAndImports() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "a"))
    #expect(throws: ProfileError.self) { try journal.profile(of: Fixture.fingerprint, name: "p") }
    let session = try begin(journal)
    let winner = Fixture.measurement(nanoseconds: 500)
    let loser = Fixture.measurement(nanoseconds: 900, kernel: "gemm_f32f32_scalar_4x4")
    for measurement in [winner, loser] { try session.record(measurement) }
    try session.settle(winner.problem, winner: winner.schedule)
    try session.record([Fixture.ceiling])
    try session.record(noiseFloor: 0.015)
    try session.record(modelError: ModelError(median: 0, percentile95: 0, worst: 0, count: 0))
    #expect(try session.ceilings() == [Fixture.ceiling])
    let profile = try journal.profile(of: Fixture.fingerprint, name: "p", alternatives: true)
    #expect(profile.measurements == [winner])
    #expect(profile.alternatives == [loser])
    #expect(profile.ceilings == [Fixture.ceiling])
    #expect(profile.noiseFloor == 0.015 && profile.modelError?.count == 0)

    let other = try Journal.open(at: folder.url.appending(component: "b"))
    try other.importProfile(profile)
    try other.importProfile(profile)
    var again = try other.profile(of: Fixture.fingerprint, name: "p", alternatives: true)
    again.modelError = profile.modelError
    again.createdAt = profile.createdAt
    #expect(again == profile)
    #expect(try rows(other, "measurement") == 2)
    #expect(try other.machines().map(\.settled) == [1])

    var damaged = profile
    damaged.measurements[0].samples.medianNanoseconds = -1
    #expect(throws: ProfileError.self) { try other.importProfile(damaged) }
    #expect(try rows(other, "session") == 2)
  }

  @Test func refusesNewerAndForeignFiles() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appending(component: "journal.sqlite")
    do {
      let journal = try Journal.open(at: file)
      try journal.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('v999')") }
    }
    let newer = try #require(throws: ProfileError.self) { try Journal.open(at: file) }
    #expect(newer.code == .newerSchema)

    let foreign = folder.url.appending(component: "text")
    try Data(repeating: 65, count: 8192).write(to: foreign)
    let invalid = try #require(throws: ProfileError.self) { try Journal.open(at: foreign) }
    #expect(invalid.exitStatus == .badData, "\(invalid.message)")

    let blocked = try #require(throws: ProfileError.self) {
      try Journal.open(at: foreign.appending(component: "j"))
    }
    #expect(blocked.exitStatus == .cannotCreate, "\(blocked.message)")
  }

  @Test func writersInTwoConnectionsWaitForEachOther() async throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appending(component: "journal.sqlite")
    _ = try Journal.open(at: file)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for part in 0..<4 {
        group.addTask {
          let journal = try Journal.open(at: file)
          let session = try begin(journal)
          for i in 0..<10 { try session.record(Fixture.measurement(m: 1 + part * 10 + i)) }
        }
      }
      try await group.waitForAll()
    }
    #expect(try rows(Journal.open(at: file), "measurement") == 40)
  }

  @Test func recordsAreDurableAndInWAL() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal.open(at: folder.url.appending(component: "j"))
    #expect(try journal.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "wal")
    #expect(try journal.read { try Int.fetchOne($0, sql: "PRAGMA synchronous") } == 2)
  }
}
