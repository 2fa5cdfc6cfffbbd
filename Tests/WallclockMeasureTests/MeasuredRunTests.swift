import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
@testable import WallclockMeasure
import WallclockThreads

/// What stands beside a number, on this host. How fast it is is nobody's business here.
@Suite(.serialized) struct MeasuredRunTests {
  static let host = Machine.host.fingerprint

  /// Other tests run meanwhile and preempt this one: a refusal to make a number of that is right, and
  /// asked again.
  private func patiently<Value>(_ body: () throws -> Value) throws -> Value {
    for _ in 0..<9 {
      do { return try body() } catch let error as MeasureError where error.code == .tooManyDropped {}
    }
    return try body()
  }

  @Test func ceilingsOfEveryName() throws {
    let probes = CeilingProbes(machine: Self.host)
    #expect(probes.names.contains("f32") && probes.names.contains("int8") && probes.names.contains("read.dram"))
    let pool = try ThreadPool(cpus: [Self.host.cpuset[0]])
    let known = Set(CeilingProbe.all.map(\.name))
    #expect(probes.measure("handoff", on: pool) == nil, "one thread hands nothing over")
    for name in probes.names where name != "handoff" {
      let ceiling = try #require(probes.measure(name, on: pool, samples: 3), "\(name)")
      #expect(ceiling.name == name && ceiling.threads == 1)
      #expect(ceiling.value > 0 && ceiling.value.isFinite)
      #expect(ceiling.spread >= 0 && ceiling.spread.isFinite)
      #expect(ceiling.unit == (name.hasPrefix("read.") ? "GB/s" : "GOP/s"))
      // Read probes name their pages too.
      let probe = ceiling.probe.split(separator: ".").filter { !["hugepages", "smallpages"].contains($0) }.joined(separator: ".")
      #expect(known.contains(probe), "\(ceiling.probe) is no probe of this build")
      #expect((probe != ceiling.probe) == name.hasPrefix("read."), "\(ceiling.probe)")
    }
    #expect(probes.measure("no such ceiling", on: pool) == nil)
  }

  /// Two workers on one CPU take turns by its scheduler, and the probe still ends.
  @Test func aLineGoesBetweenTwoThreads() throws {
    let cpus = Self.host.cpuset
    let pool = try ThreadPool(cpus: [cpus[0], cpus.count > 1 ? cpus[1] : cpus[0]])
    defer { pool.shutdown() }
    let ceiling = try #require(CeilingProbes(machine: Self.host).measure("handoff", on: pool, samples: 2))
    #expect(ceiling.threads == 2 && ceiling.unit == "ns" && ceiling.value > 0 && ceiling.value.isFinite)
    var shorter = ceiling
    shorter.value /= 2
    #expect(shorter.isBetter(than: ceiling) && !ceiling.isBetter(than: shorter))
  }

  /// Each run of a warm or cold side comes after its preparation, which is not in the time.
  @Test func preparationIsNotTimed() throws {
    var clock: UInt64 = 0
    var log: [String] = []
    var side = TimedSide(preparedBy: { log.append("prepare \($0)"); clock += 1000 }) {
      log.append("run \($0)")
      clock += 7
    }
    #expect(side.time(3) { clock } == 21)
    #expect(log == ["prepare 0", "run 0", "prepare 1", "run 1", "prepare 2", "run 2"])
    var plain = TimedSide { _ in clock += 5 }
    #expect(plain.time(4) { clock } == 20)
  }

  @Test func aMeasurementCarriesItsEvidence() throws {
    let probes = CeilingProbes(machine: Self.host)
    let pool = try ThreadPool(cpus: [Self.host.cpuset[0]])
    var options = SamplingOptions()
    options.timeCap = .milliseconds(60)
    let shared = Self.host.cacheBytes(level: 3) == nil ? "read.dram" : "read.l3"
    for (problem, names) in [
      (Problem.gemm(.w8a8, m: 8, n: 64, k: 64, epilogue: .bias), ["int8", "read.l1"]),
      (.gemm(.w4a8g32, m: 8, n: 64, k: 64, state: .cold), ["int4", "read.dram"]),
      (.gemm(.w8a8, m: 8, n: 64, k: 64, state: .warm), ["int8", shared]),
      (.rowwise(.residual, rows: 16, channels: 64), ["read.l1"]),
    ] {
      let schedule = try ScheduleSpace.standard(for: problem, threads: 1, machine: Self.host)
      let prepared = try problem.prepare(schedule, machine: Self.host)
      let check = try prepared.check(on: pool)
      let measurement = try patiently {
        try MeasuredRun.measure(prepared, check: check, on: pool, options: options, probes: probes)
      }
      #expect(measurement.problem == problem && measurement.schedule == schedule)
      #expect(measurement.check.passed && measurement.check.elementsChecked > 0)
      #expect(measurement.samples.count >= 3)
      #expect(measurement.ceilings.map(\.name) == names)
      #expect(measurement.counters.state == .hardware || !measurement.counters.reason.isEmpty)
      #expect((0...1).contains(measurement.conditions.steal))
      #expect(measurement.itemsPerSecond > 0 && measurement.bytesPerSecond > 0)
    }
  }

  @Test(arguments: OperandState.allCases) func twoPreparedProblemsAreCompared(state: OperandState) throws {
    let pool = try ThreadPool(cpus: [Self.host.cpuset[0]])
    let problem = Problem.gemm(.f32, m: 8, n: 32, k: 32, state: state)
    let schedule = try ScheduleSpace.standard(for: problem, threads: 1, machine: Self.host)
    let a = try problem.prepare(schedule, machine: Self.host)
    let b = try a.rescheduled(schedule)
    var rule = DecisionRule(.either, margin: 0.5)
    rule.timeCap = .milliseconds(500)
    let decision = try patiently { try PairedComparison.decide(a, on: pool, b, on: pool, rule: rule) }
    #expect(decision.pairs == decision.a.count && decision.pairs == decision.b.count)
    #expect(decision.interval.contains(decision.ratio))
    #expect(decision.margin == 0.5 && abs(decision.confidence - 0.98) < 1e-12)
  }

  @Test func aNoiseFloorIsAMarginOfEachStateAskedFor() throws {
    let pool = try ThreadPool(cpus: [Self.host.cpuset[0]])
    let floors = try NoiseFloor.measure([.hot, .cold], on: pool, machine: Self.host)
    #expect(Set(floors.keys) == [.hot, .cold])
    #expect(floors.values.allSatisfy { (DecisionRule.leastMargin...NoiseFloor.whenTooNoisy * 10).contains($0) })
  }
}
