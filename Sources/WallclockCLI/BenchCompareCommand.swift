import ArgumentParser
import Foundation
import Wallclock

struct BenchCompareCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "The ratio of two ways of doing the same, sampled in turn in one run.",
    discussion: """
      A and B are `default`, `tuned`, a backend (scalar, simd, threaded, or a plug-in that `wallclock host`
      lists), a kernel's name, or `exec:COMMAND`: any program that speaks the sample protocol (see
      scripts/README.md). Plug-ins and programs are stopped while the other side runs.
      Examples:
        wallclock bench compare simd threaded --op gemm --m 128 --n 1536 --k 384 --threads 2
        wallclock bench compare default onednn --op gemm --types w8a8 --m 128 --n 1536 --k 384 --threads 2
        wallclock bench compare default "exec:python3 scripts/examples/numpy_gemm.py 128 1536 384" \\
          --op gemm --m 128 --n 1536 --k 384
      The ratio is time of A over time of B: above 1, B is faster. Its interval holds whenever one
      looks; a difference within the margin counts as none.
      """)

  @Argument(help: "The first side.") var a: String
  @Argument(help: "The second side.") var b: String
  @OptionGroup var bench: BenchOptions
  @Option(name: .long, help: "Differences up to this count as none; default: the noise floor of this host, measured first.")
  var margin: FractionArgument?
  @Flag(name: .long, help: "Compare each plug-in or program with a second copy of itself first: its noise floor.")
  var floor = false
  @Option(name: .long, help: "Stop once the interval is within this fraction of the ratio.")
  var precision = FractionArgument(argument: "1%")!
  @Option(name: .long, help: "Seconds an external program may take to get ready, and for each sample.")
  var timeout = 120.0
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard timeout > 0, timeout <= 86400 else { throw ValidationError("--timeout \(timeout): expected 0 to 86400 seconds") }
    for side in [a, b] where side.hasPrefix("exec:") && side.dropFirst(5).allSatisfy(\.isWhitespace) {
      throw ValidationError("\"\(side)\" names no command; expected exec:COMMAND")
    }
    if floor, margin != nil { throw ValidationError("give --margin or --floor, not both") }
    if floor, ![a, b].contains(where: isElsewhere) {
      throw ValidationError("--floor is for plug-ins and external programs; that of this one is always measured")
    }
    if let backend = bench.backend {
      throw ValidationError("--backend \(backend): name it as A or B")
    }
  }

  /// Whether a side runs in a process of its own: a program, or a plug-in backend.
  private func isElsewhere(_ side: String) -> Bool { side.hasPrefix("exec:") || plugin(side) != nil }

  /// What runs here has for its other side.
  private var otherSide: OtherSide {
    if [a, b].contains(where: { $0.hasPrefix("exec:") }) { return .program }
    return [a, b].contains(where: isElsewhere) ? .otherThreads : .sameThreads
  }

  /// The name of a plug-in backend: a word that is none of this program's own.
  private func plugin(_ side: String) -> String? {
    guard !["default", "tuned"].contains(side), (try? KernelTable.named(side)) == nil else { return nil }
    return Backend(side)?.plugin
  }

  struct Report: Encodable {
    var problem: String?
    var a: String
    var b: String
    var ratio: Double
    var interval: ClosedRange<Double>
    /// That the interval holds the true ratio, whenever one looks.
    var confidence: Double
    var significant: Bool
    var outcome: Decision.Outcome
    var margin: Double
    /// How the margin came about: `given`, `measured` (never below `DecisionRule.leastMargin`), or
    /// `assumed` for plug-ins and external programs that were not measured against themselves.
    var marginSource: String
    var stop: Decision.Stop
    /// Pairs of samples that count, and those dropped for being preempted.
    var samples: Int
    var dropped: Int
    var aNanoseconds: Double
    var bNanoseconds: Double
  }

  func run() async throws {
    try await reportingFailures {
      Interruption.install()
      let problems = try bench.selection.problems()
      let external = [a, b].filter { $0.hasPrefix("exec:") }.count
      if external == 2 {
        guard problems.isEmpty else {
          throw ValidationError("both sides are external programs, which know what they run; leave out --op and its sizes")
        }
        let report = try compareExternal()
        return try output.print(report, text: Self.text(report))
      }
      guard !problems.isEmpty else { throw ValidationError("no problem named: give --op with its sizes") }
      if external == 1, problems.count > 1 {
        throw ValidationError("\(problems.count) problems named; an external program runs one")
      }
      let reports = try compare(problems)
      let text = reports.map(Self.text).joined(separator: "\n")
      if reports.count == 1 {
        try output.print(reports[0], text: text)
      } else {
        try output.print(reports, text: text)
      }
    }
  }

  private func start(_ side: String) throws -> ExternalSide {
    try ExternalSide(
      String(side.dropFirst(5)), patience: .milliseconds(Int64(timeout * 1000)), isCancelled: { Interruption.isRequested })
  }

  /// A side in a process of its own, checked before where that can be.
  private func startElsewhere(_ name: String, for problem: Problem?) throws -> (side: any ComparedSide, label: String) {
    guard let plugin = plugin(name), let problem else {
      let program = try start(name)
      return (program, program.name)
    }
    let process = try bench.plugins.start(plugin, threads: bench.threads)
    _ = try process.prepare(problem)
    return (BackendSide(process), "\(process.schedule)")
  }

  private func rule(margin: Double, defaultSeconds: Double) -> DecisionRule {
    var rule = DecisionRule(.either, margin: margin)
    rule.precision = precision.value
    rule.timeCap = .milliseconds(Int64((bench.seconds ?? defaultSeconds) * 1000))
    return rule
  }

  /// Programs need time to be woken and asked, and their passes are long.
  private static let externalSeconds = 20.0

  private func compareExternal() throws -> Report {
    let margin = try self.margin?.value ?? externalFloor(of: nil)
    let (first, second) = (try start(a), try start(b))
    let decision = try PairedComparison.decide(
      first, second, rule: rule(margin: margin, defaultSeconds: Self.externalSeconds), clock: .system(),
      isCancelled: { Interruption.isRequested })
    return report(nil, first.name, second.name, decision)
  }

  /// The largest difference of a plug-in or program and a second copy of it, with --floor; the least margin
  /// without.
  private func externalFloor(of problem: Problem?) throws -> Double {
    guard floor else { return DecisionRule.leastMargin }
    return try Set([a, b].filter(isElsewhere)).reduce(DecisionRule.leastMargin) { largest, command in
      var rule = rule(margin: 0, defaultSeconds: Self.externalSeconds)
      // Not a verdict is wanted but the difference, from as many pairs as a comparison has.
      rule.precision = 0
      rule.maximumPairs = 100
      let same = try PairedComparison.decide(
        try startElsewhere(command, for: problem).side, try startElsewhere(command, for: problem).side, rule: rule,
        clock: .system(), isCancelled: { Interruption.isRequested })
      return max(largest, abs(same.ratio - 1), abs(1 / same.ratio - 1))
    }
  }

  /// What the first side that runs here differs from itself by; each has its own operands in memory
  /// when the two kernels are not the same.
  private func floor(of problem: Problem, machine: Fingerprint, pool: ThreadPool) throws -> Double {
    let schedules = try [a, b].filter { !isElsewhere($0) }.map { try bench.schedule($0, for: problem, machine: machine) }
    guard let first = schedules.first else { return DecisionRule.leastMargin }
    let executor: any Executor = first.threads == 1 ? SerialExecutor() : pool
    return try NoiseFloor.measure(
      problem, first, apart: schedules.count == 1 || first.kernel != schedules[1].kernel, on: executor,
      machine: machine, isCancelled: { Interruption.isRequested })
  }

  private func compare(_ problems: [Problem]) throws -> [Report] {
    let machine = bench.machine()
    let pool = try ThreadPool.onePerCore(of: machine, threads: bench.threads)
    defer { pool.shutdown() }
    return try problems.map { problem in
      let counter = RunCounter()
      var shared: (any PreparedProblem)?
      func side(_ name: String) throws -> (side: any ComparedSide, label: String) {
        if isElsewhere(name) { return try startElsewhere(name, for: problem) }
        let schedule = try bench.schedule(name, for: problem, machine: machine)
        let prepared = try shared?.rescheduled(schedule) ?? problem.prepare(schedule, machine: machine)
        shared = prepared
        let executor: any Executor = schedule.threads == 1 ? SerialExecutor() : pool
        _ = try prepared.check(on: executor)
        return (InProcessSide(prepared, on: executor, countedBy: counter, beside: otherSide), "\(schedule)")
      }
      let (first, second) = (try side(a), try side(b))
      let isExternal = isElsewhere(a) || isElsewhere(b)
      let margin = try self.margin?.value ?? max(
        floor(of: problem, machine: machine, pool: pool), isExternal ? externalFloor(of: problem) : 0)
      let decision = try PairedComparison.decide(
        first.side, second.side, rule: rule(margin: margin, defaultSeconds: isExternal ? Self.externalSeconds : 2),
        clock: .system(watching: [pool]),
        isCancelled: { Interruption.isRequested })
      return report("\(problem)", first.label, second.label, decision)
    }
  }

  private func report(_ problem: String?, _ nameA: String, _ nameB: String, _ decision: Decision) -> Report {
    Report(
      problem: problem, a: nameA, b: nameB, ratio: decision.ratio, interval: decision.interval, confidence: decision.confidence,
      significant: decision.isSignificant, outcome: decision.outcome, margin: decision.margin,
      marginSource: margin != nil ? "given" : [a, b].contains(where: isElsewhere) && !floor ? "assumed" : "measured", stop: decision.stop, samples: decision.pairs,
      dropped: decision.droppedPairs, aNanoseconds: decision.a.medianNanoseconds,
      bNanoseconds: decision.b.medianNanoseconds)
  }

  private static func text(_ r: Report) -> String {
    let verdict =
      switch (r.outcome, r.stop) {
      case (.better, _): "B is faster"
      case (.worse, _): "A is faster"
      case (.undecided, .withinMargin): String(format: "no difference beyond %.1f %%", 100 * r.margin)
      case (.undecided, _): String(format: "not decided (differences up to %.1f %% count as none)", 100 * r.margin)
      }
    return (r.problem.map { "\($0)\n" } ?? "")
      + "  A \(Units.time(r.aNanoseconds))  \(r.a)\n  B \(Units.time(r.bNanoseconds))  \(r.b)\n"
      + String(
        format: "  A/B %.3f [%.3f, %.3f] over %d pairs%@: %@", r.ratio, r.interval.lowerBound, r.interval.upperBound,
        r.samples, r.dropped > 0 ? " (\(r.dropped) more were preempted)" : "", verdict)
  }
}
