import Foundation
import Testing
import WallclockCore
import WallclockModels
import WallclockProfiles
import WallclockTestSupport

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

@testable import WallclockPlanner

@Suite struct PlannerTests {
  let workload = Workload(batch: 1, tokens: 128)
  let graph = Synthetic.graph

  private func plan(
    _ synthetic: Synthetic = Synthetic(), _ request: PlanRequest = PlanRequest(), tokens: Int = 128
  ) throws -> PlanReport {
    try Planner.plan(
      graph, Workload(batch: 1, tokens: tokens), profile: synthetic.profile(), request: request)
  }

  // MARK: - Optimality

  /// Every assignment of `formats` to the nodes, costed by the book: (nanoseconds, bytes).
  private func bruteForce(
    _ synthetic: Synthetic, _ formats: [Format], _ workload: Workload
  ) throws -> [(time: Double, bytes: Int)] {
    let profile = synthetic.profile()
    let model = CostModel(profile: profile)
    var all: [(time: Double, bytes: Int)] = []
    for threads in profile.threadCounts {
      var fixed = 0.0
      var options: [[(warm: Double, cold: Double, bytes: Int)]] = []
      for node in graph.nodes {
        let count = Double(node.count)
        func time(_ format: Format, _ state: OperandState) throws -> Double {
          try model.cost(of: node.problem(workload, format: format, state: state), threads: threads)
            .nanoseconds * count
        }
        if node.hasWeights {
          options.append(
            try formats.map {
              let warm = try time($0, .warm)
              return (warm, max(warm, try time($0, .cold)), node.count * node.weightBytes($0))
            })
        } else {
          fixed += try time(.f32, .warm)
        }
      }
      var index = Array(repeating: 0, count: options.count)
      while true {
        var (warm, cold, bytes) = (0.0, 0.0, 0)
        for (node, i) in index.enumerated() {
          warm += options[node][i].warm
          cold += options[node][i].cold
          bytes += options[node][i].bytes
        }
        let fill = Double(bytes) / Double(synthetic.lastLevelCacheBytes)
        let share = min(1, max(0, (fill - 0.75) / 0.5))
        all.append((fixed + warm + share * (cold - warm), bytes))
        guard let next = index.indices.first(where: { index[$0] + 1 < formats.count }) else { break }
        index[next] += 1
        for lower in 0..<next { index[lower] = 0 }
      }
    }
    return all
  }

