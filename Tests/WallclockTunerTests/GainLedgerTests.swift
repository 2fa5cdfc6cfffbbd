import Testing
import WallclockCore
import WallclockProfiles

@testable import WallclockTuner

/// The pure part of a tune: what to spend time on, and what more would bring.
@Suite struct GainLedgerTests {
  static let ceilings = [
    Ceiling(name: "f32", threads: 1, value: 100, unit: "GOP/s", spread: 0, probe: ""),
    Ceiling(name: "read.l2", threads: 1, value: 50, unit: "GB/s", spread: 0, probe: ""),
    Ceiling(name: "read.dram", threads: 1, value: 10, unit: "GB/s", spread: 0, probe: ""),
  ]
  /// 10⁶ ns at the ceiling, then 10⁵ ns of bytes, then one that is small in every pass.
  static let large = TuneTarget(.gemm(.f32, m: 500, n: 1000, k: 100, state: .warm), threads: 1)
  static let rowwise = TuneTarget(.rowwise(.residual, rows: 100, channels: 1000, state: .warm), threads: 1)
  static let small = TuneTarget(.rowwise(.residual, rows: 1, channels: 100, state: .warm), threads: 1)
  static let pass = ForwardPass(
    model: "m", workload: "w", format: .f32, threads: 1,
    parts: [.init(small, count: 1), .init(rowwise, count: 10), .init(large, count: 4)])

  private func ledger(_ passes: [ForwardPass] = [pass]) -> GainLedger {
    GainLedger([Self.small, Self.rowwise, Self.large], in: passes, ceilings: Self.ceilings)
  }

  private func record(_ ending: SearchRecord.Ending?, gain: Double = 0, seconds: Double = 10) -> SearchRecord {
    var record = SearchRecord(reference: Schedule(kernel: "k"))
    record.ending = ending
    record.gain = gain
    record.seconds = seconds
    return record
  }

  @Test func theRooflineIsTheSlowerOfArithmeticAndBytes() {
    #expect(GainLedger.leastNanoseconds(Self.large, Self.ceilings) == 1e6)
    #expect(abs(GainLedger.leastNanoseconds(Self.rowwise, Self.ceilings) - 12e5 / 50) < 1e-6)
    let cold = TuneTarget(.gemm(.f32, m: 1, n: 1000, k: 1000, state: .cold), threads: 1)
    #expect(GainLedger.leastNanoseconds(cold, Self.ceilings) == 4e5)
    #expect(GainLedger.leastNanoseconds(TuneTarget(cold.problem, threads: 2), Self.ceilings) == 0)
  }

  @Test func targetsComeByTheirShareOfThePass() {
    var ledger = ledger()
    #expect(ledger.byWeight([Self.small, Self.rowwise, Self.large]) == [Self.large, Self.rowwise, Self.small])
    ledger.measured(Self.large, nanoseconds: 2e6)
    ledger.measured(Self.rowwise, nanoseconds: 2e6)
    ledger.measured(Self.small, nanoseconds: 1000)
    let weights = ledger.weights()
    #expect(abs(weights.values.reduce(0, +) - 1) < 1e-12)
    #expect(abs(weights[Self.rowwise]! - 20e6 / 28.001e6) < 1e-12)
    #expect(ledger.worthSearching().map(\.target) == [Self.rowwise, Self.large], "the small one shows nowhere")
    // What is of no pass matters for itself.
    let alone = self.ledger([])
    #expect(alone.weights().values.allSatisfy { $0 == 1 })
    #expect(alone.byWeight([Self.small, Self.large]) == [Self.small, Self.large])
  }

  @Test func nothingIsExpectedAboveTheRoofline() {
    var ledger = ledger()
    ledger.measured(Self.large, nanoseconds: 1.001e6)
    ledger.measured(Self.rowwise, nanoseconds: 1e5)
    ledger.measured(Self.small, nanoseconds: 1000)
    #expect(ledger.worthSearching().map(\.target) == [Self.rowwise])
    ledger.measured(Self.large, nanoseconds: 1.02e6)
    #expect(ledger.expectedGains()[Self.large].map { abs($0 - (1 - 1 / 1.02)) < 1e-12 } == true)
  }

