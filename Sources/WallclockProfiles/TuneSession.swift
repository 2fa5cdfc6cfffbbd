import Foundation
import GRDB
import WallclockCore

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// One run of `tune` on one machine, writing to the journal.
///
/// Measurements belong to the machine's *pass*. A session joins the newest pass, so what an earlier
/// session (killed, interrupted or finished) measured is there already; starting over opens a new one.
public struct TuneSession: Sendable {
  public let journal: Journal
  public let fingerprint: Fingerprint
  public let pass: Int
  /// Whether the pass held measurements or rejections before this session.
  public let isResumed: Bool
  /// What another process joins it by.
  public let id: Int64
  let machine: Int64

  fileprivate init(
    journal: Journal, fingerprint: Fingerprint, pass: Int, isResumed: Bool, machine: Int64, session: Int64
  ) {
    self.journal = journal
    self.fingerprint = fingerprint
    self.pass = pass
    self.isResumed = isResumed
    self.machine = machine
    id = session
  }

  /// What this pass measured of `schedule` on `problem`; nil when it still has to be.
  public func measurement(for problem: Problem, schedule: Schedule) throws(ProfileError) -> Measurement? {
    let text = try journal.read { db in
      try String.fetchOne(
        db,
        sql:
          "SELECT content FROM measurement WHERE machineID = ? AND pass = ? AND problem = ? AND schedule = ?",
        arguments: [machine, pass, Journal.key(problem), Journal.key(schedule)])
    }
    guard let text else { return nil }
    return try journal.decode(Measurement.self, text)
  }

  /// Everything this pass measured of `problem` at `threads`, fastest first.
  public func measurements(of problem: Problem, threads: Int) throws(ProfileError) -> [Measurement] {
    let rows = try journal.read { db in
      try String.fetchAll(
        db,
        sql: """
          SELECT content FROM measurement
          WHERE machineID = ? AND pass = ? AND problem = ? AND threads = ? ORDER BY medianNanoseconds, schedule
          """,
        arguments: [machine, pass, Journal.key(problem), threads])
    }
    return try rows.map { text throws(ProfileError) in try journal.decode(Measurement.self, text) }
  }

  /// Keeps one measurement, in a transaction of its own; a second of the same Schedule replaces it.
  public func record(_ measurement: Measurement, at date: Date = Date()) throws(ProfileError) {
    try journal.write { db in
      try Journal.put(measurement, machine: machine, pass: pass, at: Journal.timestamp(date), in: db)
    }
  }

  public func isSettled(_ problem: Problem, threads: Int) throws(ProfileError) -> Bool {
    try winner(of: problem, threads: threads) != nil
  }

  /// The measurement of the Schedule that won; nil while the Problem is open.
  public func winner(of problem: Problem, threads: Int) throws(ProfileError) -> Measurement? {
    let text = try journal.read { db in
      try String.fetchOne(
        db,
        sql: """
          SELECT content FROM winner JOIN measurement USING (machineID, pass, problem, schedule)
          WHERE machineID = ? AND pass = ? AND problem = ? AND winner.threads = ?
          """,
        arguments: [machine, pass, Journal.key(problem), threads])
    }
    guard let text else { return nil }
    return try journal.decode(Measurement.self, text)
  }

  /// Closes (problem, winner.threads) with the Schedule to use; it must have been recorded in this pass.
  public func settle(_ problem: Problem, winner: Schedule, at date: Date = Date()) throws(ProfileError) {
    guard try measurement(for: problem, schedule: winner) != nil else {
      throw ProfileError(.invalid, "cannot settle \(problem): \(winner) was not recorded in this pass")
    }
    try journal.write { db in
      try Journal.put(
        winner: winner, of: problem, machine: machine, pass: pass, at: Journal.timestamp(date), in: db)
    }
  }

  /// Keeps the measurement of the Schedule that won, and closes its Problem, in one transaction: whatever
  /// happens in between, it is not measured twice.
  ///
  /// - Parameter timed: what else was timed, by ratios to the winner's time; a search goes on from there.
  ///   nil when the winner comes from such a search.
  public func settle(
    with measurement: Measurement, beside timed: [TimedSchedule]? = nil, at date: Date = Date()
  ) throws(ProfileError) {
    let time = Journal.timestamp(date)
    try journal.write { db in
      try Journal.put(measurement, machine: machine, pass: pass, at: time, in: db)
      try Journal.put(
        winner: measurement.schedule, of: measurement.problem, machine: machine, pass: pass, at: time, in: db)
      if let timed {
        try beginSearch(SearchRecord(reference: measurement.schedule), of: measurement.problem, timed: timed, in: db)
      }
    }
  }

