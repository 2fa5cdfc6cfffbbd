import ArgumentParser
import Foundation
import Wallclock

/// `0.5%` or `0.005`: a fraction.
struct FractionArgument: ExpressibleByArgument {
  let value: Double
  init?(argument: String) {
    let isPercent = argument.hasSuffix("%")
    guard let number = Double(isPercent ? String(argument.dropLast()) : argument), number >= 0,
      number <= (isPercent ? 100 : 1)
    else { return nil }
    value = isPercent ? number / 100 : number
  }
}

struct BenchDecideCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decide",
    abstract: "Tests the deciding itself: a schedule against itself, or with planted work.",
    discussion: """
      Examples:
        wallclock bench decide --decisions 500
        wallclock bench decide --decisions 500 --neighbour
        wallclock bench decide --decisions 500 --planted 3%
      Each decision prepares both sides anew and asks what a tune asks: may B take the default's place?
      Identical sides must not; with work planted on the default's side, B should. The problems are GEMM,
      attention and layer norm, hot, warm and cold, on each number of threads. The sides share their operands, as
      the candidates of a tune do; with --apart each has its own, elsewhere in memory.
      """)

  @Option(name: .long, help: "How many decisions, spread evenly over the problems.") var decisions = 500
  @Option(name: .long, help: "Work planted on the default's side, e.g. 3%; none by default.") var planted: FractionArgument?
  @Flag(name: .long, help: "Load the last CPU of this process by another process meanwhile.") var neighbour = false
  @Flag(name: .long, help: "Lay the sides' operands out apart, which a tune does not do.") var apart = false
  @Option(name: .long, parsing: .upToNextOption, help: "Thread counts; default 1 and one per core.") var threads: [Int] = []
  @Option(name: .customLong("min-time"), help: "Seconds for each decision at most.") var seconds = 1.0
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...1_000_000).contains(decisions) else {
      throw ValidationError("--decisions \(decisions): expected 1 to 1000000")
    }
    guard seconds > 0, seconds <= 600 else { throw ValidationError("--min-time \(seconds): expected 0 to 600 seconds") }
  }

  struct Row: Encodable {
    var problem: String
    var threads: Int
    var margin: Double
    var decisions = 0
    /// The default was replaced.
    var better = 0
    var worse = 0
    var undecided = 0
    /// Of the undecided: too many samples were preempted for any ratio.
    var tooManyDropped = 0
    var stops: [String: Int] = [:]
    var pairs: [Int] = []
    /// Pairs with a preempted sample, over all decisions.
    var droppedPairs = 0
    var seconds: [Double] = []
    var ratios: [Double] = []
  }

  struct Report: Encodable {
    var planted: Double
    var neighbour: Bool
    var decisions: Int
    var better: Int
    var worse: Int
    var undecided: Int
    var tooManyDropped: Int
    var medianSeconds: Double
    var rows: [Row]
  }

  func run() async throws {
    try await reportingFailures {
      Interruption.install()
      let machine = Machine.host.fingerprint
      let counts = threads.isEmpty ? TuneTargets.threadCounts(machine: machine) : threads
      if let bad = counts.first(where: { $0 < 1 || $0 > machine.cpuset.count }) {
        throw ValidationError("--threads \(bad): this process may use 1 to \(machine.cpuset.count) CPUs")
      }
      let load = try neighbour ? Neighbour(cpu: machine.cpuset[machine.cpuset.count - 1]) : nil
      defer { load?.stop() }
      let progress = Progress("deciding")
      defer { progress.clear() }
      var rows: [Row] = []
      let cases = DecisionTrial.Case.all(threads: counts)
      var done = 0
      for count in counts {
        let pool = try ThreadPool.onePerCore(of: machine, threads: count)
        defer { pool.shutdown() }
        let margins = try NoiseFloor.measure(Set(OperandState.allCases), on: pool, machine: machine) {
          Interruption.isRequested
        }
        let trial = try DecisionTrial(machine: machine, pool: pool)
        for (index, entry) in cases.enumerated() where entry.threads == count {
          var row = Row(problem: "\(entry.problem)", threads: count, margin: margins[entry.problem.state]!)
          var rule = DecisionRule(.replacement, margin: row.margin)
          rule.timeCap = .milliseconds(Int64(seconds * 1000))
          for _ in 0..<(decisions * (index + 1) / cases.count - decisions * index / cases.count) {
            progress.update(done: done, total: decisions, detail: "\(entry.problem), \(count) thread\(count == 1 ? "" : "s")")
            let start = ContinuousClock.now
            try Self.record(&row) {
              try trial.decide(
                entry.problem, rule: rule, planted: planted?.value ?? 0, apart: apart,
                isCancelled: { Interruption.isRequested })
            }
            row.seconds.append((ContinuousClock.now - start) / .seconds(1))
            done += 1
          }
          rows.append(row)
        }
      }
      progress.clear()
      let report = Report(
        planted: planted?.value ?? 0, neighbour: neighbour, decisions: rows.reduce(0) { $0 + $1.decisions },
        better: rows.reduce(0) { $0 + $1.better }, worse: rows.reduce(0) { $0 + $1.worse },
        undecided: rows.reduce(0) { $0 + $1.undecided }, tooManyDropped: rows.reduce(0) { $0 + $1.tooManyDropped },
        medianSeconds: Self.median(rows.flatMap(\.seconds)), rows: rows)
      try output.print(report, text: Self.text(report))
    }
  }

  private static func record(_ row: inout Row, _ decide: () throws -> Decision) throws {
    row.decisions += 1
    do {
      let decision = try decide()
      switch decision.outcome {
      case .better: row.better += 1
      case .worse: row.worse += 1
      case .undecided: row.undecided += 1
      }
      row.stops[decision.stop.rawValue, default: 0] += 1
      row.pairs.append(decision.pairs)
      row.droppedPairs += decision.droppedPairs
      row.ratios.append(decision.ratio)
    } catch let error as MeasureError where error.code == .tooManyDropped {
      row.undecided += 1
      row.tooManyDropped += 1
    }
  }

  private static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
  }

  static func text(_ report: Report) -> String {
    var table = TextTable(columns: [
      ("problem", .left), ("threads", .right), ("margin", .right), ("decisions", .right), ("replaced", .right),
      ("worse", .right), ("undecided", .right), ("pairs", .right), ("dropped", .right), ("ratio", .right), ("seconds", .right),
    ])
    table.rows = report.rows.map { row in
      [
        row.problem, "\(row.threads)", String(format: "%.1f %%", 100 * row.margin), "\(row.decisions)", "\(row.better)",
        "\(row.worse)", "\(row.undecided)", String(format: "%.0f", median(row.pairs.map(Double.init))),
        "\(row.droppedPairs)", String(format: "%.4f", median(row.ratios)), String(format: "%.2f", median(row.seconds)),
      ]
    }
    let what = report.planted > 0 ? String(format: "%.2g %% of work planted on the default's side", 100 * report.planted) : "identical sides"
    return table.lines.joined(separator: "\n")
      + "\n\(what)\(report.neighbour ? ", a neighbour on the last CPU" : ""): the default was replaced in "
      + String(
        format: "%d of %d decisions (%.1f %%); %d undecided, %d of them for want of undisturbed samples", report.better,
        report.decisions, 100 * Double(report.better) / Double(max(1, report.decisions)), report.undecided,
        report.tooManyDropped)
  }
}

/// This program once more, loading one CPU.
private final class Neighbour {
  private let process = Process()
  private let input = Pipe()

  init(cpu: Int) throws {
    process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = ["bench", "load", "--cpu", "\(cpu)"]
    // Its end tells the neighbour to end, however this program ends.
    process.standardInput = input
    do { try process.run() } catch {
      throw InputError(.unavailable, "cannot start the neighbour process: \(error.localizedDescription)")
    }
  }

  func stop() {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }
}

struct BenchLoadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load", abstract: "Loads one CPU until standard input ends: the neighbour of `bench decide`.",
    shouldDisplay: false)

  @Option(name: .long, help: "The CPU.") var cpu: Int

  func run() throws {
    let machine = Machine.host.fingerprint
    guard machine.cpuset.contains(cpu) else {
      throw ValidationError("--cpu \(cpu): this process may use CPUs \(machine.cpuset)")
    }
    let pool = try ThreadPool(cpus: [cpu])
    defer { pool.shutdown() }
    NeighbourLoad(machine: machine).run {
      var ready = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      return unsafe poll(&ready, 1, 0) != 0
    }
  }
}
