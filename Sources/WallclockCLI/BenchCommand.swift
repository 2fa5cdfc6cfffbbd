import ArgumentParser
import Foundation
import Wallclock

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Times kernels, each checked against the oracle first.",
    discussion: """
      Examples:
        wallclock bench --op gemm --types f32 w8a8 --m 1 16 128 --n 1536 --k 384 --threads 2
        wallclock bench --shapes profiles/shapes/minilm.shapes --json
        wallclock bench kernel gemm_f32f32_avx2 --op gemm --m 128 --n 1536 --k 384
        wallclock bench --backend onednn --op gemm --types f32 bf16 w8a8 --m 128 --n 1536 --k 384 --threads 2
        wallclock bench compare KERNEL default --op gemm --m 128 --n 1536 --k 384
      --json is Google Benchmark's format.
      """,
    subcommands: [
      BenchKernelCommand.self, BenchCompareCommand.self, BenchCrossoverCommand.self, BenchDecideCommand.self, BenchAuditCommand.self,
      BenchLoadCommand.self,
    ],
    defaultSubcommand: BenchKernelCommand.self)
}

/// What every benchmark is told.
struct BenchOptions: ParsableArguments {
  @OptionGroup var selection: ProblemOptions
  @Option(name: .long, help: "scalar, simd, threaded, or a plug-in that `wallclock host` lists; default by --threads.")
  var backend: Backend?
  @OptionGroup var plugins: BackendOptions
  @Option(name: .long, help: "Threads.") var threads = 1
  @Option(name: .customLong("min-time"), help: "Seconds to sample each entry for at most; default 0.5, for `compare` 2, with external programs 20.")
  var seconds: Double?

  func validate() throws {
    guard threads >= 1, threads <= 4096 else { throw ValidationError("--threads \(threads): expected 1 or more") }
    if let seconds, !(seconds > 0 && seconds <= 600) {
      throw ValidationError("--min-time \(seconds): expected 0 to 600 seconds")
    }
    if backend == .numa { throw ValidationError("--backend numa: not available for single kernels; use threaded") }
    if let backend, backend.plugin == nil, backend != .threaded, threads > 1 {
      throw ValidationError("--backend \(backend) runs on one thread; leave out --threads")
    }
  }

  var sampling: SamplingOptions {
    var options = SamplingOptions()
    options.timeCap = .milliseconds(Int64((seconds ?? 0.5) * 1000))
    return options
  }

  /// The machine as the backend may see it.
  func machine() -> Fingerprint {
    var machine = Machine.host.fingerprint
    if backend == .scalar { machine.isa = [.scalar] }
    return machine
  }

  /// The Schedule `name` stands for: `default`, `tuned`, a backend, or a kernel.
  func schedule(_ name: String, for problem: Problem, machine: Fingerprint) throws -> Schedule {
    switch name {
    case "default":
      return try ScheduleSpace.standard(for: problem, threads: threads, machine: machine)
    case "tuned":
      let profile = try ProfileStore().profile(of: Machine.host.fingerprint)
      guard let found = profile.measurement(of: problem, threads: threads) else {
        throw InputError(.unavailable, "the host's profile has no schedule for \(problem) at \(threads) threads; tune it first")
      }
      return found.schedule
    case "\(Backend.scalar)":
      var scalar = machine
      scalar.isa = [.scalar]
      return try ScheduleSpace.standard(for: problem, threads: 1, machine: scalar)
    case "\(Backend.simd)":
      return try ScheduleSpace.standard(for: problem, threads: 1, machine: machine)
    case "\(Backend.threaded)":
      return try ScheduleSpace.standard(for: problem, threads: threads, machine: machine)
    default:
      let kernel = try KernelTable.named(name)
      guard let schedule = try ScheduleSpace.grid(for: problem, threads: threads, machine: machine)
        .first(where: { $0.kernel == kernel.name })
      else { throw InputError(.unavailable, "\(kernel.name) does not compute \(problem) on this host") }
      return schedule
    }
  }
}

extension Backend: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// What a benchmark of many problems could not measure: the others are printed all the same.
private struct BenchLeftovers {
  let total: Int
  private var failures: [(problem: Problem, error: MeasureError)] = []
  private(set) var isInterrupted = false

  init(total: Int) { self.total = total }

  /// Measures; once more where the machine was too busy, and then goes on without.
  mutating func collect(_ problem: Problem, _ progress: Progress, _ measure: () throws -> Void) throws {
    for isLast in [false, true] {
      do { return try measure() } catch let error as MeasureError {
        switch error.code {
        case .interrupted:
          isInterrupted = true
          failures.append((problem, error))
          return
        case .tooManyDropped:
          guard isLast else { continue }
          failures.append((problem, error))
          progress.note("skipped \(problem): \(error.message)")
        default: throw error
        }
      }
    }
  }