  @Test func whatSearchesGainedIsExpectedOfTheOthers() {
    var ledger = ledger()
    ledger.measured(Self.large, nanoseconds: 4e6)
    ledger.measured(Self.rowwise, nanoseconds: 4e6)
    let before = ledger.expectedGains()
    #expect(before[Self.large] == before[Self.rowwise])
    ledger.searched(Self.rowwise, record(.patience, gain: 0.4))
    let after = ledger.expectedGains()
    #expect(after[Self.rowwise] == nil && after[Self.large]! > before[Self.large]! && after[Self.large]! < 0.4)
    // One begun and cut short has had part of it.
    ledger.searched(Self.large, record(nil))
    #expect(ledger.expectedGains()[Self.large]! == after[Self.large]! / 2)
  }

  @Test func theOutlookAddsUp() throws {
    var ledger = ledger()
    ledger.measured(Self.large, nanoseconds: 2e6)
    ledger.measured(Self.rowwise, nanoseconds: 0.8e6)
    ledger.measured(Self.small, nanoseconds: 1000)
    ledger.searched(Self.large, record(.exhausted, gain: 0.1))
    let outlook = ledger.outlook()
    let workload = try #require(outlook.workloads.first)
    #expect(outlook.workloads.count == 1 && outlook.open == 1 && outlook.secondsNeeded > 0)
    #expect(abs(workload.searched + workload.cutShort + workload.unsearched + workload.negligible - 1) < 1e-12)
    #expect(abs(workload.searched - 8e6 / 16.001e6) < 1e-9 && workload.cutShort == 0)
    #expect(workload.expectedGain > 0 && workload.expectedGain < workload.possibleGain)
    #expect(workload.possibleGain < workload.unsearched)
    ledger.searched(Self.rowwise, record(nil))
    let cut = ledger.outlook()
    #expect(cut.workloads[0].cutShort == workload.unsearched && cut.workloads[0].unsearched == 0)
    #expect(cut.secondsNeeded < outlook.secondsNeeded)
    ledger.searched(Self.rowwise, record(.roofline))
    #expect(ledger.outlook().open == 0 && ledger.outlook().workloads[0].possibleGain == 0)
  }
}

@Suite struct PairedHalvingTests {
  /// Drift that all share does not hide who is fastest.
  @Test func theFastestStaysThroughDrift() {
    let speeds = [1.3, 1.0, 1.1, 1.6, 1.2]
    var halving = PairedHalving(count: speeds.count)
    var drift = 1.0
    var rounds = 0
    while !halving.isOver {
      drift *= 1.5
      halving.append(halving.field.map { speeds[$0] * drift })
      rounds += 1
    }
    #expect(halving.field == [1] && halving.fastest == 1)
    #expect(rounds == 7, "halved after 3 and 6 rounds, then beyond doubt")
    #expect(abs(halving.ratio(3, to: 1) - 1.6) < 1e-9)
  }

  /// One that is slower every time leaves between the rungs; one that is as fast stays until the next.
  @Test(arguments: [(1.01, 7), (1.0, 12)])
  func aCertainLoserLeavesAtOnce(_ second: Double, _ rounds: Int) {
    var halving = PairedHalving(count: 6)
    var taken = 0
    while !halving.isOver {
      let flicker = taken % 2 == 0 ? 0.995 : 1.005
      let times = [1.0, second * (second == 1 ? flicker : 1), 1.1, 1.2, 1.2, 1.2]
      halving.append(halving.field.map { times[$0] })
      taken += 1
      #expect(halving.field.count == (taken < 3 ? 6 : taken < 6 ? 3 : taken < rounds ? 2 : 1))
    }
    #expect(taken == rounds)
  }

  @Test func oneCandidateIsTheFastest() {
    let halving = PairedHalving(count: 1)
    #expect(halving.isOver && halving.fastest == 0)
  }
}
