import Foundation
import GRDB
import WallclockCore

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// How far the search for a better Schedule of a settled target came.
public struct SearchRecord: Hashable, Sendable, Codable {
  public enum Ending: String, Hashable, Sendable, Codable {
    /// Nothing better had come up for long.
    case patience
    /// As many Schedules were timed as one search may.
    case evaluations
    /// The strategy had no more to ask.
    case exhausted
    /// It runs as fast as the ceilings allow.
    case roofline
  }

  /// The Schedule that the others were timed beside: the first one settled on.
  public var reference: Schedule
  /// Time spent on it, over all runs.
  public var seconds: Double = 0
  /// nil while it may go on.
  public var ending: Ending?
  /// Seconds of the largest budget that was used up before it ended.
  public var usedUpBudget: Double?
  /// The part of the reference's time that was saved; 0 when nothing better was found.
  public var gain: Double = 0

  public init(reference: Schedule) { self.reference = reference }
}

/// A Schedule that was timed beside the reference of its target's search.
public struct TimedSchedule: Hashable, Sendable {
  public var schedule: Schedule
  /// Its time over the reference's, the median of paired samples.
  public var ratio: Double
  /// Whether it has stood for replacing the winner.
  public var wasCompared: Bool

  public init(_ schedule: Schedule, ratio: Double, wasCompared: Bool = false) {
    self.schedule = schedule
    self.ratio = ratio
    self.wasCompared = wasCompared
  }
}

/// Timed Schedules of one Problem, as the newest pass that settled it has them.
public struct TimedField: Sendable {
  /// `Problem.description`.
  public var problem: String
  public var reference: Schedule
  public var schedules: [TimedSchedule]
}

