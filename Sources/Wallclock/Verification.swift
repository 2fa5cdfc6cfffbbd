import Foundation

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// A Plan, run: predicted against measured.
public struct Verdict: Sendable, Codable {
  /// One plan's time and quality.
  public struct Result: Sendable, Codable {
    /// The plan's label and its formats by node.
    public var settings: [String: String]
    public var label: String
    public var isChosen: Bool
    public var threads: Int
    public var predictedMilliseconds: Double
    /// The prediction at the speed the host has now: each node's time scaled by its ceiling then over
    /// its ceiling beside this run.
    public var rescaledMilliseconds: Double
    public var measuredMilliseconds: Double
    public var intervalMilliseconds: ClosedRange<Double>
    public var samples: Int
    /// rescaled/measured − 1.
    public var error: Double
    /// predicted/measured − 1, without rescaling.
    public var rawError: Double
    public var quality: QualityFigure?
    public var nodes: [Node]
  }

  public struct Node: Sendable, Codable {
    public var node: String
    public var predictedMilliseconds: Double
    public var measuredMilliseconds: Double
  }

  /// Embeddings beside those of f32, over the built-in sentences.
  public struct QualityFigure: Sendable, Codable {
    public var meanCosine: Double
    public var lowestCosine: Double
    public var sentences: Int
    public var evidence = "measured here"
  }

  public var model: String
  public var workload: Workload
  public var results: [Result]
  public var reason: String
  /// Whether the weights were random: then there is no quality.
  public var randomWeights: Bool

  /// What was measured of formats that all weights had, for later plans.
  public var measuredQuality: [Format: MeasuredQuality] {
    results.reduce(into: [:]) { known, result in
      guard let quality = result.quality, Set(result.settings.values).count == 1,
        let format = result.settings.values.first.flatMap(Format.init), format != .f32
      else { return }
      known[format] = MeasuredQuality(
        loss: max(0, 1 - quality.meanCosine),
        source: "mean cosine to the f32 embeddings of \(quality.sentences) sentences, `wallclock verify`")
    }
  }
}

/// Runs the plans of a report and compares.
public final class Verifier {
  private let report: PlanReport
  private let model: Model
  private let profile: Profile
  private let machine: Fingerprint
  private let randomWeights: Bool

  /// - Parameter randomWeights: time only, without the model's weights.
  public init(
    _ report: PlanReport, model: Model, profile: Profile, machine: Fingerprint, randomWeights: Bool
  ) {
    self.report = report
    self.model = model
    self.profile = profile
    self.machine = machine
    self.randomWeights = randomWeights
  }

