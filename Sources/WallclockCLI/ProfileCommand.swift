import ArgumentParser
import Foundation
import Wallclock

struct ProfileCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "profile",
    abstract: "Lists, shows, checks and moves profiles.",
    discussion: """
      PROFILE is a file, the name of a stored or shipped profile, or `host` for this machine's own.
      Example:
        wallclock profile export -o this-host.json
      """,
    subcommands: [List.self, Show.self, Validate.self, Diff.self, Export.self, Import.self])

  /// What PROFILE names.
  static func load(_ name: String) throws -> Profile {
    name == "host"
      ? try ProfileStore().profile(of: Machine.host.fingerprint) : try ProfileStore().profile(named: name)
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Profiles stored here and shipped, and machines in the journal.")
    @OptionGroup var output: OutputOptions

    struct Row: Encodable {
      var name: String
      var path: String
      var shipped: Bool
      var cpu: String?
      var measurements: Int?
      var thisMachine: Bool?
      var problem: String?
    }

    func run() async throws {
      try await reportingFailures {
        let host = Machine.host.fingerprint
        let rows = try ProfileStore().list().map { entry in
          var row = Row(name: entry.name, path: entry.url.path(percentEncoded: false), shipped: entry.isShipped)
          do throws(ProfileError) {
            let profile = try Profile.read(from: entry.url)
            row.cpu = profile.fingerprint.cpuModel
            row.measurements = profile.measurements.count
            row.thisMachine = profile.fingerprint.differences(to: host).isEmpty
          } catch {
            // A damaged file is listed as what it is, and hides no other.
            row.problem = error.message
          }
          return row
        }
        var table = TextTable(columns: [
          ("profile", .left), ("CPU", .left), ("measurements", .right), ("this machine", .left), ("from", .left),
        ])
        table.rows = rows.map {
          [
            $0.name, $0.cpu ?? $0.problem ?? "", $0.measurements.map(String.init) ?? "–",
            $0.thisMachine.map { $0 ? "yes" : "no" } ?? "–", $0.shipped ? "shipped" : $0.path,
          ]
        }
        try output.print(
          rows, text: rows.isEmpty ? "No profiles yet; `wallclock tune --quick --model minilm-l6` makes one."
            : table.lines.joined(separator: "\n"))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "What a profile holds.")
    @Argument(help: "A file, a name, or `host`.") var profile = "host"
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await reportingFailures {
        let profile = try ProfileCommand.load(profile)
        var ceilings = TextTable(columns: [
          ("ceiling", .left), ("threads", .right), ("best", .right), ("spread", .right),
        ])
        ceilings.rows = profile.ceilings.map {
          [
            $0.name, "\($0.threads)", String(format: "%.1f %@", $0.value, $0.unit),
            String(format: "±%.1f %%", 100 * $0.spread),
          ]
        }
        var table = TextTable(columns: [
          ("problem", .left), ("threads", .right), ("median", .right), ("±", .right), ("GOP/s", .right),
          ("schedule", .left),
        ])
        table.rows = profile.measurements.map { m in
          let s = m.samples
          let half = (s.intervalNanoseconds.upperBound - s.intervalNanoseconds.lowerBound) / 2 / s.medianNanoseconds
          return [
            "\(m.problem)", "\(m.schedule.threads)", Units.time(s.medianNanoseconds),
            String(format: "%.1f %%", 100 * half), String(format: "%.1f", m.itemsPerSecond / 1e9), "\(m.schedule)",
          ]
        }
        try output.print(
          profile,
          text: ([
            "\(profile.name): \(profile.fingerprint.cpuModel), \(profile.updatedAt), wallclock \(profile.wallclockVersion) \(profile.command)",
            "noise floor \(profile.noiseFloor.map { String(format: "%.2f %%", 100 * $0) } ?? "not measured")", "",
          ] + ceilings.lines + [""] + table.lines).joined(separator: "\n"))
      }
    }
  }

  struct Validate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "validate", abstract: "Checks a profile, and that it is this machine's.")
    @Argument(help: "A file, a name, or `host`.") var profile: String
    @Flag(name: .customLong("any-machine"), help: "Accept another machine's profile.") var anyMachine = false
    @OptionGroup var output: OutputOptions

    struct Report: Encodable {
      var valid: Bool
      var measurements: Int
      var thisMachine: Bool
    }

    func run() async throws {
      try await reportingFailures {
        let profile = try ProfileCommand.load(profile)
        let host = Machine.host.fingerprint
        if !anyMachine { try profile.validate(against: host) }
        let report = Report(
          valid: true, measurements: profile.measurements.count,
          thisMachine: profile.fingerprint.differences(to: host).isEmpty)
        try output.print(report, text: "\(profile.name) is valid: \(report.measurements) measurements")
      }
    }
  }

  struct Diff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "diff", abstract: "What changed between two profiles: ceilings and problems, as ratios of speed.")
    @Argument(help: "The first profile.") var first: String
    @Argument(help: "The second profile.") var second: String
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await reportingFailures {
        let diff = ProfileDiff(try ProfileCommand.load(first), try ProfileCommand.load(second))
        var table = TextTable(columns: [("what", .left), ("threads", .right), ("second/first", .right)])
        table.rows = diff.entries.map { [$0.subject, "\($0.threads)", String(format: "%.3f×", $0.ratio)] }
        let machine = diff.machine.isEmpty ? ["the same machine"] : ["machines differ:"] + diff.machine.map { "  \($0)" }
        try output.print(
          diff,
          text: (machine + table.lines + [
            "only in the first: \(diff.onlyInFirst.count); only in the second: \(diff.onlyInSecond.count)"
          ]).joined(separator: "\n"))
      }
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "export", abstract: "Writes this machine's profile from the journal as canonical JSON.")
    @Option(name: .shortAndLong, help: "The file to write; standard output without it.") var outputFile: String?
    @Option(name: .long, help: "The profile's name.") var name: String?
    @Flag(name: .long, help: "Keep the schedules that lost, too.") var alternatives = false
    @Option(name: .long, help: "Write every schedule measured to this file instead, in the T4 results format of Kernel Tuner.")
    var t4: String?

    func validate() throws {
      if t4 != nil, outputFile != nil { throw ValidationError("give --t4 or --output-file, not both") }
    }

    func run() async throws {
      try await reportingFailures {
        let host = Machine.host.fingerprint
        let journal = try Journal.open()
        let profile = try journal.profile(
          of: host, name: name ?? host.profileName, alternatives: alternatives || t4 != nil)
        if let t4 {
          try T4Results(profile, timed: journal.timedFields(of: host)).write(to: URL(filePath: t4))
          return Output.note("wrote \(t4)")
        }
        if let outputFile {
          try profile.write(to: URL(filePath: outputFile))
          Output.note("wrote \(outputFile)")
        } else {
          try Output.write(profile.encoded())
        }
      }
    }
  }

  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "import", abstract: "Puts a profile file into the journal and the store.")
    @Argument(help: "A profile JSON file.") var file: String

    func run() async throws {
      try await reportingFailures {
        let profile = try Profile.read(from: URL(filePath: file))
        try Journal.open().importProfile(profile)
        Output.note("stored as \(try ProfileStore().save(profile).path(percentEncoded: false))")
      }
    }
  }
}
