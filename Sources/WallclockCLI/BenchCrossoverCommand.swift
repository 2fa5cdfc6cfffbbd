import ArgumentParser
import Foundation
import Wallclock

/// The two ways a sequence is worked through.
enum Phase: String, CaseIterable, ExpressibleByArgument, Encodable {
  case prefill, decode
}

struct BenchCrossoverCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crossover",
    abstract: "The context from which each architecture beats softmax attention on this host.",
    discussion: """
      Examples:
        wallclock bench crossover --heads 12 --head-dim 64
        wallclock bench crossover --heads 32 --head-dim 128 --kv-heads 8 --types bf16 --phases decode --threads 2
        wallclock bench crossover --heads 12 --head-dim 64 --write-shapes crossover.shapes
        wallclock tune --shapes crossover.shapes --budget 10m
      Prefill: as many tokens as the context, attention causal. Decode: one token; attention over a cache
      of the context, the others from their state; caches and states come from memory, as those of a model's other
      layers push them out, unless --state hot. Only the op itself is compared, without projections; mamba1, rwkv4, s4d and
      long-conv have heads × head-dim channels. Both sides run their tuned schedule where the host's profile has one, otherwise
      the default; --write-shapes writes the problems to tune. A context is the first of those compared from which the
      architecture is faster beyond doubt at all larger ones, and the estimate lies between it and the one before.
      """)

  @Option(name: .long, help: "Attention heads, and heads of values of the others.") var heads: Int
  @Option(name: .customLong("head-dim"), help: "Values per head.") var headDim: Int
  @Option(name: .customLong("kv-heads"), help: "Attention's heads of keys and values; default all.") var kvHeads: Int?
  @Option(name: .long, help: "Sequences.") var batch = 1
  @Option(name: .customLong("state-size"), help: "Rows of a recurrence's state, values per channel of mamba1 and s4d; default: head-dim, mamba2 128, mamba1 16, s4d 64.")
  var stateSize: Int?
  @Option(name: [.customLong("op"), .customLong("ops")], parsing: .upToNextOption, help: "Architectures; default all.")
  var ops: [Op] = []
  @Option(name: .long, parsing: .upToNextOption, help: "Attention's keys and values: f32, bf16, w8a16, w4a16-g32.")
  var types: [Format] = [.f32, .bf16]
  @Option(name: .long, parsing: .upToNextOption, help: "Contexts to compare, growing.")
  var contexts: [Int] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]
  @Option(name: .long, parsing: .upToNextOption, help: "prefill, decode; default both.") var phases: [Phase] = Phase.allCases
  @Option(name: .customLong("state"), help: "hot, warm or cold; default warm for prefill, cold for decode.") var state: OperandState?
  @Option(name: .long, help: "Threads.") var threads = 1
  @Option(name: .customLong("min-time"), help: "Seconds for each comparison; up to 16 times as many where runs are long.") var seconds = 0.5
  @Option(name: .customLong("write-shapes"), help: "Measure nothing: write the problems to this file, for `wallclock tune --shapes`.")
  var shapesFile: String?
  @OptionGroup var output: OutputOptions

  static let architectures: [Op] = Op.recurrences + [.rwkv4, .s4d, .mamba1, .longConv]

  func validate() throws {
    for (name, value) in [("heads", heads), ("head-dim", headDim), ("batch", batch), ("state-size", stateSize ?? 1)]
    where !(1...Problem.largestSize).contains(value) {
      throw ValidationError("--\(name) \(value): expected 1 to \(Problem.largestSize)")
    }
    guard threads >= 1, threads <= 4096 else { throw ValidationError("--threads \(threads): expected 1 or more") }
    guard seconds > 0, seconds <= 600 else { throw ValidationError("--min-time \(seconds): expected 0 to 600 seconds") }
    guard !contexts.isEmpty, contexts[0] >= 1, contexts.last! <= Problem.largestSize,
      zip(contexts, contexts.dropFirst()).allSatisfy({ $0 < $1 })
    else { throw ValidationError("--contexts \(contexts.map(String.init).joined(separator: " ")): expected growing numbers of 1 or more") }
    if let bad = ops.first(where: { !Self.architectures.contains($0) }) {
      throw ValidationError("--ops \(bad.rawValue): expected of \(Self.architectures.map(\.rawValue).joined(separator: ", "))")
    }
  }

  struct Row: Encodable {
    var op: Op
    /// Of attention's cache.
    var format: String
    var phase: Phase
    var crossover: Crossover
    /// Schedules of both sides at all contexts, and those of them that the profile has.
    var schedules = 0
    var tuned = 0
  }

  struct Report: Encodable {
    var heads: Int
    var kvHeads: Int
    var headDim: Int
    var batch: Int
    var threads: Int
    var rows: [Row]
  }

  func run() async throws {
    try await reportingFailures {
      Interruption.install()
      let rows = phases.flatMap { phase in types.flatMap { format in chosenOps(phase).map { (phase, format, $0) } } }
      var problems: [Problem] = []
      for (phase, format, op) in rows {
        for context in contexts {
          for problem in [attention(format, phase, context), alternative(op, phase, context)] {
            try problem.checkFlags()
            if !problems.contains(problem) { problems.append(problem) }
          }
        }
      }
      if let shapesFile { return try write(problems, to: shapesFile) }
      let report = try compare(rows)
      try output.print(report, text: text(report))
    }
  }

  /// A long convolution is not made for a token at a time.
  private func chosenOps(_ phase: Phase) -> [Op] {
    (ops.isEmpty ? Self.architectures : ops).filter { phase == .prefill || $0 != .longConv }
  }

  private func operands(_ phase: Phase) -> OperandState { state ?? (phase == .prefill ? .warm : .cold) }

  private func attention(_ format: Format, _ phase: Phase, _ context: Int) -> Problem {
    // Over keys and values in f32, without groups, a sequence attends to itself.
    let plain = phase == .prefill && format == .f32 && (kvHeads ?? heads) == heads
    return .attention(
      format, batch: batch, tokens: phase == .prefill ? context : 1, context: plain ? nil : context, heads: heads,
      kvHeads: kvHeads, headDim: headDim, mask: .causal, state: operands(phase))
  }

  private func alternative(_ op: Op, _ phase: Phase, _ context: Int) -> Problem {
    let tokens = phase == .prefill ? context : 1
    switch op {
    case .mamba1:
      return .mamba1(
        batch: batch, tokens: tokens, channels: heads * headDim, state: stateSize ?? 16, operands: operands(phase))
    case .s4d:
      return .s4d(batch: batch, tokens: tokens, channels: heads * headDim, state: stateSize ?? 64, operands: operands(phase))
    case .rwkv4:
      return .rwkv4(batch: batch, tokens: tokens, channels: heads * headDim, operands: operands(phase))
    case .longConv:
      return .longConv(batch: batch, tokens: tokens, channels: heads * headDim, state: operands(phase))
    default:
      return .recurrence(
        op, batch: batch, tokens: tokens, heads: heads, headDim: headDim,
        stateRows: stateSize ?? (op == .mamba2 ? 128 : nil), state: operands(phase))
    }
  }

  private func write(_ problems: [Problem], to path: String) throws {
    let text = problems.map { "\($0)\n" }.joined()
    do { try Data(text.utf8).write(to: URL(filePath: path), options: .atomic) } catch {
      throw OutputError(.inputOutput, "cannot write \(path): \(error.localizedDescription)")
    }
    Output.note("wrote \(problems.count) problems to \(path); tune them: wallclock tune --shapes \(path) --threads \(threads)")
  }

  // MARK: - Comparing

  private func compare(_ cases: [(Phase, Format, Op)]) throws -> Report {
    let machine = Machine.host.fingerprint
    let pool = try ThreadPool.onePerCore(of: machine, threads: threads)
    defer { pool.shutdown() }
    let profile = try? ProfileStore().profile(of: machine)
    let progress = Progress("comparing")
    defer { progress.clear() }
    var rows: [Row] = []
    for (index, (phase, format, op)) in cases.enumerated() {
      var points: [Crossover.Point] = []
      var (schedules, tuned) = (0, 0)
      for context in contexts where !Crossover.isClear(points) {
        progress.update(
          done: index, total: cases.count, detail: "\(op.rawValue) beside attention \(format), \(phase.rawValue), context \(context)")
        let sides = try [attention(format, phase, context), alternative(op, phase, context)].map { problem in
          let found = profile?.measurement(of: problem, threads: threads)?.schedule
          schedules += 1
          tuned += found == nil ? 0 : 1
          let prepared = try problem.prepare(
            found ?? ScheduleSpace.standard(for: problem, threads: threads, machine: machine), machine: machine)
          _ = try prepared.check(on: pool)
          return InProcessSide(prepared, on: pool, countedBy: RunCounter())
        }
        let decision = try decide(sides[0], sides[1], on: pool)
        points.append(
          Crossover.Point(context: context, ratio: decision.ratio, interval: decision.interval, outcome: decision.outcome))
      }
      rows.append(
        Row(op: op, format: "\(format)", phase: phase, crossover: Crossover(points), schedules: schedules, tuned: tuned))
    }
    return Report(heads: heads, kvHeads: kvHeads ?? heads, headDim: headDim, batch: batch, threads: threads, rows: rows)
  }

  /// Long runs get more time than was asked for, where that leaves too few of them to decide by.
  private func decide(_ a: any ComparedSide, _ b: any ComparedSide, on pool: ThreadPool) throws -> Decision {
    var rule = DecisionRule(.either)
    rule.precision = 0.02
    rule.timeCap = .milliseconds(Int64(seconds * 1000))
    while true {
      let decision = try PairedComparison.decide(
        a, b, rule: rule, clock: .system(watching: [pool]), isCancelled: { Interruption.isRequested })
      if decision.isSignificant || decision.pairs >= 24 || rule.timeCap > .milliseconds(Int64(seconds * 8000)) { return decision }
      rule.timeCap *= 4
    }
  }

  // MARK: - Text

  private func text(_ report: Report) -> String {
    var lines: [String] = []
    for phase in phases {
      var table = TextTable(
        columns: [("\(phase.rawValue): faster than attention", .left), ("over", .left), ("from context", .right)]
          + contexts.map { ("\($0)", .right) })
      for row in report.rows where row.phase == phase {
        let points = Dictionary(uniqueKeysWithValues: row.crossover.points.map { ($0.context, $0) })
        table.rows.append(
          [row.op.rawValue, row.format, Self.from(row.crossover)]
            + contexts.map { points[$0].map(Self.cell) ?? "" })
      }
      lines += table.lines + [""]
    }
    lines.append("Numbers: attention's time over the architecture's at that context; ~ not decided.")
    let (tuned, all) = report.rows.reduce((0, 0)) { ($0.0 + $1.tuned, $0.1 + $1.schedules) }
    lines.append(
      "\(tuned) of \(all) schedules were tuned ones, the others the default"
        + (tuned < all ? "; --write-shapes FILE and `wallclock tune --shapes FILE` tune them." : "."))
    return lines.joined(separator: "\n")
  }

  private static func from(_ crossover: Crossover) -> String {
    switch crossover.verdict {
    case .always: "\(crossover.points[0].context) or less"
    case .never: "beyond \(crossover.points.last!.context)"
    case .from: "\(Int(crossover.context!.rounded()))"
    }
  }

  private static func cell(_ point: Crossover.Point) -> String {
    String(format: point.ratio < 10 ? "%.2f" : "%.0f", point.ratio) + (point.outcome == .undecided ? "~" : "")
  }
}