extension Journal {
  static func createSearches(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE search (
          id INTEGER PRIMARY KEY,
          machineID INTEGER NOT NULL REFERENCES machine(id) ON DELETE CASCADE,
          pass INTEGER NOT NULL,
          problem TEXT NOT NULL,
          threads INTEGER NOT NULL,
          reference TEXT NOT NULL,
          seconds REAL NOT NULL DEFAULT 0,
          ending TEXT,
          usedUpBudget REAL,
          gain REAL NOT NULL DEFAULT 0,
          UNIQUE (machineID, pass, problem, threads)
        );
        CREATE TABLE evaluation (
          searchID INTEGER NOT NULL REFERENCES search(id) ON DELETE CASCADE,
          schedule TEXT NOT NULL,
          ratio REAL NOT NULL,
          wasCompared INTEGER NOT NULL,
          PRIMARY KEY (searchID, schedule)
        ) WITHOUT ROWID;
        """)
  }

  /// What was timed beside the winners of a machine, for every (Problem, threads) pair.
  public func timedFields(of fingerprint: Fingerprint) throws(ProfileError) -> [TimedField] {
    try read { db in
      guard let machine = try Self.knownMachineID(of: fingerprint, in: db) else { return [] }
      let rows = try Row.fetchAll(
        db,
        sql: """
          SELECT id, problem, reference FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY problem, threads ORDER BY pass DESC) AS age
            FROM search WHERE machineID = ?
          ) WHERE age = 1 ORDER BY problem, threads
          """, arguments: [machine])
      return try rows.map { row in
        TimedField(
          problem: try row.decode(String.self, forColumn: "problem"),
          reference: try decode(Schedule.self, row.decode(String.self, forColumn: "reference")),
          schedules: try timedSchedules(search: row.decode(Int64.self, forColumn: "id"), in: db))
      }
    }
  }

  fileprivate func timedSchedules(search: Int64, in db: Database) throws -> [TimedSchedule] {
    try Row.fetchAll(
      db, sql: "SELECT schedule, ratio, wasCompared FROM evaluation WHERE searchID = ? ORDER BY ratio, schedule",
      arguments: [search]
    ).map { row in
      TimedSchedule(
        try decode(Schedule.self, row.decode(String.self, forColumn: "schedule")),
        ratio: try row.decode(Double.self, forColumn: "ratio"),
        wasCompared: try row.decode(Bool.self, forColumn: "wasCompared"))
    }
  }

  fileprivate static func put(_ timed: TimedSchedule, search: Int64, in db: Database) throws {
    try db.execute(
      sql: """
        INSERT INTO evaluation (searchID, schedule, ratio, wasCompared) VALUES (?, ?, ?, ?)
        ON CONFLICT (searchID, schedule) DO UPDATE SET ratio = excluded.ratio, wasCompared = excluded.wasCompared
        """, arguments: [search, try json(timed.schedule), timed.ratio, timed.wasCompared])
  }
}

extension TuneSession {
  /// The search of `problem` at `threads` in this pass; nil when it was settled by none that keeps searches.
  public func search(of problem: Problem, threads: Int) throws(ProfileError) -> SearchRecord? {
    try journal.read { db in
      guard
        let row = try Row.fetchOne(
          db,
          sql: """
            SELECT reference, seconds, ending, usedUpBudget, gain FROM search
            WHERE machineID = ? AND pass = ? AND problem = ? AND threads = ?
            """, arguments: [machine, pass, Journal.key(problem), threads])
      else { return nil }
      let reference = try journal.decode(Schedule.self, row.decode(String.self, forColumn: "reference"))
      var record = SearchRecord(reference: reference)
      record.seconds = try row.decode(Double.self, forColumn: "seconds")
      record.ending = try row.decode(String?.self, forColumn: "ending").flatMap(SearchRecord.Ending.init)
      record.usedUpBudget = try row.decode(Double?.self, forColumn: "usedUpBudget")
      record.gain = try row.decode(Double.self, forColumn: "gain")
      return record
    }
  }

  /// What the search of `problem` at `threads` has timed so far, fastest first.
  public func timedSchedules(of problem: Problem, threads: Int) throws(ProfileError) -> [TimedSchedule] {
    try journal.read { db in
      guard let search = try searchID(problem, threads, in: db) else { return [] }
      return try journal.timedSchedules(search: search, in: db)
    }
  }

  /// Keeps how far searches came, in one transaction; what they have timed stays.
  public func record(_ searches: [(problem: Problem, record: SearchRecord)]) throws(ProfileError) {
    try journal.write { db in
      for search in searches { try put(search.record, of: search.problem, in: db) }
    }
  }

  /// Keeps what one Schedule took, in a transaction of its own. Its search must be on record.
  public func record(_ timed: TimedSchedule, of problem: Problem) throws(ProfileError) {
    try journal.write { db in
      guard let search = try searchID(problem, timed.schedule.threads, in: db) else {
        throw ProfileError(.invalid, "cannot record \(timed.schedule): no search of \(problem) is on record")
      }
      try Journal.put(timed, search: search, in: db)
    }
  }

  /// Begins the search of a Problem anew, with what was timed while it was settled.
  func beginSearch(_ record: SearchRecord, of problem: Problem, timed: [TimedSchedule], in db: Database) throws {
    try db.execute(
      sql: "DELETE FROM search WHERE machineID = ? AND pass = ? AND problem = ? AND threads = ?",
      arguments: [machine, pass, Journal.key(problem), record.reference.threads])
    try put(record, of: problem, in: db)
    let search = db.lastInsertedRowID
    for timed in timed { try Journal.put(timed, search: search, in: db) }
  }

  private func searchID(_ problem: Problem, _ threads: Int, in db: Database) throws -> Int64? {
    try Int64.fetchOne(
      db, sql: "SELECT id FROM search WHERE machineID = ? AND pass = ? AND problem = ? AND threads = ?",
      arguments: [machine, pass, Journal.key(problem), threads])
  }

  private func put(_ record: SearchRecord, of problem: Problem, in db: Database) throws {
    try db.execute(
      sql: """
        INSERT INTO search (machineID, pass, problem, threads, reference, seconds, ending, usedUpBudget, gain)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (machineID, pass, problem, threads) DO UPDATE SET
          seconds = excluded.seconds, ending = excluded.ending, usedUpBudget = excluded.usedUpBudget,
          gain = excluded.gain
        """,
      arguments: [
        machine, pass, Journal.key(problem), record.reference.threads, try Journal.json(record.reference),
        record.seconds, record.ending?.rawValue, record.usedUpBudget, record.gain,
      ])
  }
}
