import Foundation
import GRDB
import WallclockCore

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// A machine the journal knows.
public struct JournalMachine: Hashable, Sendable, Codable {
  public var fingerprint: Fingerprint
  /// `Fingerprint.identityHash`.
  public var hash: String
  public var measurements: Int
  /// (Problem, threads) pairs with a winner, in the newest pass.
  public var settled: Int
  /// ISO 8601; nil without measurements.
  public var updatedAt: String?
}

extension Journal {
  public func machines() throws(ProfileError) -> [JournalMachine] {
    try read { db in
      try Row.fetchAll(
        db,
        sql: """
          SELECT fingerprint, hash,
            (SELECT COUNT(*) FROM measurement WHERE machineID = machine.id) AS measurements,
            (SELECT COUNT(*) FROM winner WHERE machineID = machine.id
              AND pass = (SELECT MAX(pass) FROM winner WHERE machineID = machine.id)) AS settled,
            (SELECT MAX(recordedAt) FROM measurement WHERE machineID = machine.id) AS updatedAt
          FROM machine ORDER BY machine.id
          """
      ).map { row in
        JournalMachine(
          fingerprint: try decode(Fingerprint.self, row.decode(String.self, forColumn: "fingerprint")),
          hash: try row.decode(String.self, forColumn: "hash"),
          measurements: try row.decode(Int.self, forColumn: "measurements"),
          settled: try row.decode(Int.self, forColumn: "settled"),
          updatedAt: try row.decode(String?.self, forColumn: "updatedAt"))
      }
    }
  }

  /// The profile of one machine, as far as it is settled. Where the newest pass has not settled a
  /// (Problem, threads) pair yet, the last pass that did stands in.
  ///
  /// - Parameter alternatives: whether to keep the Schedules that lost.
  /// - Throws: `ProfileError.notFound` when nothing is settled for the machine.
  public func profile(
    of fingerprint: Fingerprint, name: String, alternatives: Bool = false
  ) throws(ProfileError) -> Profile {
    try read { db in
      guard let machine = try Self.knownMachineID(of: fingerprint, in: db),
        let stored = try Row.fetchOne(
          db, sql: "SELECT fingerprint, noiseFloor, modelError FROM machine WHERE id = ?",
          arguments: [machine]),
        let session = try Row.fetchOne(
          db,
          sql: """
            SELECT command, wallclockVersion, conditions,
              (SELECT MIN(startedAt) FROM session WHERE machineID = ?1) AS createdAt
            FROM session WHERE machineID = ?1 ORDER BY id DESC LIMIT 1
            """, arguments: [machine])
      else { throw Self.nothingKnown(of: fingerprint) }

      let newestWinner = """
        SELECT *, ROW_NUMBER() OVER (PARTITION BY problem, threads ORDER BY pass DESC) AS age
        FROM winner WHERE machineID = ?1
        """
      let winners = try Row.fetchAll(
        db,
        sql: """
          SELECT content, recordedAt FROM (\(newestWinner)) AS winner
            JOIN measurement USING (machineID, pass, problem, schedule)
          WHERE age = 1 ORDER BY problem, winner.threads
          """, arguments: [machine])
      guard !winners.isEmpty else { throw Self.nothingKnown(of: fingerprint) }

      let losers =
        alternatives
        ? try String.fetchAll(
          db,
          sql: """
            SELECT content FROM (\(newestWinner)) AS winner
              JOIN measurement USING (machineID, pass, problem, threads)
            WHERE age = 1 AND measurement.schedule <> winner.schedule AND NOT (\(Self.isOfPlugin))
            ORDER BY problem, threads, medianNanoseconds, measurement.schedule
            """, arguments: [machine]) : nil
      let baselines = try String.fetchAll(
        db,
        sql: """
          SELECT content FROM (
            SELECT content, problem, threads, schedule,
              ROW_NUMBER() OVER (PARTITION BY problem, schedule ORDER BY pass DESC) AS age
            FROM measurement JOIN (SELECT DISTINCT problem, threads FROM winner WHERE machineID = ?1)
              USING (problem, threads)
            WHERE machineID = ?1 AND \(Self.isOfPlugin)
          ) WHERE age = 1 ORDER BY problem, threads, schedule
          """, arguments: [machine])
      let ceilings = try String.fetchAll(
        db,
        sql: """
          SELECT content FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY name, threads ORDER BY pass DESC) AS age
            FROM ceiling WHERE machineID = ?1
          ) WHERE age = 1 ORDER BY name, threads
          """, arguments: [machine])

      // Rows of a file: a value of another type is an error, which row["…"] would trap on.
      func text(_ row: Row, _ column: String) throws -> String { try row.decode(String.self, forColumn: column) }
      let createdAt = try text(session, "createdAt")
      let updatedAt = try winners.map { try text($0, "recordedAt") }.max() ?? createdAt
      let modelError = try stored.decode(String?.self, forColumn: "modelError")
      return Profile(
        name: name, createdAt: createdAt, updatedAt: updatedAt, command: try text(session, "command"),
        wallclockVersion: try text(session, "wallclockVersion"),
        fingerprint: try decode(Fingerprint.self, text(stored, "fingerprint")),
        conditions: try decode(Conditions.self, text(session, "conditions")),
        ceilings: try ceilings.map { try decode(Ceiling.self, $0) },
        measurements: try winners.map { try decode(Measurement.self, text($0, "content")) },
        alternatives: try losers?.map { try decode(Measurement.self, $0) },
        baselines: baselines.isEmpty ? nil : try baselines.map { try decode(Measurement.self, $0) },
        noiseFloor: try stored.decode(Double?.self, forColumn: "noiseFloor"),
        modelError: try modelError.map { try decode(ModelError.self, $0) })
    }.checked()
  }

