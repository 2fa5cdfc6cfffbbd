import ArgumentParser
import Foundation
import Wallclock

/// What a plan is made for.
struct WorkloadOptions: ParsableArguments {
  @Option(name: .long, help: "encode (prefill, decode and serve need a decoder model).") var phase: Workload.Phase = .encode
  @Option(name: .long, help: "Sequences per call.") var batch = 1
  @Option(name: [.customLong("prompt"), .customLong("tokens")], help: "Tokens per sequence.") var tokens = 128

  var workload: Workload { Workload(phase: phase, batch: batch, tokens: tokens) }

  func validate() throws {
    guard (1...65536).contains(batch) else { throw ValidationError("--batch \(batch): expected 1 to 65536") }
    guard (1...65536).contains(tokens) else { throw ValidationError("--prompt \(tokens): expected 1 to 65536") }
  }
}

extension Workload.Phase: ExpressibleByArgument {}
extension PlanRequest.Objective: ExpressibleByArgument {}

/// `1%` or `0.01`.
struct Fraction: ExpressibleByArgument {
  let value: Double
  init?(argument: String) {
    let isPercent = argument.hasSuffix("%")
    guard let number = Double(isPercent ? String(argument.dropLast()) : argument), number >= 0 else { return nil }
    value = isPercent ? number / 100 : number
    guard value <= 1 else { return nil }
  }
}

struct PlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Chooses formats and schedules for a model from this host's profile.",
    discussion: """
      Example:
        wallclock plan minilm-l6 --batch 1 --prompt 128 -o plan.json
      The plan is never slower than the best dense one. What was not chosen is listed with its
      reason. Quality figures say what they rest on; only figures measured on your weights
      (`verify`) are a promise.
      """)

  @Argument(help: "A model directory, config.json, or built-in name.") var model: String?
  @Flag(name: .customLong("list-models"), help: "List the built-in models.") var listModels = false
  @Option(name: .long, help: "A profile file or name; another machine's may be used here. Default: this host's.")
  var profile: String?
  @OptionGroup var workload: WorkloadOptions
  @Option(name: .long, help: "Threads; by default the best of those profiled.") var threads: Int?
  @Option(name: .customLong("max-latency"), help: "Milliseconds per call.") var maximumLatency: Double?
  @Option(name: .customLong("max-memory"), help: "GiB of weights.") var maximumMemory: Double?
  @Option(name: .customLong("max-loss"), help: "Relative loss of quality, e.g. 1%.") var maximumLoss: Fraction?
  @Option(name: [.customLong("format")], help: "Consider only these formats; may be repeated.") var formats: [Format] = []
  @Option(name: .long, help: "latency, throughput or memory.") var objective: PlanRequest.Objective = .latency
  @Option(name: .shortAndLong, help: "Write the plan to this file.") var outputFile: String?
  @OptionGroup var output: OutputOptions

  struct ListedModel: Encodable {
    var name: String
    var aliases: [String]
    var graph: String
    var source: String
  }

  func run() async throws {
    try await reportingFailures {
      if listModels {
        let models = BuiltInModel.all.map {
          ListedModel(
            name: $0.name, aliases: $0.aliases, graph: ModelGraph.bert($0.configuration).name, source: $0.source)
        }
        var table = TextTable(columns: [("model", .left), ("sizes", .left), ("source", .left)])
        table.rows = models.map { [$0.name, $0.graph, $0.source] }
        return try output.print(models, text: table.lines.joined(separator: "\n"))
      }
      guard let model else { throw ValidationError("name a model, or --list-models") }
      let loaded = try Model.load(model)
      guard workload.tokens <= loaded.graph.maximumTokens else {
        throw ValidationError("--prompt \(workload.tokens): \(loaded.name) takes at most \(loaded.graph.maximumTokens) tokens")
      }
      let profile = try profile.map(ProfileCommand.load) ?? ProfileCommand.load("host")
      var request = PlanRequest(threads: threads, objective: objective)
      if !formats.isEmpty { request.formats = formats }
      request.maximumMilliseconds = maximumLatency
      request.maximumMemoryBytes = maximumMemory.map { gibibytes in Int(min(gibibytes, 0x1p20) * 0x1p30) }
      request.maximumLoss = maximumLoss?.value
      if loaded.hasWeights {
        request.measuredQuality = try QualityStore().measured(weights: loaded.weights().identity())
      }
      let report = try Planner.plan(loaded.graph, workload.workload, profile: profile, request: request)
      let data = try report.encoded()
      if let outputFile { try DurableFile.write(data, to: URL(filePath: outputFile)) }
      if output.json {
        try Output.write(data)
      } else {
        print(report.rendered())
        if let outputFile { Output.note("wrote \(outputFile)") }
      }
    }
  }
}

/// Plan files.
enum PlanFile {
  static func read(_ path: String) throws -> PlanReport {
    let data = try DurableFile.read(URL(filePath: path), limit: PlanReport.largestFileBytes, noun: "plan")
    return try PlanReport.decode(data, source: path)
  }
}

struct ExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Where a plan's time goes, and what would have to change for the rejected settings to pay.",
    discussion: """
      Example:
        wallclock explain plan.json --model minilm-l6
      """)

  @Argument(help: "A plan file.") var plan: String
  @Option(name: .long, help: "The model, when its name in the plan is not a built-in one.") var model: String?
  @Option(name: .long, help: "The profile it was made from; default: this host's.") var profile: String?
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await reportingFailures {
      let report = try PlanFile.read(plan)
      let graph = try PlanModel.graph(of: report, model: model)
      let profile = try profile.map(ProfileCommand.load) ?? ProfileCommand.load("host")
      let explanation = try Planner.explain(report, profile: profile, graph: graph)
      try output.print(explanation, text: explanation.rendered())
    }
  }
}

/// The model a plan is for.
enum PlanModel {
  /// The graph of `model`, or of the built-in model whose graph the plan fits.
  static func graph(of report: PlanReport, model: String?) throws -> ModelGraph {
    if let model { return try Model.load(model).graph }
    for builtIn in BuiltInModel.all {
      let graph = ModelGraph.bert(builtIn.configuration)
      if graph.name == report.chosen.model, (try? report.chosen.validate(against: graph)) != nil { return graph }
    }
    throw InputError(.noInput, "the plan is for \(report.chosen.model), no built-in model; name it with --model")
  }
}
