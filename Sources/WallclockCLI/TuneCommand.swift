import ArgumentParser
import Foundation
import Wallclock

struct TuneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Fills this host's profile: finds and measures the fastest schedules.",
    discussion: """
      Examples:
        wallclock tune --quick --model minilm-l6
        wallclock tune --budget 30m --model path/to/model
        wallclock tune --ops gemm --types w8a8 --m 1 16 128 --n 4096 --k 4096
        wallclock tune --record space.json.gz --ops gemm --types f32 --m 128 --n 256 --k 256
        wallclock tune --replay space.json.gz --strategy default --seeds 50
      First every problem is settled with the best of its likeliest schedules; without --quick, whole knob
      spaces are searched then, where that is expected to save most of the models' time.
      Every measurement is kept as soon as it is taken. Ctrl-C or a crash loses nothing: the same
      command goes on where it stopped, and measures nothing twice.
      A kernel that crashes, hangs, takes all memory or is wrong does so in another process; it is
      named at the end, and not tried again until the program or the machine changes.
      Plug-in backends (`wallclock host` lists them) are measured too, to be compared with: --exclude-backend
      leaves one out.
      """)

  @Flag(name: .long, help: "16, 128 and 512 tokens at batch 1 and 16; f32, bf16, w8a8, w4a8-g32; under three minutes on two cores.")
  var quick = false
  @Option(name: .long, help: "Time for the whole tune, e.g. 90s, 30m, 2h; a larger one later goes on with what is left to search. Default: 20m, with --quick 100s of comparing and sampling.")
  var budget: DurationArgument?
  @Option(name: .long, help: "Schedules to try at most, in all problems together; the likeliest of each is measured anyhow.")
  var evaluations: Int?
  @Option(name: .customLong("model"), help: "A model directory, config.json or built-in name; may be repeated.")
  var models: [String] = []
  @Option(name: .long, parsing: .upToNextOption, help: "Thread counts; default 1 and one per core.")
  var threads: [Int] = []
  @Flag(name: .customLong("again"), help: "Measure anew what an earlier tune settled, and try what it rejected.")
  var startOver = false
  @Option(name: .shortAndLong, help: "Also write the profile to this file.")
  var outputFile: String?
  @Option(name: .long, help: "Also write the schedules measured for these problems to this file, in the T4 results format.")
  var t4: String?
  @OptionGroup var backends: BackendOptions
  @OptionGroup(title: "Comparing strategies") var search: SearchOptions
  @OptionGroup var selection: ProblemOptions
  @OptionGroup var output: OutputOptions

  struct Report: Encodable {
    var profile: String
    var settled: Int
    var alreadySettled: Int
    var rejected: [Rejected]
    var skipped: [String]
    var noiseFloor: Double?
    var seconds: Double
    /// Searches that were gone on with, the schedules they timed, and those that found a better one.
    var searched = 0
    var evaluations = 0
    var improved = 0
    /// What more time could gain, and the command for it; absent when there is nothing.
    var outlook: TuneOutlook?
    var command: String?
    /// Absent without plug-in backends.
    var baselines: TuneBaselines?
  }

  /// A candidate that was left out.
  struct Rejected: Encodable {
    var problem: String
    var schedule: String
    var kernel: String
    /// `CandidateOutcome.name`.
    var outcome: String
    var reason: String
    /// Signal, seconds, bytes, error or ratio, as the outcome has it; absent when it is not finite.
    var figure: Double?
    /// Found by an earlier run; not tried again in this one.
    var isOnRecord: Bool

    init(_ rejection: CandidateRejection, isOnRecord: Bool) {
      problem = "\(rejection.problem)"
      schedule = "\(rejection.schedule)"
      kernel = rejection.schedule.kernel
      outcome = rejection.outcome.name
      reason = rejection.reason
      figure = rejection.outcome.figure.flatMap { $0.isFinite ? $0 : nil }
      self.isOnRecord = isOnRecord
    }
  }

  func run() async throws {
    try await reportingFailures {
      Interruption.install()
      if try await search.run(output, problems: selection.problems, threads: threads) { return }
      let machine = Machine.host.fingerprint
      let (targets, passes) = try targets(machine)
      let effort = effort
      let journal = try Journal.open()
      let lock = try TuneLock.acquire(
        for: journal,
        waiting: { holder in
          Output.note(
            "another tune\(holder.map { " (process \($0))" } ?? "") is measuring on this machine; waiting until it is done")
        },
        isCancelled: { Interruption.isRequested })
      defer { withExtendedLifetime(lock) {} }
      let session = try journal.beginTune(
        on: machine, command: CommandLine.arguments.dropFirst().joined(separator: " "),
        wallclockVersion: Wallclock.version, conditions: .current(), startingOver: startOver)
      if !FaultInjection.environment.isEmpty {
        Output.note("\(FaultInjection.variable) is set: kernels it names are made to fail, for tests")
      }
      let progress = Progress("tuning")
      let start = ContinuousClock.now
      var report = Report(
        profile: "", settled: 0, alreadySettled: 0, rejected: [], skipped: [], noiseFloor: nil, seconds: 0)
      var rejections: [CandidateRejection] = []
      let supervisor = TuneSupervisor(
        TuneMeasureCommand.invocation, session: session, effort: effort, isCancelled: { Interruption.isRequested }
      ) { event in
        switch event {
        case .ceilings(let ceilings):
          progress.note("measured \(ceilings.count) ceilings")
        case .noiseFloor(let floor):
          report.noiseFloor = floor
        case .alreadySettled:
          report.alreadySettled += 1
        case .settled(let target, let measurement, _, let done, let total):
          report.settled += 1
          progress.update(
            done: done, total: total,
            detail: "\(target.problem): \(Units.time(measurement.samples.medianNanoseconds)) by \(measurement.schedule.kernel)")
        case .searched(let target, let record, let measurement, let evaluations):
          report.searched += 1
          report.evaluations += evaluations
          report.improved += measurement == nil ? 0 : 1
          progress.update(
            done: Int((ContinuousClock.now - start) / .seconds(1)), total: Int(effort.budget / .seconds(1)),
            detail: "\(target.problem): "
              + (measurement == nil ? "nothing better" : String(format: "%.1f %% faster", 100 * (1 / (1 - record.gain) - 1))))
        case .outlook(let outlook):
          report.outlook = outlook
        case .rejected(let target, let rejection, let isOnRecord):
          rejections.append(rejection)
          report.rejected.append(Rejected(rejection, isOnRecord: isOnRecord))
          if !isOnRecord, rejection.outcome.isFault {
            progress.note(
              "\(rejection.outcome.name): \(rejection.schedule) for \(target.problem): \(rejection.reason)")
          }
        case .skipped(let target, let reason):
          report.skipped.append("\(target.problem): \(reason)")
          progress.note("skipped \(target.problem): \(reason)")
        }
      }
      if report.alreadySettled == 0, session.isResumed { progress.note("going on with an earlier tune") }
      defer { progress.clear() }
      try supervisor.run(targets, for: passes)
      let catalog = try backends.catalog()
      if !catalog.ready.isEmpty {
        report.baselines = try TuneBaselines.measure(
          catalog, targets, machine: machine, session: session, effort: effort, progress: progress)
      }
      progress.clear()
      report.seconds = (ContinuousClock.now - start) / .seconds(1)

      let name = machine.profileName
      if let error = CostModel.leaveOneOutError(try journal.profile(of: machine, name: name)) {
        try session.record(modelError: error)
      }
      let profile = try journal.profile(of: machine, name: name)
      report.profile = try ProfileStore().save(profile).path(percentEncoded: false)
      if let outputFile { try profile.write(to: URL(filePath: outputFile)) }
      if let t4 {
        let tuned = Set(targets)
        let all = try journal.profile(of: machine, name: name, alternatives: true)
        try T4Results(all, timed: journal.timedFields(of: machine), rejections: rejections) {
          tuned.contains(TuneTarget($0, threads: $1))
        }.write(to: URL(filePath: t4))
      }
      report.command = report.outlook.flatMap { commandForMore($0, budget: effort.budget) }
      try output.print(
        report,
        text: """
          Settled \(report.settled) problems in \(String(format: "%.0f", report.seconds)) s; \
          \(report.alreadySettled) were settled before\
          \(report.skipped.isEmpty ? "" : "; \(report.skipped.count) problems skipped").
          \(report.searched == 0 ? "" : "Searched \(report.searched) of them with \(report.evaluations) schedules; found \(report.improved) better ones.\n")\
          \(Self.summary(of: report.rejected))\
          \(report.baselines?.lines ?? "")\
          \(report.outlook.map { TuneOutlookText.lines($0, command: report.command, isQuick: quick) } ?? "")\
          Profile: \(report.profile)
          """)
    }
  }

  /// One line a class and kernel, the faults first; empty when nothing was rejected.
  static func summary(of rejected: [Rejected]) -> String {
    guard !rejected.isEmpty else { return "" }
    let groups = Dictionary(grouping: rejected) { "\($0.outcome): \($0.kernel)" }
      .sorted { ($0.value[0].outcome == "slow" ? 1 : 0, $0.key) < ($1.value[0].outcome == "slow" ? 1 : 0, $1.key) }
    let lines = groups.map { key, members in
      let first = members[0]
      let others = members.count == 1 ? "" : " (and \(members.count - 1) more)"
      return "  \(key): \(first.reason), \(first.schedule.dropFirst(first.kernel.count + 1)) for \(first.problem)\(others)"
    }
    let known = rejected.count(where: \.isOnRecord)
    return "\(rejected.count) candidates rejected\(known == 0 ? "" : ", \(known) of them by an earlier run"):\n"
      + lines.joined(separator: "\n") + "\n"
  }

  private var effort: TuneEffort {
    var effort = quick ? TuneEffort.quick : .full()
    if let budget { effort.budget = budget.duration }
    if let evaluations { effort.evaluations = evaluations }
    return effort
  }

  /// This command with a budget that should be enough for the searches still open; nil where none is.
  private func commandForMore(_ outlook: TuneOutlook, budget: Duration) -> String? {
    guard outlook.open > 0 else { return nil }
    var words = ["wallclock", "tune"]
    var arguments = CommandLine.arguments.dropFirst(2)
    while let word = arguments.popFirst() {
      switch word {
      case "--quick", "--json", "--again": continue
      case "--budget", "--evaluations", "--t4", "-o", "--output-file": _ = arguments.popFirst()
      default: words.append(word)
      }
    }
    // After a quick tune the full one's sampling is owed, too.
    let base = quick ? TuneEffort.fullBudget : budget
    let minutes = (base / .seconds(1) * (quick ? 0.4 : 1) + outlook.secondsNeeded) / 60
    return (words + ["--budget", "\(max(5, Int((minutes / 5).rounded(.up)) * 5))m"]).joined(separator: " ")
  }

  func validate() throws {
    if let evaluations, evaluations < 1 { throw ValidationError("--evaluations \(evaluations): try one at least") }
  }

  private func targets(_ machine: Fingerprint) throws -> ([TuneTarget], [ForwardPass]) {
    let counts = threads.isEmpty ? TuneTargets.threadCounts(machine: machine) : threads
    if let bad = counts.first(where: { $0 < 1 || $0 > machine.cpuset.count }) {
      throw ValidationError("--threads \(bad): this process may use 1 to \(machine.cpuset.count) CPUs")
    }
    var passes: [ForwardPass] = []
    for name in models {
      let graph = try Model.load(name).graph
      let formats =
        !selection.types.isEmpty ? selection.types : quick ? TuneTargets.quickFormats : Format.usual
      var workloads = TuneTargets.quickWorkloads(graph)
      if !selection.tokens.isEmpty || selection.batch != nil {
        let tokens = selection.tokens.isEmpty ? [16, 128, 512] : selection.tokens
        workloads = tokens.flatMap { tokens in
          (selection.batch.map { [$0] } ?? [1, 16]).map {
            Workload(batch: $0, tokens: min(tokens, graph.maximumTokens))
          }
        }
      }
      passes += TuneTargets.passes(
        of: graph, named: name, workloads: workloads, formats: formats, threadCounts: counts, machine: machine)
    }
    var targets = passes.flatMap { $0.parts.map(\.target) }
    if models.isEmpty || !selection.ops.isEmpty || selection.shapes != nil {
      for problem in try selection.problems() {
        targets += counts.map { TuneTarget(problem, threads: $0) }
      }
    }
    guard !targets.isEmpty else {
      throw ValidationError(
        "nothing to tune: name a model (--model MODEL), problems (--ops gemm --types w8a8 --m 128 --n 4096 --k 4096), or --shapes FILE"
      )
    }
    var seen: Set<TuneTarget> = []
    return (targets.filter { seen.insert($0).inserted }, passes)
  }
}
