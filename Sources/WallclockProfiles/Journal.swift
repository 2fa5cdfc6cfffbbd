import Foundation
import GRDB
import WallclockCore

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// The SQLite database profiles are made from. One transaction per measurement, so a tune that is
/// killed loses at most the measurement it was taking, and resumes without doubling any.
///
/// Safe to use from several threads and processes at once: SQLite serialises writers.
public final class Journal: Sendable {
  let database: DatabaseQueue
  public let url: URL

  /// Seconds to wait for another process's write before giving up.
  private static let busySeconds: Double = 30

  /// Opens the journal, creating and migrating it as needed.
  ///
  /// - Parameter url: the database file; nil is `journal.sqlite` in `DataHome.folder()`.
  /// - Throws: `ProfileError`: `.cannotCreate` for folders and permissions, `.newerSchema` when a newer
  ///   version wrote it, `.invalid` when it is not a journal, `.inputOutput` when the disk fails.
  public static func open(at url: URL? = nil) throws(ProfileError) -> Journal {
    let file: URL
    if let url { file = url } else { file = try DataHome.folder().appending(component: "journal.sqlite") }
    try DurableFile.createFolder(file.deletingLastPathComponent())
    return try Journal(file)
  }

  private init(_ url: URL) throws(ProfileError) {
    self.url = url
    let path = url.path(percentEncoded: false)
    var configuration = Configuration()
    configuration.busyMode = .timeout(Self.busySeconds)
    configuration.foreignKeysEnabled = true
    configuration.label = "wallclock.journal"
    // Two processes that both find no journal, or an old one, must not both migrate it.
    let folder = FolderLock(url.deletingLastPathComponent())
    defer { withExtendedLifetime(folder) {} }
    try Self.checkHeader(path)
    database = try Self.translating(path) {
      let database = try DatabaseQueue(path: path, configuration: configuration)
      // Looked at before anything is changed in it, were it only the journal mode.
      try database.read { db in
        if try Self.migrator.hasBeenSuperseded(db) {
          throw ProfileError(
            .newerSchema,
            "\(path): the journal was written by a newer version of wallclock; this one knows versions up to "
              + "\"\(Self.migrator.migrations.last ?? "none")\"; update wallclock or set XDG_DATA_HOME elsewhere"
          )
        }
        if try !db.tableExists("grdb_migrations") && !db.isEmpty {
          throw ProfileError(
            .invalid,
            "\(path): a database, but not a journal of wallclock; move it away or set XDG_DATA_HOME elsewhere")
        }
      }
      // WAL with FULL: NORMAL may lose the last commits on power failure, and a measurement is dearer
      // than an fsync.
      try database.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
      }
      try Self.migrator.migrate(database)
      return database
    }
  }

  /// SQLite takes a file shorter than a page for an empty database, whatever is in it.
  private static func checkHeader(_ path: String) throws(ProfileError) {
    guard let file = FileHandle(forReadingAtPath: path) else { return }
    defer { try? file.close() }
    let magic = Data("SQLite format 3\0".utf8)
    guard let start = try? file.read(upToCount: magic.count), !start.isEmpty, start != magic else { return }
    throw ProfileError(
      .invalid, "\(path): not a journal: no SQLite database begins like this; move it away and tune again")
  }

  private static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("v1") { db in
      try db.execute(
        sql: """
          CREATE TABLE machine (
            id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE,
            hash TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            noiseFloor REAL,
            modelError TEXT
          );
          CREATE TABLE session (
            id INTEGER PRIMARY KEY,
            machineID INTEGER NOT NULL REFERENCES machine(id) ON DELETE CASCADE,
            pass INTEGER NOT NULL,
            command TEXT NOT NULL,
            wallclockVersion TEXT NOT NULL,
            conditions TEXT NOT NULL,
            startedAt TEXT NOT NULL,
            finishedAt TEXT
          );
          CREATE INDEX sessionByMachine ON session(machineID, pass);
          CREATE TABLE measurement (
            id INTEGER PRIMARY KEY,
            machineID INTEGER NOT NULL REFERENCES machine(id) ON DELETE CASCADE,
            pass INTEGER NOT NULL,
            problem TEXT NOT NULL,
            schedule TEXT NOT NULL,
            threads INTEGER NOT NULL,
            medianNanoseconds REAL NOT NULL,
            content TEXT NOT NULL,
            recordedAt TEXT NOT NULL,
            UNIQUE (machineID, pass, problem, schedule)
          );
          CREATE TABLE winner (
            machineID INTEGER NOT NULL,
            pass INTEGER NOT NULL,
            problem TEXT NOT NULL,
            threads INTEGER NOT NULL,
            schedule TEXT NOT NULL,
            settledAt TEXT NOT NULL,
            PRIMARY KEY (machineID, pass, problem, threads),
            FOREIGN KEY (machineID, pass, problem, schedule)
              REFERENCES measurement(machineID, pass, problem, schedule) ON DELETE CASCADE
          );
          CREATE TABLE ceiling (
            machineID INTEGER NOT NULL REFERENCES machine(id) ON DELETE CASCADE,
            pass INTEGER NOT NULL,
            name TEXT NOT NULL,
            threads INTEGER NOT NULL,
            content TEXT NOT NULL,
            recordedAt TEXT NOT NULL,
            PRIMARY KEY (machineID, pass, name, threads)
          );
          """)
    }
    migrator.registerMigration("v2 rejections", migrate: createRejections)
    migrator.registerMigration("v3 searches", migrate: createSearches)
    return migrator
  }

  // MARK: - Access

  func read<Value>(_ body: (Database) throws -> Value) throws(ProfileError) -> Value {
    try Self.translating(url.path(percentEncoded: false)) { try database.read(body) }
  }

  /// One immediate transaction: committed whole, or not at all.
  func write<Value>(_ body: (Database) throws -> Value) throws(ProfileError) -> Value {
    try Self.translating(url.path(percentEncoded: false)) { try database.write(body) }
  }

  private static func translating<Value>(
    _ path: String, _ body: () throws -> Value
  ) throws(ProfileError) -> Value {
    do {
      return try body()
    } catch let error as ProfileError {
      throw error
    } catch let error as DatabaseError {
      let why = error.message ?? "\(error.resultCode)"
      switch error.resultCode {
      case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
        throw ProfileError(.cannotCreate, "\(path): cannot open the journal for writing: \(why)")
      case .SQLITE_BUSY, .SQLITE_LOCKED:
        throw ProfileError(
          .busy,
          "\(path): another process held the journal for \(Int(busySeconds)) s: \(why); "
            + "try again when it is done")
      case .SQLITE_NOTADB, .SQLITE_CORRUPT, .SQLITE_ERROR, .SQLITE_SCHEMA, .SQLITE_CONSTRAINT:
        throw ProfileError(
          .invalid, "\(path): not a journal, or a damaged one: \(why); move it away and tune again")
      default:
        throw ProfileError(.inputOutput, "\(path): reading or writing the journal failed: \(why)")
      }
    } catch let error as RowDecodingError {
      throw ProfileError(.invalid, "\(path): a damaged journal: \(error); move it away and tune again")
    } catch {
      throw ProfileError(.inputOutput, "\(path): reading or writing the journal failed: \(error)")
    }
  }

  // MARK: - Rows

  /// The text a Schedule is known by; its description leaves out the backend.
  static func key(_ schedule: Schedule) -> String { "\(schedule) backend=\(schedule.backend)" }
  static func key(_ problem: Problem) -> String { problem.description }
  static func timestamp(_ date: Date) -> String { date.ISO8601Format() }

  static func json(_ value: some Encodable) throws(ProfileError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
      throw ProfileError(.invalid, "cannot record \(value): \(error)")
    }
  }

  func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws(ProfileError) -> Value {
    do { return try JSONDecoder().decode(type, from: Data(text.utf8)) } catch {
      throw ProfileError(
        .invalid,
        "\(url.path(percentEncoded: false)): a row is no \(type): \(error); "
          + "move the journal away and tune again")
    }
  }

  /// The row of the machine, made when missing; its fingerprint is brought up to date.
  static func machineID(of fingerprint: Fingerprint, in db: Database) throws -> Int64 {
    guard
      let id = try Int64.fetchOne(
        db,
        sql: """
          INSERT INTO machine (identity, hash, fingerprint) VALUES (?, ?, ?)
          ON CONFLICT (identity) DO UPDATE SET fingerprint = excluded.fingerprint RETURNING id
          """,
        arguments: [fingerprint.identity, fingerprint.identityHash, try json(fingerprint)])
    else { throw ProfileError(.inputOutput, "the journal did not keep the machine") }
    return id
  }

  static func knownMachineID(of fingerprint: Fingerprint, in db: Database) throws -> Int64? {
    try Int64.fetchOne(
      db, sql: "SELECT id FROM machine WHERE identity = ?", arguments: [fingerprint.identity])
  }

  /// The newest pass of a machine; 1 when there is none yet.
  static func newestPass(of machine: Int64, in db: Database) throws -> Int {
    try Int.fetchOne(
      db,
      sql: """
        SELECT MAX(pass) FROM (SELECT pass FROM session WHERE machineID = ?1
          UNION ALL SELECT pass FROM measurement WHERE machineID = ?1)
        """, arguments: [machine]) ?? 1
  }

  /// Inserts or replaces the one row of (machine, pass, problem, schedule).
  static func put(
    _ measurement: Measurement, machine: Int64, pass: Int, at time: String, in db: Database
  ) throws {
    try db.execute(
      sql: """
        INSERT INTO measurement
          (machineID, pass, problem, schedule, threads, medianNanoseconds, content, recordedAt)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (machineID, pass, problem, schedule) DO UPDATE SET
          medianNanoseconds = excluded.medianNanoseconds, content = excluded.content,
          recordedAt = excluded.recordedAt
        """,
      arguments: [
        machine, pass, key(measurement.problem), key(measurement.schedule), measurement.schedule.threads,
        measurement.samples.medianNanoseconds, try json(measurement), time,
      ])
  }

  static func put(
    winner schedule: Schedule, of problem: Problem, machine: Int64, pass: Int, at time: String,
    in db: Database
  ) throws {
    try db.execute(
      sql: """
        INSERT INTO winner (machineID, pass, problem, threads, schedule, settledAt)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (machineID, pass, problem, threads) DO UPDATE SET
          schedule = excluded.schedule, settledAt = excluded.settledAt
        """,
      arguments: [machine, pass, key(problem), schedule.threads, key(schedule), time])
  }

  static func put(_ ceiling: Ceiling, machine: Int64, pass: Int, at time: String, in db: Database) throws {
    try db.execute(
      sql: """
        INSERT INTO ceiling (machineID, pass, name, threads, content, recordedAt)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (machineID, pass, name, threads) DO UPDATE SET
          content = excluded.content, recordedAt = excluded.recordedAt
        """,
      arguments: [machine, pass, ceiling.name, ceiling.threads, try json(ceiling), time])
  }
}

extension Database {
  /// Whether it holds nothing yet.
  fileprivate var isEmpty: Bool {
    get throws { try Bool.fetchOne(self, sql: "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)") ?? true }
  }
}
