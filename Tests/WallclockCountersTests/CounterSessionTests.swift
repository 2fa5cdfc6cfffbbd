import Synchronization
import Testing
import WallclockCore

@testable import WallclockCounters

#if canImport(Glibc)
  import Glibc
#endif

/// Answers with what a kernel said once. Counts are of one run of the body.
private final class Recording: CounterProvider {
  let corePMU: String?
  let counts: [String: RawCount]
  let asked = Mutex<[[String]]>([])

  init(pmu: String?, _ counts: [String: RawCount]) {
    corePMU = pmu
    self.counts = counts
  }

  func count(_ events: [String], threads: [Int32], during body: () throws -> Void) throws -> [RawCount] {
    asked.withLock { $0.append(events) }
    try body()
    return events.map { counts[$0] ?? .unavailable("not recorded") }
  }
}

@Suite struct CounterSessionTests {
  /// Readings as a Zen 4 core gives them for a GEMM that fits its L2: the ratios are what matters.
  private static let zen4: [String: RawCount] = [
    "perf::TASK-CLOCK": .counted(2_000_000, running: 1),
    "perf::CONTEXT-SWITCHES": .counted(0, running: 1),
    "amd64_fam19h_zen4::CYCLES_NOT_IN_HALT": .counted(7_200_000, running: 1),
    "amd64_fam19h_zen4::RETIRED_INSTRUCTIONS": .counted(14_400_000, running: 1),
    "amd64_fam19h_zen4::CORE_TO_L2_CACHEABLE_REQUEST_ACCESS_STATUS:LS_RD_BLK_C": .counted(1_440, running: 1),
    "amd64_fam19h_zen4::L1_DTLB_MISS:TLB_RELOAD_4K_L2_MISS:TLB_RELOAD_2M_L2_MISS": .counted(72, running: 0.9),
    "amd64_fam19h_zen4::RETIRED_BRANCH_INSTRUCTIONS_MISPREDICTED": .counted(900, running: 0.2),
    "amd64_fam19h_zen4::RETIRED_SSE_AVX_FLOPS:ANY": .counted(0, running: 1),
    "amd64_fam19h_zen4::DISPATCH_STALLS_1:FE_NO_OPS": .unavailable("the kernel or PMU refuses this event"),
  ]

  @Test func recordedHardwareIsReadPerRun() throws {
    let session = CounterSession(
      groups: CounterGroup.standard, threads: [1, 2],
      provider: Recording(pmu: "amd64_fam19h_zen4", Self.zen4))
    var runs = 0
    let reading = try session.measure(runs: 4) { runs += 1 }
    #expect(reading.state == .hardware)
    #expect(reading.reason.isEmpty)
    #expect(runs == 4 * CounterGroup.standard.count)
    #expect(reading.values["cycles"] == 1_800_000)
    #expect(reading.values["instructions"] == 3_600_000)
    #expect(reading.values["context-switches"] == 0, "software events may be zero")
    #expect(reading.values["dtlb-walks"] == 18)
    let figures = CounterGroup.caches.figures(of: reading)
    #expect(figures.first { $0.metric.name == "instructions per cycle" }?.value == 2)
    #expect(figures.first { $0.metric.name == "L2 misses per kilo-instruction" }?.value == 0.1)
  }

  @Test func whatIsMissingHasAReasonAndNoValue() throws {
    let session = CounterSession(
      groups: CounterGroup.standard, threads: [],
      provider: Recording(pmu: "amd64_fam19h_zen4", Self.zen4))
    let reading = try session.measure {}
    for (event, reason) in [
      ("branch-misses", "20 %"), ("flops-f32", "zero"), ("frontend-stalls", "refuses"),
      ("l1-misses", "not recorded"),
    ] {
      #expect(reading.values[event] == nil)
      #expect(reading.unavailable[event]?.contains(reason) == true, "\(event)")
    }
    let all = Set(CounterGroup.standard.flatMap(\.events))
    #expect(Set(reading.values.keys).union(reading.unavailable.keys) == all)
    #expect(Set(reading.values.keys).isDisjoint(with: reading.unavailable.keys))
  }