  /// On random machines: the chosen plan is the best of all assignments, none is slower than dense, and
  /// the front is what brute force says it is.
  @Test func optimalOnRandomMachines() throws {
    let base = UInt64.random(in: 0 ... .max)
    print("optimalOnRandomMachines: seed \(base)")
    let formats: [Format] = [.f32, .bf16, .w8a8, .w4a8g32, .w4a16g128]
    for round in 0..<12 {
      let seed = base &+ UInt64(round)
      var random = SplitMix64(seed: seed)
      var synthetic = Synthetic()
      synthetic.rows = [64, 128]
      synthetic.tokens = [128]
      synthetic.lastLevelCacheBytes = Int.random(in: 1 << 20...64 << 20, using: &random)
      for format in formats { synthetic.rate[format] = Double.random(in: 20...200, using: &random) }
      synthetic.jitter = { problem, threads in
        var hasher = SplitMix64(
          seed: problem.description.utf8.reduce(seed &+ UInt64(threads)) { $0 &* 31 &+ UInt64($1) })
        return Double.random(in: 0.5...2, using: &hasher)
      }
      let report = try plan(synthetic, PlanRequest(formats: formats))
      let all = try bruteForce(synthetic, formats, workload)
      let best = all.map(\.time).min()!
      #expect(abs(report.chosen.predicted.milliseconds * 1e6 - best) <= best * 1e-9, "seed \(seed)")
      #expect(report.optimalityGap == 0)
      let baseline = try #require(report.baseline)
      let dense = try bruteForce(synthetic, [.f32, .bf16], workload).map(\.time).min()!
      #expect(abs(baseline.predicted.milliseconds * 1e6 - dense) <= dense * 1e-9, "seed \(seed)")
      #expect(
        report.chosen.predicted.milliseconds <= baseline.predicted.milliseconds * (1 + 1e-9), "seed \(seed)")

      // The front: fastest first, each smaller than the one before, none dominated, none missing.
      #expect(report.front.first.map { abs($0.predicted.milliseconds * 1e6 - best) <= best * 1e-9 } == true)
      for (a, b) in zip(report.front, report.front.dropFirst()) {
        #expect(
          a.predicted.milliseconds <= b.predicted.milliseconds && a.memoryBytes > b.memoryBytes,
          "seed \(seed)")
      }
      for point in all {
        let covered = report.front.contains {
          $0.predicted.milliseconds * 1e6 <= point.time * (1 + 1e-9)
            && $0.memoryBytes <= graph.fixedBytes + point.bytes
        }
        #expect(covered, "seed \(seed): nothing on the front is as good as \(point)")
      }
      let smallest = try plan(synthetic, PlanRequest(formats: formats, objective: .memory)).chosen
      let leastBytes = all.filter { $0.time <= dense * (1 + 1e-12) }.map(\.bytes).min()!
      #expect(smallest.memoryBytes == graph.fixedBytes + leastBytes, "seed \(seed)")
      #expect(smallest.predicted.milliseconds <= baseline.predicted.milliseconds * (1 + 1e-9), "seed \(seed)")
    }
  }

  // MARK: - Promises

  @Test func choosesWhatIsFaster() throws {
    let report = try plan()
    #expect(report.chosen.threads == 2)
    #expect(report.chosen.formats.contains(.w8a8))
    #expect(report.chosen.predicted.milliseconds < report.baseline!.predicted.milliseconds)
    #expect(report.chosen.predicted.evidence == .measured)
    #expect(report.uniform.map(\.formats) == [[.f32], [.bf16], [.w8a8], [.w4a8g32], [.w4a16g128]])
    #expect(report.rejected.contains { $0.setting == "1 thread" && $0.ratio! < 1 })
    try report.chosen.validate(against: graph)
  }

  @Test func saysWhenNothingHelps() throws {
    var slow = Synthetic()
    for format in [Format.w8a8, .w4a8g32] { slow.rate[format] = 25 }
    let report = try plan(slow)
    #expect(report.chosen.formats == [.bf16])
    #expect(report.chosen.reason.contains("nothing beats dense here"))
    let rejection = try #require(report.rejected.first { $0.setting.hasPrefix("w8a8 for ffn.up at m=128") })
    #expect(rejection.ratio! < 1 && rejection.breakEven == nil)
    #expect(rejection.reason.contains("× of dense bf16 here"))
  }

  @Test func namesTheBreakEven() throws {
    var synthetic = Synthetic()
    synthetic.overhead[.w8a8] = 400_000
    synthetic.rate[.bf16] = 40
    synthetic.threads = [1]
    let report = try plan(synthetic, PlanRequest(formats: [.f32, .bf16, .w8a8]), tokens: 64)
    let rejection = try #require(report.rejected.first { $0.setting == "w8a8 for attention.out at m=64" })
    #expect(rejection.ratio! < 1)
    let m = try #require(rejection.breakEven)
    func time(_ format: Format, _ m: Int) -> Double {
      synthetic.nanoseconds(.gemm(format, m: m, n: 384, k: 384, epilogue: .bias, state: .warm), 1)
    }
    // The model rounds rows up to tiles of four.
    #expect(time(.w8a8, m + 4) < time(.f32, m + 4))
    #expect(time(.w8a8, m - 5) > time(.f32, m - 5))
    #expect(rejection.reason.contains("breaks even at m=\(m)"))
  }

  @Test func aNoisyGainDoesNotBuyRounding() throws {
    var synthetic = Synthetic()
    synthetic.rate = [.f32: 100, .w8a8: 101]
    synthetic.overhead = [.f32: 0, .w8a8: 0]
    synthetic.lastLevelCacheBytes = 256 << 20
    synthetic.noiseFloor = 0.03
    let report = try plan(synthetic)
    #expect(report.chosen.formats == [.f32])
    #expect(report.optimalityGap > 0 && report.optimalityGap < 0.03)
    #expect(report.chosen.reason.contains("noise"))
  }

  @Test func everyAlternativeHasAReason() throws {
    let report = try plan()
    for format in Format.usual {
      for setting in report.chosen.settings where setting.format != nil && setting.format != format {
        let found = report.rejected.contains {
          $0.setting == format.description || $0.setting.hasPrefix("\(format) for \(setting.node) ")
        }
        #expect(found, "\(format) for \(setting.node)")
      }
    }
    #expect(report.rejected.allSatisfy { !$0.reason.isEmpty })
    let missing = try #require(report.rejected.first { $0.setting == "w4a8-g64" })
    #expect(missing.ratio == nil && missing.reason.contains("wallclock tune"))
  }

  @Test func refusesOutsideTheHull() throws {
    let error = try #require(throws: PlannerError.self) { try plan(tokens: 8) }
    #expect(error.code == .notMeasured && error.message.contains("wallclock tune"))
    #expect(throws: PlannerError.self) { try plan(tokens: 513) }
    #expect(throws: PlannerError.self) { try plan(Synthetic(), PlanRequest(threads: 5)) }
  }

  @Test(arguments: [(0, 1), (1, 0), (-1, 4), (Int.max, 2), (1 << 20, 1 << 20)])
  func refusesImpossibleWorkloads(batch: Int, tokens: Int) throws {
    let error = try #require(throws: PlannerError.self) {
      try Planner.plan(graph, Workload(batch: batch, tokens: tokens), profile: Synthetic().profile())
    }
    #expect(error.code == .invalidRequest)
  }

  // MARK: - Limits and quality

  @Test func keepsLimits() throws {
    let free = try plan()
    let tight = try plan(Synthetic(), PlanRequest(maximumMemoryBytes: graph.fixedBytes + 7 << 20))
    #expect(tight.chosen.memoryBytes <= graph.fixedBytes + 7 << 20)
    #expect(tight.front.allSatisfy { $0.memoryBytes <= graph.fixedBytes + 7 << 20 })
    let error = try #require(throws: PlannerError.self) {
      try plan(Synthetic(), PlanRequest(maximumMilliseconds: free.chosen.predicted.milliseconds / 2))
    }
    #expect(error.code == .infeasible && error.message.contains("the fastest plan takes"))
    #expect(throws: PlannerError.self) { try plan(Synthetic(), PlanRequest(maximumLoss: .nan)) }
    #expect(throws: PlannerError.self) { try plan(Synthetic(), PlanRequest(formats: [])) }
  }

  @Test func aLossLimitNeedsEvidence() throws {
    let strict = try plan(Synthetic(), PlanRequest(maximumLoss: 0.01))
    #expect(strict.chosen.formats == [.f32])
    let rejection = try #require(strict.rejected.first { $0.setting == "w8a8" })
    #expect(rejection.reason.contains("retrained") && rejection.ratio! > 1)
    let measured = try plan(
      Synthetic(),
      PlanRequest(
        maximumLoss: 0.01,
        measuredQuality: [
          .w8a8: MeasuredQuality(loss: 0.004, source: "mean embedding cosine"),
          .w4a8g32: MeasuredQuality(loss: 0.05, source: "mean embedding cosine"),
        ]))
    #expect(measured.chosen.formats == [.w8a8])
    #expect(
      measured.chosen.quality == Quality(loss: 0.004, evidence: .measured, source: "mean embedding cosine"))
    #expect(measured.rejected.contains { $0.setting == "w4a8-g32" && $0.reason.contains("5.0 %") })
    #expect(measured.warnings.isEmpty)
  }

  @Test func vendorsThatAreFasterAreNamed() throws {
    var profile = Synthetic(noiseFloor: 0.02).profile()
    let without = try Planner.plan(graph, workload, profile: profile)
    func vendor(
      _ node: String, of plan: Plan, timesAsFast ratio: Double, threads: Int? = nil, beside: Schedule? = nil, isSignificant: Bool = true
    ) throws -> Measurement {
      let setting = try #require(plan.settings.first { $0.node == node })
      var measurement = try #require(profile.measurement(of: setting.problem, threads: plan.threads))
      measurement.schedule = Schedule(kernel: "onednn", backend: .plugin("onednn"), threads: threads ?? plan.threads)
      measurement.comparison = ScheduleComparison(
        with: beside ?? setting.schedule, ratio: ratio, interval: ratio...ratio, isSignificant: isSignificant)
      return measurement
    }
    let dense = try #require(without.baseline)
    profile.baselines = [
      try vendor("ffn.up", of: without.chosen, timesAsFast: 2),
      // Slower, faster by no more than the noise, on another number of threads, than another schedule, and not surely.
      try vendor("ffn.down", of: without.chosen, timesAsFast: 0.5),
      try vendor("attention.out", of: without.chosen, timesAsFast: 1.01),
      try vendor("attention.qkv", of: without.chosen, timesAsFast: 2, threads: 7),
      try vendor("attention.qkv", of: without.chosen, timesAsFast: 2, beside: Schedule(kernel: "another")),
      try vendor("attention.qkv", of: without.chosen, timesAsFast: 2, isSignificant: false),
      try vendor("ffn.down", of: dense, timesAsFast: 3),
    ]
    let report = try Planner.plan(graph, workload, profile: profile)
    // They are compared with, not planned with.
    #expect(report.chosen == without.chosen && report.chosen != dense)
    let added = report.warnings.filter { !without.warnings.contains($0) }
    #expect(added.count == 2)
    let chosen = try #require(added.first { $0.contains("this plan") })
    #expect(chosen.contains("ffn.up 2.00× by onednn"))
    for node in ["ffn.down", "attention.out", "attention.qkv"] { #expect(!chosen.contains(node)) }
    let up = try #require(without.chosen.settings.first { $0.node == "ffn.up" })
    #expect(chosen.contains(milliseconds(without.chosen.predicted.milliseconds - up.predicted.milliseconds / 2)))
    #expect(try #require(added.first { $0.contains("the best dense plan") }).contains("ffn.down 3.00× by onednn"))
  }

  @Test func qualityIsNeverMixedSilently() {
    let knowledge = QualityKnowledge(
      family: "bert", measured: [.bf16: MeasuredQuality(loss: 0.0001, source: "cosine")])
    #expect(knowledge.quality(of: [.f32]).evidence == .reference)
    #expect(knowledge.quality(of: [.f32, .bf16]).evidence == .predicted)
    #expect(knowledge.quality(of: [.bf16, .w8a8]).evidence == .published)
    #expect(knowledge.quality(of: [.w8a8, .w4a8g32]).evidence == .unknown)
    #expect(knowledge.quality(of: [.w8a8, .w4a8g32]).loss == nil)
    #expect(QualityKnowledge(family: "gpt", measured: [:]).quality(of: .w8a8).evidence == .unknown)
  }

  // MARK: - Files and words

  @Test func roundTripsAndMatchesItsSchema() throws {
    let schema = try JSONSchema(named: "plan-v1.json")
    for request in [PlanRequest(), PlanRequest(maximumLoss: 0.01), PlanRequest(objective: .memory)] {
      let report = try plan(Synthetic(), request)
      let data = try report.encoded()
      #expect(try PlanReport.decode(data, source: "test") == report)
      #expect(try schema.violations(in: data) == [])
    }
  }

  @Test func refusesDamagedPlans() throws {
    let text = String(decoding: try plan().encoded(), as: UTF8.self)
    for (good, bad) in [
      ("\"schemaVersion\" : 1", "\"schemaVersion\" : 2"), ("\"tokens\" : 128", "\"tokens\" : -128"),
      ("\"threads\" : 2", "\"threads\" : 0"), ("\"n\" : 384", "\"n\" : 9223372036854775807"),
      ("\"chosen\"", "\"chosem\""), ("\"coldFraction\" : 0", "\"coldFraction\" : 2"),
      ("\"memoryBytes\" : ", "\"memoryBytes\" : -"),
    ] {
      try #require(text.contains(good))
      #expect(throws: (any Error).self, "\(bad)") {
        try PlanReport.decode(Data(text.replacing(good, with: bad).utf8), source: "damaged")
      }
    }
    var other = graph
    other.nodes[1].name = "attention.query"
    #expect(throws: PlannerError.self) { try plan().chosen.validate(against: other) }
    other = graph
    other.nodes[1].work = .gemm(n: 1153, k: 384, epilogue: .bias)
    #expect(throws: PlannerError.self) { try plan().chosen.validate(against: other) }
  }

  @Test func theSamePlanEveryTime() throws {
    let first = try plan().encoded()
    for _ in 0..<3 { #expect(try plan().encoded() == first) }
  }

  @Test func explainsWhereTheTimeGoes() throws {
    let report = try plan()
    let explanation = try Planner.explain(report, profile: Synthetic().profile(), graph: graph)
    #expect(abs(explanation.rows.reduce(0) { $0 + $1.share } - 1) < 1e-9)
    let up = try #require(explanation.rows.first { $0.node == "ffn.up" })
    #expect(up.bound == .arithmetic)
    #expect(abs(up.boundMilliseconds! - 6 * 2 * 128 * 1536 * 384 / 400 / 1e6) < 1e-9)
    #expect(explanation.rows.first { $0.node == "norm" }?.bound == .bandwidth)
    #expect(explanation.changes.contains { $0.needs.contains("as fast as now") })
    let text = explanation.rendered()
    #expect(text.contains("ffn.up") && !text.contains(" \n"))
    #expect(throws: PlannerError.self) {
      var other = graph
      other.nodes.removeLast()
      _ = try Planner.explain(report, profile: Synthetic().profile(), graph: other)
    }
  }

  @Test func rendersAlignedTables() throws {
    let text = try plan().rendered()
    for word in ["Plan: ", "ffn.up", "w4a8-g32", "Pareto front", "rejected", "measured here"] {
      #expect(text.contains(word))
    }
    #expect(!text.contains(" \n"))
  }
}
