import ArgumentParser
import Foundation
import Wallclock

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs a model: sentence embeddings from text.",
    discussion: """
      Examples:
        wallclock run path/to/all-MiniLM-L6-v2 --text "A man is eating food."
        wallclock run path/to/all-MiniLM-L6-v2 --format w8a8 --text "One." --text "Two." --json
      Several --text make one batch. Without --format and --plan it runs in f32.
      """)

  @Argument(help: "A model directory with weights and tokenizer.") var model: String
  @Option(name: .long, help: "One format for all weights.") var format: Format?
  @Option(name: .long, help: "A plan file, as `plan -o` writes.") var plan: String?
  @Option(name: .long, help: "Threads; default: the plan's, or one per core.") var threads: Int?
  @Option(name: .long, help: "A text to embed; may be repeated.") var text: [String] = []
  @Flag(
    name: .customLong("samples-over-pipe"),
    help: "Time one pass for every line `run` on standard input and answer `ns N`; see scripts/README.md.")
  var samplesOverPipe = false
  @OptionGroup var workload: WorkloadOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if format != nil, plan != nil { throw ValidationError("give --format or --plan, not both") }
    if text.isEmpty, !samplesOverPipe { throw ValidationError("give at least one --text") }
  }

  struct Report: Encodable {
    var model: String
    var formats: [String]
    var threads: Int
    var tokens: [Int]
    var milliseconds: Double
    var embeddings: [[Float]]
  }

  func run() async throws {
    try await reportingFailures {
      let machine = Machine.host.fingerprint
      let loaded = try Model.load(model)
      let ids = try text.map { try loaded.encode($0) }
      let sized =
        samplesOverPipe
        ? workload.workload
        : Workload(batch: ids.count, tokens: max(1, ids.map(\.count).reduce(0, +) / max(1, ids.count)))
      let assignment = try assignment(loaded, sized, machine)
      let pool = try ThreadPool.onePerCore(of: machine, threads: assignment.threads)
      defer { pool.shutdown() }
      let encoder = try BERTEncoder(
        parameters: .checkpoint(loaded.weights()), pipeline: loaded.pipeline, assignment: assignment,
        machine: machine, executor: pool)
      if samplesOverPipe {
        return try SampleServer.serve(
          encoder, batch: SampleServer.tokens(sized, vocabulary: loaded.configuration.vocabularySize),
          name: "wallclock \(assignment.label)")
      }
      _ = try encoder.encode(ids)
      let start = ContinuousClock.now
      let embeddings = try encoder.encode(ids)
      let report = Report(
        model: loaded.name, formats: assignment.formats.map(\.description), threads: assignment.threads,
        tokens: ids.map(\.count), milliseconds: (ContinuousClock.now - start) / .milliseconds(1),
        embeddings: embeddings)
      try output.print(report, text: Self.text(report, texts: text))
    }
  }

  private func assignment(
    _ loaded: Model, _ workload: Workload, _ machine: Fingerprint
  ) throws -> Assignment {
    if let plan {
      let report = try PlanFile.read(plan)
      try report.chosen.validate(against: loaded.graph)
      guard report.chosen.profile.fingerprintHash == machine.identityHash else {
        throw InputError(
          .badData,
          "\(plan) was made from the profile of another machine (\(report.chosen.profile.fingerprintHash.prefix(12)), this one is \(machine.identityHash.prefix(12))); plan again here"
        )
      }
      return Assignment(report.chosen)
    }
    return try HostAssignment.make(
      format: format ?? .f32, graph: loaded.graph, workload: workload, threads: threads, machine: machine)
  }

  static func text(_ report: Report, texts: [String]) -> String {
    var lines: [String] = []
    for (text, vector) in zip(texts, report.embeddings) {
      let shown = vector.prefix(4).map { String(format: "%+.5f", $0) }.joined(separator: " ")
      lines.append("[\(shown) …] (\(vector.count) values)  \(text)")
    }
    for i in report.embeddings.indices.dropFirst() {
      lines.append(
        String(format: "cosine of 1 and %d: %.6f", i + 1, Similarity.cosine(report.embeddings[0], report.embeddings[i])))
    }
    lines.append(
      String(
        format: "%@, %d thread%@: %.2f ms", report.formats.joined(separator: "+"), report.threads,
        report.threads == 1 ? "" : "s", report.milliseconds))
    return lines.joined(separator: "\n")
  }
}

/// How this host runs one format: by its profile where that covers the workload, else by the
/// standard schedules.
enum HostAssignment {
  static func make(
    format: Format, graph: ModelGraph, workload: Workload, threads: Int?, machine: Fingerprint
  ) throws -> Assignment {
    let threads = threads ?? max(1, min(machine.physicalCores, machine.cpuset.count))
    if let profile = try? ProfileStore().profile(of: machine),
      let report = try? Planner.plan(
        graph, workload, profile: profile, request: PlanRequest(threads: threads, formats: Format.all)),
      let plan = report.uniform.first(where: { $0.formats == [format] })
    {
      return Assignment(plan)
    }
    return try Assignment(
      format: format, graph: graph, workload: workload, threads: threads, machine: machine)
  }
}

extension Assignment {
  /// The formats of its weights, each once.
  var formats: [Format] {
    let used = Set(choices.filter { KernelTable.isGemm($0.value.schedule.kernel) }.map(\.value.format))
    return Format.all.filter(used.contains)
  }

  var label: String { "\(formats.map(\.description).joined(separator: "+")) threads=\(threads)" }
}

extension KernelTable {
  static func isGemm(_ name: String) -> Bool { (try? named(name))?.op == .gemm }
}

/// One sample at a time over a pipe, so that programs can be compared in turn while the other sleeps.
///
/// On start it writes `ready NAME`. Each line `run` runs one pass and answers `ns N`; `quit` or the
/// end of input ends it.
enum SampleServer {
  /// Token ids of the wanted sizes, within the vocabulary, the same every time.
  static func tokens(_ workload: Workload, vocabulary: Int) -> [[Int32]] {
    (0..<workload.batch).map { sequence in
      (0..<workload.tokens).map { Int32((1000 + 7919 * ($0 + 31 * sequence)) % max(1, vocabulary)) }
    }
  }

  static func serve(_ encoder: BERTEncoder, batch: [[Int32]], name: String) throws {
    _ = try encoder.encode(batch)
    try answer("ready \(name)")
    while let line = readLine() {
      switch line {
      case "run":
        let start = ContinuousClock.now
        _ = try encoder.encode(batch)
        try answer("ns \(Int((ContinuousClock.now - start) / .nanoseconds(1)))")
      case "quit":
        return
      default:
        throw InputError(.badData, "\"\(line)\" on standard input; expected run or quit")
      }
    }
  }

  private static func answer(_ line: String) throws {
    try Output.write(Data((line + "\n").utf8))
  }
}
