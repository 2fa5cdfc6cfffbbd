import ArgumentParser
import Foundation
import Wallclock

struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Runs a plan: predicted against measured, and similarity to f32.",
    discussion: """
      Example:
        wallclock verify plan.json --model path/to/all-MiniLM-L6-v2
      Every format of the plan's comparison is run, not only the chosen one, sampled in turn. `error`
      is judged after rescaling to ceilings measured beside the run; `raw` is without.
      """)

  @Argument(help: "A plan file, as `plan -o` writes.") var plan: String
  @Option(name: .long, help: "The model's directory.") var model: String?
  @Flag(name: .customLong("random-weights"), help: "Time only, with random weights of the model's sizes.")
  var randomWeights = false
  @Option(name: .long, help: "Seconds of sampling.") var seconds = 12.0
  @Flag(name: .customLong("by-op"), help: "Show predicted and measured times node by node.") var byOp = false
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds \(seconds): expected 0 to 3600") }
  }

  func run() async throws {
    try await reportingFailures {
      Interruption.install()
      let report = try PlanFile.read(plan)
      let machine = Machine.host.fingerprint
      guard report.chosen.profile.fingerprintHash == machine.identityHash else {
        throw InputError(
          .badData, "\(plan) was made from another machine's profile; its times say nothing here; plan again on this machine")
      }
      let loaded = try loadModel(report)
      let progress = Progress("verify")
      let verdict = try Verifier(
        report, model: loaded, profile: ProfileStore().profile(of: machine), machine: machine,
        randomWeights: randomWeights
      ).run(seconds: seconds, isCancelled: { Interruption.isRequested }) { step in
        if !output.json || Output.errorIsTerminal { progress.note(step) }
      }
      if !randomWeights {
        try QualityStore().record(
          verdict.measuredQuality, weights: loaded.weights().identity(), model: loaded.name)
      }
      try output.print(verdict, text: Self.text(verdict, byOp: byOp))
    }
  }

  private func loadModel(_ report: PlanReport) throws -> Model {
    if let model { return try Model.load(model) }
    guard randomWeights else {
      throw ValidationError("name the model's directory with --model, or give --random-weights")
    }
    for builtIn in BuiltInModel.all where ModelGraph.bert(builtIn.configuration).name == report.chosen.model {
      return try Model.load(builtIn.name)
    }
    throw InputError(.noInput, "the plan is for \(report.chosen.model), no built-in model; name its config.json with --model")
  }

  static func text(_ verdict: Verdict, byOp: Bool) -> String {
    var table = TextTable(columns: [
      ("format", .left), ("threads", .right), ("predicted ms", .right), ("rescaled ms", .right),
      ("measured ms", .right), ("±", .right), ("error", .right), ("raw", .right), ("cosine to f32", .right),
      ("lowest", .right),
    ])
    table.rows = verdict.results.map { r in
      let half = (r.intervalMilliseconds.upperBound - r.intervalMilliseconds.lowerBound) / 2 / r.measuredMilliseconds
      return [
        r.label + (r.isChosen ? "  ← chosen" : ""), "\(r.threads)", String(format: "%.3f", r.predictedMilliseconds),
        String(format: "%.3f", r.rescaledMilliseconds), String(format: "%.3f", r.measuredMilliseconds),
        String(format: "%.1f %%", 100 * half), String(format: "%+.1f %%", 100 * r.error),
        String(format: "%+.1f %%", 100 * r.rawError), r.quality.map { String(format: "%.6f", $0.meanCosine) } ?? "–",
        r.quality.map { String(format: "%.6f", $0.lowestCosine) } ?? "–",
      ]
    }
    var lines = ["\(verdict.model), \(verdict.workload)\(verdict.randomWeights ? ", random weights" : "")", ""] + table.lines
    if byOp {
      for result in verdict.results {
        var nodes = TextTable(columns: [("node", .left), ("predicted ms", .right), ("measured ms", .right), ("error", .right)])
        nodes.rows = result.nodes.map {
          [
            $0.node, String(format: "%.3f", $0.predictedMilliseconds), String(format: "%.3f", $0.measuredMilliseconds),
            $0.measuredMilliseconds > 0
              ? String(format: "%+.0f %%", 100 * ($0.predictedMilliseconds / $0.measuredMilliseconds - 1)) : "–",
          ]
        }
        lines += ["", "\(result.label), \(result.threads) thread\(result.threads == 1 ? "" : "s")"] + nodes.lines
      }
    }
    if let chosen = verdict.results.first(where: \.isChosen) {
      lines += [
        "", "Plan: \(chosen.label), \(chosen.threads) thread\(chosen.threads == 1 ? "" : "s"). \(verdict.reason).",
      ]
    }
    return lines.joined(separator: "\n")
  }
}
