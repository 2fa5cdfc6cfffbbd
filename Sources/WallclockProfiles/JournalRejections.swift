import Foundation
import GRDB
import WallclockCore

extension Journal {
  /// Rejections hold for one machine, one pass and one build: another build may have mended the kernel.
  static func createRejections(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE rejection (
          id INTEGER PRIMARY KEY,
          machineID INTEGER NOT NULL REFERENCES machine(id) ON DELETE CASCADE,
          pass INTEGER NOT NULL,
          build TEXT NOT NULL,
          problem TEXT NOT NULL,
          threads INTEGER NOT NULL,
          schedule TEXT NOT NULL,
          outcome TEXT NOT NULL,
          figure REAL,
          reason TEXT NOT NULL,
          problemContent TEXT NOT NULL,
          scheduleContent TEXT NOT NULL,
          recordedAt TEXT NOT NULL,
          UNIQUE (machineID, pass, build, problem, schedule)
        );
        """)
  }
}

extension TuneSession {
  /// Keeps a rejection of this `build`, in a transaction of its own; a second of the same Schedule replaces it.
  public func record(
    _ rejection: CandidateRejection, build: String, at date: Date = Date()
  ) throws(ProfileError) {
    let problem = try Journal.json(rejection.problem)
    let schedule = try Journal.json(rejection.schedule)
    try journal.write { db in
      try db.execute(
        sql: """
          INSERT INTO rejection
            (machineID, pass, build, problem, threads, schedule, outcome, figure, reason, problemContent,
             scheduleContent, recordedAt)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
          ON CONFLICT (machineID, pass, build, problem, schedule) DO UPDATE SET
            outcome = excluded.outcome, figure = excluded.figure, reason = excluded.reason,
            recordedAt = excluded.recordedAt
          """,
        arguments: [
          machine, pass, build, Journal.key(rejection.problem), rejection.schedule.threads,
          Journal.key(rejection.schedule), rejection.outcome.name, rejection.outcome.figure, rejection.reason,
          problem, schedule, Journal.timestamp(date),
        ])
    }
  }

  /// What this pass rejected under `build`, in the order it was found.
  public func rejections(build: String) throws(ProfileError) -> [CandidateRejection] {
    try journal.read { db in
      try Row.fetchAll(
        db,
        sql: """
          SELECT outcome, figure, reason, problemContent, scheduleContent FROM rejection
          WHERE machineID = ? AND pass = ? AND build = ? ORDER BY id
          """,
        arguments: [machine, pass, build]
      ).map { row in
        let name = try row.decode(String.self, forColumn: "outcome")
        let figure = try row.decode(Double?.self, forColumn: "figure")
        guard let outcome = CandidateOutcome(name: name, figure: figure) else {
          throw ProfileError(
            .invalid,
            "\(journal.url.path(percentEncoded: false)): a rejection has the outcome \"\(name)\" with the figure "
              + "\(figure.map { "\($0)" } ?? "none"), which is no outcome; move the journal away and tune again")
        }
        return CandidateRejection(
          problem: try journal.decode(Problem.self, row.decode(String.self, forColumn: "problemContent")),
          schedule: try journal.decode(Schedule.self, row.decode(String.self, forColumn: "scheduleContent")),
          outcome: outcome, reason: try row.decode(String.self, forColumn: "reason"))
      }
    }
  }
}