  @Test func weightedPartsAreSummed() throws {
    // Sapphire Rapids: one FMA counts twice in FP_ARITH_INST_RETIRED, 16 lanes each.
    let spr = [
      "spr::UNHALTED_CORE_CYCLES": 1000, "spr::INST_RETIRED:ANY_P": 3000,
      "spr::FP_ARITH_INST_RETIRED:512B_PACKED_SINGLE": 2000, "spr::FP_ARITH_INST_RETIRED:256B_PACKED_SINGLE": 10,
      "spr::INT_VEC_RETIRED:VNNI_128": 0, "spr::INT_VEC_RETIRED:VNNI_256": 7,
    ].mapValues { RawCount.counted(Double($0), running: 1) }
    let session = CounterSession(
      groups: [.vector], threads: [], provider: Recording(pmu: "spr", spr))
    let reading = try session.measure {}
    #expect(reading.values["flops-f32"] == 32_080)
    #expect(reading.values["int8-operations"] == 7)
  }

  @Test func theLadderNamesItsReason() {
    let dead = RawCount.counted(0, running: 1)
    let hypervisor = Recording(
      pmu: nil, ["perf::CYCLES": dead, "perf::INSTRUCTIONS": dead, "perf::TASK-CLOCK": .counted(5, running: 1)])
    let zero = Counters.probe(hypervisor)
    #expect(zero.state == .software)
    #expect(zero.reason.contains("zero"))

    let busy = Recording(
      pmu: nil, [
        "perf::CYCLES": .counted(5, running: 0.1), "perf::INSTRUCTIONS": .counted(5, running: 0.1),
        "perf::TASK-CLOCK": .counted(5, running: 1),
      ])
    #expect(Counters.probe(busy).reason.contains("10 %"))

    let nothing = Counters.probe(Recording(pmu: "spr", [:]))
    #expect(nothing.state == .none)
    #expect(nothing.reason.contains("no hardware counters: not recorded"))
    #expect(nothing.reason.contains("no software counters: not recorded"))

    let unknown = Counters.probe(Recording(pmu: "future_pmu", Self.zen4))
    #expect(unknown.state == .software, "an unknown PMU asks for the kernel's generic events")
  }

  @Test func withoutCountersTheBodyIsNotRunForNothing() throws {
    let provider = Recording(pmu: nil, [:])
    let session = CounterSession(groups: CounterGroup.standard, threads: [], provider: provider)
    let probes = provider.asked.withLock { $0.count }
    var runs = 0
    let reading = try session.measure { runs += 1 }
    #expect(runs == 0)
    #expect(provider.asked.withLock { $0.count } == probes)
    #expect(reading.state == .none)
    #expect(reading.values.isEmpty)
    #expect(!reading.reason.isEmpty)
  }

  @Test func errorsOfTheBodyPassThrough() {
    struct Broken: Error {}
    #expect(throws: Broken.self) {
      _ = try CounterSession(groups: [.software]).measure { throw Broken() }
    }
  }

  @Test func groupsFitTheHardwareAndTheirMetricsName() {
    for group in CounterGroup.standard {
      #expect(Set(group.events).count == group.events.count)
      if !group.isSoftware {
        #expect(group.events.first == "cycles")
        #expect(group.events.allSatisfy(CounterEvents.hardware.contains))
      }
      for metric in group.metrics {
        #expect(group.events.contains(metric.numerator) && group.events.contains(metric.denominator))
      }
      for pmu in CounterEvents.knownPMUs where !group.isSoftware {
        let counters = group.events.flatMap { CounterEvents.native($0, pmu: pmu) ?? [] }.count
        #expect(counters <= 5, "\(group.name) on \(pmu)")
      }
    }
  }
}