  /// - Throws: where something is missing from what was printed.
  func report() throws {
    guard let last = failures.last else { return }
    guard total > 1 else { throw last.error }
    throw InputError(
      .unavailable,
      isInterrupted
        ? "interrupted at \(last.problem); what was measured until then is printed"
        : "\(failures.count) of \(total) problems could not be measured, the last \(last.problem): \(last.error.message)")
  }
}

struct BenchKernelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel", abstract: "Times every kernel that serves the problems and matches the filter.")

  @Argument(help: "Part of a kernel's name; without it each problem runs by its standard schedule.")
  var filter: String?
  @Option(name: .long, help: "Measure each entry this often; every repetition is an entry of its own.")
  var repetitions = 1
  @Flag(name: .long, help: "Name every kernel of this build, and why those that cannot run here cannot.")
  var list = false
  @OptionGroup var bench: BenchOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...10_000).contains(repetitions) else { throw ValidationError("--repetitions \(repetitions): expected 1 to 10000") }
    if let filter, let plugin = bench.backend?.plugin {
      throw ValidationError("\"\(filter)\" filters kernels of this program; \(plugin) has its own")
    }
  }

  func run() async throws {
    try await reportingFailures {
      if list { return try listKernels() }
      Interruption.install()
      let machine = bench.machine()
      let problems = try bench.selection.problems()
      guard !problems.isEmpty else {
        throw ValidationError("no problem named: give --op with its sizes, or --shapes FILE")
      }
      let pool = try ThreadPool.onePerCore(of: machine, threads: bench.threads)
      defer { pool.shutdown() }
      let probes = CeilingProbes(machine: machine)
      let progress = Progress("bench")
      let process = try bench.backend?.plugin.map { try bench.plugins.start($0, threads: bench.threads) }
      var entries: [GoogleBenchmark.Entry] = []
      var families = 0
      var left = BenchLeftovers(total: problems.count)
      for (index, problem) in problems.enumerated() where !left.isInterrupted {
        progress.update(done: index, total: problems.count, detail: "\(problem)")
        func append(prepareTime: Double? = nil, _ measure: () throws -> Measurement) throws {
          var family: [GoogleBenchmark.Entry] = []
          for repetition in 0..<repetitions {
            if Interruption.isRequested { throw MeasureError(.interrupted, "interrupted") }
            var entry = GoogleBenchmark.Entry(try measure(), family: families, repetition: repetition, of: repetitions)
            entry.prepare_time = prepareTime
            family.append(entry)
          }
          entries += family
          families += 1
        }
        if let process {
          guard process.description.row(for: problem) != nil || problems.count == 1 else {
            progress.note("skipped \(problem): \(process.description.name) does not take it")
            continue
          }
          let (check, nanoseconds) = try process.prepare(problem)
          try left.collect(problem, progress) {
            try append(prepareTime: nanoseconds) {
              try process.measure(problem, check: check, on: pool, options: bench.sampling, probes: probes)
            }
          }
          continue
        }
        for schedule in try schedules(for: problem, machine: machine) where !left.isInterrupted {
          let prepared = try problem.prepare(schedule, machine: machine)
          let check = try prepared.check(on: pool)
          try left.collect(problem, progress) {
            try append {
              try MeasuredRun.measure(
                prepared, check: check, on: pool, options: bench.sampling, probes: probes, isCancelled: { Interruption.isRequested })
            }
          }
        }
      }
      progress.clear()
      if !entries.isEmpty {
        try output.print(
          GoogleBenchmark(context: .init(machine: machine), benchmarks: entries),
          text: GoogleBenchmark.table(entries))
      }
      try left.report()
    }
  }

  private func schedules(for problem: Problem, machine: Fingerprint) throws -> [Schedule] {
    guard let filter else {
      return [try ScheduleSpace.standard(for: problem, threads: bench.threads, machine: machine)]
    }
    var seen: Set<String> = []
    let matching = try ScheduleSpace.grid(for: problem, threads: bench.threads, machine: machine)
      .filter { $0.kernel.contains(filter) && seen.insert($0.kernel).inserted }
    guard !matching.isEmpty else {
      throw InputError(.unavailable, "no kernel matching \"\(filter)\" computes \(problem) on this host; see --list")
    }
    return matching
  }

  struct Listed: Encodable {
    var name: String
    var op: String
    var isa: String
    var numerics: String?
    var runs: Bool
    var why: String
  }

  private func listKernels() throws {
    let isas = Set(Machine.host.fingerprint.isa)
    let listed = KernelTable.all.map {
      let runs = $0.runs(on: isas)
      return Listed(
        name: $0.name, op: $0.op.rawValue, isa: $0.isa.rawValue, numerics: $0.numerics?.description, runs: runs,
        why: runs ? "" : "this CPU lacks \($0.isa.rawValue)")
    }
    var table = TextTable(
      columns: [("kernel", .left), ("op", .left), ("isa", .left), ("numerics", .left), ("here", .left)])
    table.rows = listed.map { [$0.name, $0.op, $0.isa, $0.numerics ?? "", $0.runs ? "runs" : $0.why] }
    try output.print(listed, text: table.lines.joined(separator: "\n"))
  }
}