  /// Drops all this pass knows of a Problem, as when a canary shows that the host has drifted.
  public func invalidate(_ problem: Problem) throws(ProfileError) {
    try journal.write { db in
      for table in ["measurement", "search"] {
        try db.execute(
          sql: "DELETE FROM \(table) WHERE machineID = ? AND pass = ? AND problem = ?",
          arguments: [machine, pass, Journal.key(problem)])
      }
    }
  }

  public func record(_ ceilings: [Ceiling], at date: Date = Date()) throws(ProfileError) {
    try journal.write { db in
      for ceiling in ceilings {
        try Journal.put(ceiling, machine: machine, pass: pass, at: Journal.timestamp(date), in: db)
      }
    }
  }

  /// The ceilings recorded in this pass; empty when they still have to be measured.
  public func ceilings() throws(ProfileError) -> [Ceiling] {
    try journal.read { db in
      try String.fetchAll(
        db, sql: "SELECT content FROM ceiling WHERE machineID = ? AND pass = ? ORDER BY name, threads",
        arguments: [machine, pass])
    }.map { text throws(ProfileError) in try journal.decode(Ceiling.self, text) }
  }

  public func record(noiseFloor: Double) throws(ProfileError) {
    try journal.write { db in
      try db.execute(sql: "UPDATE machine SET noiseFloor = ? WHERE id = ?", arguments: [noiseFloor, machine])
    }
  }

  public func record(modelError: ModelError) throws(ProfileError) {
    let text = try Journal.json(modelError)
    try journal.write { db in
      try db.execute(sql: "UPDATE machine SET modelError = ? WHERE id = ?", arguments: [text, machine])
    }
  }

  /// Marks the session as having ended by itself. A killed one stays open; that hinders nobody.
  public func finish(at date: Date = Date()) throws(ProfileError) {
    try journal.write { db in
      try db.execute(
        sql: "UPDATE session SET finishedAt = ? WHERE id = ?", arguments: [Journal.timestamp(date), id])
    }
  }
}

extension Journal {
  /// Opens a session on the machine's newest pass, or on a new one with `startingOver`.
  public func beginTune(
    on fingerprint: Fingerprint, command: String, wallclockVersion: String, conditions: Conditions,
    startingOver: Bool = false, at date: Date = Date()
  ) throws(ProfileError) -> TuneSession {
    let conditionsText = try Self.json(conditions)
    let (machine, pass, held, session) = try write { db in
      let machine = try Self.machineID(of: fingerprint, in: db)
      let newest = try Self.newestPass(of: machine, in: db)
      let held =
        try Bool.fetchOne(
          db,
          sql: """
            SELECT EXISTS (SELECT 1 FROM measurement WHERE machineID = ?1 AND pass = ?2)
              OR EXISTS (SELECT 1 FROM rejection WHERE machineID = ?1 AND pass = ?2)
            """, arguments: [machine, newest]) ?? false
      // A pass that found nothing out is as good as new.
      let pass = startingOver && held ? newest + 1 : newest
      try db.execute(
        sql: """
          INSERT INTO session (machineID, pass, command, wallclockVersion, conditions, startedAt)
          VALUES (?, ?, ?, ?, ?, ?)
          """,
        arguments: [machine, pass, command, wallclockVersion, conditionsText, Self.timestamp(date)])
      return (machine, pass, held && pass == newest, db.lastInsertedRowID)
    }
    return TuneSession(
      journal: self, fingerprint: fingerprint, pass: pass, isResumed: held, machine: machine, session: session
    )
  }

  /// The session that another process has begun on `fingerprint`.
  ///
  /// - Throws: `ProfileError.notFound` when there is none of this `id`.
  public func joinTune(_ id: Int64, on fingerprint: Fingerprint) throws(ProfileError) -> TuneSession {
    let found = try read { db in
      try Row.fetchOne(
        db,
        sql: "SELECT machineID, pass FROM session JOIN machine ON machine.id = machineID WHERE session.id = ? AND identity = ?",
        arguments: [id, fingerprint.identity]
      ).map { row in
        (try row.decode(Int64.self, forColumn: "machineID"), try row.decode(Int.self, forColumn: "pass"))
      }
    }
    guard let (machine, pass) = found else {
      throw ProfileError(.notFound, "\(url.path(percentEncoded: false)): no tune number \(id) was begun on this machine")
    }
    return TuneSession(
      journal: self, fingerprint: fingerprint, pass: pass, isResumed: true, machine: machine, session: id)
  }
}