  /// Runs the plans with one format throughout, the chosen one and the dense baseline, sampled in
  /// turn in one run for each thread count.
  ///
  /// - Parameter seconds: for the samples of all plans together.
  public func run(
    seconds: Double, isCancelled: @escaping () -> Bool = { false }, progress: (String) -> Void = { _ in }
  ) throws -> Verdict {
    var plans: [Plan] = []
    for plan in report.uniform + [report.chosen] + (report.baseline.map { [$0] } ?? [])
    where !plans.contains(where: { Self.same($0, plan) }) {
      plans.append(plan)
    }
    for plan in plans { try plan.validate(against: model.graph) }
    let workload = report.chosen.workload
    let parameters: ParameterSource =
      randomWeights ? .random(model.configuration, seed: 1) : .checkpoint(try model.weights())
    let batch = Self.tokens(workload, vocabulary: model.configuration.vocabularySize)
    let probes = CeilingProbes(machine: machine)
    let speed = Rescaling(profile)
    let sentences = randomWeights ? [] : try VerificationSentences.all.map { try model.encode($0) }

    var results: [Verdict.Result] = []
    var reference: [[Float]]?
    for threads in Set(plans.map(\.threads)).sorted() {
      let pool = try ThreadPool.onePerCore(of: machine, threads: threads)
      defer { pool.shutdown() }
      let group = plans.filter { $0.threads == threads }
      var encoders: [BERTEncoder] = []
      for plan in group {
        progress("packing \(plan.label)")
        encoders.append(
          try BERTEncoder(
            parameters: parameters, pipeline: model.pipeline, assignment: Assignment(plan),
            machine: machine, executor: pool))
      }
      if reference == nil, !sentences.isEmpty {
        let exact = try BERTEncoder(
          parameters: parameters, pipeline: model.pipeline,
          assignment: Assignment(
            format: .f32, graph: model.graph, workload: workload, threads: threads, machine: machine),
          machine: machine, executor: pool)
        reference = try sentences.map { try exact.encode([$0])[0] }
      }
      progress("timing \(group.count) plans at \(threads) thread\(threads == 1 ? "" : "s")")
      let names = Set(group.flatMap { $0.settings.flatMap { MeasuredRun.ceilingNames(for: $0.problem) } })
      // Ids were checked above by the first pass of each, so a pass cannot fail here.
      for encoder in encoders { _ = try encoder.encode(batch) }
      var options = SamplingOptions()
      options.timeCap = .milliseconds(Int64(seconds * 1000 / Double(max(1, Set(plans.map(\.threads)).count))))
      let before = ceilings(names, probes, pool)
      // The latency between cores changes while this runs where a hypervisor moves them.
      var handoffs: [Double] = []
      let handoff = HandoffProbe(on: pool)
      let summaries = try MeasuredRun.patiently {
        handoffs = []
        var sides = encoders.map { encoder in
          TimedSide(preparedBy: { _ in if let handoff { handoffs.append(handoff.latency()) } }) { _ in
            _ = try? encoder.encode(batch)
          }
        }
        return try Sampler.sample(
          &sides, options: options, clock: .system(watching: [pool]), isCancelled: isCancelled).summaries
      }
      let after = ceilings(names, probes, pool)
      var now = before.merging(after) { ($0 + $1) / 2 }
      now["handoff"] = handoffs.isEmpty ? nil : handoffs.sorted()[handoffs.count / 2]

      for (index, plan) in group.enumerated() {
        var nodes: [String: Double] = [:]
        for _ in 0..<3 {
          _ = try encoders[index].encode(batch) { name, nanoseconds in
            nodes[name, default: 0] += Double(nanoseconds) / 3e6
          }
        }
        var figure: Verdict.QualityFigure?
        if let reference {
          let cosines = try zip(sentences, reference).map { ids, exact in
            Similarity.cosine(try encoders[index].encode([ids])[0], exact)
          }
          figure = Verdict.QualityFigure(
            meanCosine: cosines.reduce(0, +) / Double(cosines.count), lowestCosine: cosines.min() ?? 0,
            sentences: cosines.count)
        }
        let rescaled = plan.settings.reduce(0) { sum, setting in
          sum
            + speed.milliseconds(
              setting, peak: MeasuredRun.ceilingNames(for: setting.problem).first, profile: profile, now: now)
        }
        let measured = summaries[index].medianNanoseconds / 1e6
        let interval = summaries[index].intervalNanoseconds
        results.append(
          Verdict.Result(
            settings: Dictionary(
              plan.settings.compactMap { s in s.format.map { (s.node, $0.description) } },
              uniquingKeysWith: { first, _ in first }),
            label: plan.label, isChosen: Self.same(plan, report.chosen), threads: threads,
            predictedMilliseconds: plan.predicted.milliseconds, rescaledMilliseconds: rescaled,
            measuredMilliseconds: measured,
            intervalMilliseconds: interval.lowerBound / 1e6...interval.upperBound / 1e6,
            samples: summaries[index].count, error: rescaled / measured - 1,
            rawError: plan.predicted.milliseconds / measured - 1, quality: figure,
            nodes: plan.settings.map {
              Verdict.Node(
                node: $0.node, predictedMilliseconds: $0.predicted.milliseconds,
                measuredMilliseconds: nodes[$0.node] ?? 0)
            }))
      }
    }
    return Verdict(
      model: model.name, workload: workload, results: results, reason: report.chosen.reason,
      randomWeights: randomWeights)
  }

  /// Whether two plans run the same.
  private static func same(_ a: Plan, _ b: Plan) -> Bool { a.threads == b.threads && a.settings == b.settings }

  private static func tokens(_ workload: Workload, vocabulary: Int) -> [[Int32]] {
    (0..<workload.batch).map { sequence in
      (0..<workload.tokens).map { Int32((1000 + 7919 * ($0 + 31 * sequence)) % max(1, vocabulary)) }
    }
  }

  private func ceilings(
    _ names: Set<String>, _ probes: CeilingProbes, _ pool: ThreadPool
  ) -> [String: Double] {
    Dictionary(
      uniqueKeysWithValues: names.compactMap { name in
        probes.measure(name, on: pool, samples: 5).map { (name, $0.value) }
      })
  }
}

/// Sentences of different lengths and subjects, for similarity to f32.
enum VerificationSentences {
  static let all = [
    "A man is eating food.",
    "The quick brown fox jumps over the lazy dog.",
    "Rain.",
    "How do I reset the password of my account?",
    "The committee postponed its decision until the auditors had examined the accounts of the last three years.",
    "Water boils at a lower temperature at high altitude because the air pressure is lower.",
    "def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
    "She bought two tickets to Lisbon, leaving on 14 March at 07:45.",
    "Der Zug nach München hat heute leider zwanzig Minuten Verspätung.",
    "The defendant shall pay the costs of the proceedings, including the fees of the experts.",
    "Is it safe to take ibuprofen and paracetamol together?",
    "The violin enters alone in the second movement, and only much later does the orchestra answer it.",
    "Turn left at the church, follow the river for two miles, and you will see the mill on your right.",
    "Quarterly revenue rose 12% to $4.3 billion, beating the forecast of analysts.",
    "A girl is styling her hair.",
    "The cheetah chased its prey across the dry plain until both of them stopped, too tired to go on.",
  ]
}