  /// Of a row of `measurement`: its Schedule ends with the backend.
  private static let isOfPlugin = Backend.builtIn
    .map { "measurement.schedule NOT LIKE '% backend=\($0)'" }.joined(separator: " AND ")

  private static func nothingKnown(of fingerprint: Fingerprint) -> ProfileError {
    ProfileError(
      .notFound,
      "the journal holds no finished measurement of this machine (\(fingerprint.cpuModel), "
        + "\(fingerprint.identityHash)); run `wallclock tune`")
  }

  /// Takes over a profile, in one transaction, into the newest pass of its machine. Where the journal
  /// has a measurement of the same Schedule, the later of the two stays.
  public func importProfile(_ profile: Profile) throws(ProfileError) {
    let profile = try profile.checked()
    let conditions = try Self.json(profile.conditions)
    try write { db in
      let machine = try Self.machineID(of: profile.fingerprint, in: db)
      let pass = try Self.newestPass(of: machine, in: db)
      try db.execute(
        sql: """
          INSERT INTO session (machineID, pass, command, wallclockVersion, conditions, startedAt, finishedAt)
          VALUES (?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          machine, pass, profile.command, profile.wallclockVersion, conditions, profile.createdAt,
          profile.updatedAt,
        ])
      func isNewer(_ measurement: Measurement) throws -> Bool {
        let held = try String.fetchOne(
          db,
          sql: """
            SELECT recordedAt FROM measurement
            WHERE machineID = ? AND pass = ? AND problem = ? AND schedule = ?
            """,
          arguments: [machine, pass, Self.key(measurement.problem), Self.key(measurement.schedule)])
        return held.map { $0 < profile.updatedAt } ?? true
      }
      for measurement in profile.measurements + (profile.alternatives ?? []) + (profile.baselines ?? []) where try isNewer(measurement) {
        try Self.put(measurement, machine: machine, pass: pass, at: profile.updatedAt, in: db)
      }
      for winner in profile.measurements {
        let settledAt = try String.fetchOne(
          db,
          sql:
            "SELECT settledAt FROM winner WHERE machineID = ? AND pass = ? AND problem = ? AND threads = ?",
          arguments: [machine, pass, Self.key(winner.problem), winner.schedule.threads])
        if settledAt.map({ $0 < profile.updatedAt }) ?? true {
          try Self.put(
            winner: winner.schedule, of: winner.problem, machine: machine, pass: pass, at: profile.updatedAt,
            in: db)
        }
      }
      for ceiling in profile.ceilings {
        let held = try String.fetchOne(
          db,
          sql: "SELECT recordedAt FROM ceiling WHERE machineID = ? AND pass = ? AND name = ? AND threads = ?",
          arguments: [machine, pass, ceiling.name, ceiling.threads])
        if held.map({ $0 < profile.updatedAt }) ?? true {
          try Self.put(ceiling, machine: machine, pass: pass, at: profile.updatedAt, in: db)
        }
      }
      try db.execute(
        sql: "UPDATE machine SET noiseFloor = COALESCE(noiseFloor, ?) WHERE id = ?",
        arguments: [profile.noiseFloor, machine])
    }
  }
}
