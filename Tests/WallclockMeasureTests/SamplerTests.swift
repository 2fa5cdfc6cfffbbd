import Testing
import WallclockCore
import WallclockMeasure
import WallclockTestSupport

/// A clock that only the sides under test move.
final class FakeTime {
  var nanoseconds: UInt64 = 1_000
  var lostNanoseconds: UInt64 = 0
  var log: [String] = []

  var clock: SampleClock {
    SampleClock(nanoseconds: { self.nanoseconds }, lostNanoseconds: { self.lostNanoseconds })
  }

  /// A side whose i-th run takes `duration(i)`.
  func side(_ name: String = "", _ duration: @escaping (Int) -> UInt64) -> TimedSide {
    TimedSide { i in
      self.log.append(name)
      self.nanoseconds += duration(i)
    }
  }
}

@Suite struct SamplerTests {
  @Test func steadySidesConvergeAtOnce() throws {
    let time = FakeTime()
    var sides = [time.side { _ in 200_000 }]
    let options = SamplingOptions()
    let (summaries, rounds) = try Sampler.sample(&sides, options: options, clock: time.clock)
    let summary = summaries[0]
    #expect(summary.stop == .converged)
    #expect(summary.count == options.minimumSamples && rounds.count == options.minimumSamples)
    #expect(summary.medianNanoseconds == 200_000 && summary.minimumNanoseconds == 200_000)
    #expect(summary.intervalNanoseconds == 200_000...200_000)
    #expect(summary.dropped == 0)
  }

  @Test func shortRunsAreGrouped() throws {
    let time = FakeTime()
    var longest = 0
    var sides = [time.side { i in longest = max(longest, i); return 100 }]
    let (summaries, _) = try Sampler.sample(&sides, options: SamplingOptions(), clock: time.clock)
    #expect(summaries[0].medianNanoseconds == 100, "nanoseconds are per run, not per sample")
    // Eleven samples of at least 50 µs.
    #expect(longest >= 11 * 500)
    #expect(longest < 11 * 5000)
  }

  @Test func noiseEndsAtACap() throws {
    func run(_ change: (inout SamplingOptions) -> Void) throws -> SampleSummary {
      let time = FakeTime()
      var random = TestRandom(seed: 5)
      var sides = [time.side { _ in UInt64(random.integer(100_000...300_000)) }]
      var options = SamplingOptions()
      options.relativeInterval = 1e-6
      change(&options)
      return try Sampler.sample(&sides, options: options, clock: time.clock).summaries[0]
    }
    let samples = try run { $0.maximumSamples = 64; $0.timeCap = .seconds(100) }
    #expect(samples.stop == .sampleCap && samples.count == 64)
    let capped = try run { $0.timeCap = .milliseconds(10) }
    #expect(capped.stop == .timeCap)
    // 10 ms of samples that take 200 µs on average.
    #expect((40...60).contains(capped.count))
    #expect(capped.intervalNanoseconds.contains(capped.medianNanoseconds))
    #expect(capped.minimumNanoseconds <= capped.intervalNanoseconds.lowerBound)
  }

  @Test func disturbedRoundsAreDroppedWhole() throws {
    let time = FakeTime()
    // Every fourth run of B is preempted and takes ten times as long.
    var sides = [
      time.side("A") { _ in 100_000 },
      time.side("B") { i in
        guard i % 4 == 3 else { return 200_000 }
        time.lostNanoseconds += 1_000_000
        return 2_000_000
      },
    ]
    let (summaries, rounds) = try Sampler.sample(&sides, options: SamplingOptions(), clock: time.clock)
    #expect(rounds.allSatisfy { $0 == [100_000, 200_000] })
    #expect(summaries.map(\.count) == [rounds.count, rounds.count])
    #expect(summaries[0].dropped >= 2 && summaries[0].dropped == summaries[1].dropped)
    #expect(summaries[1].medianNanoseconds == 200_000)
  }

  @Test func sidesTakeTurns() throws {
    let time = FakeTime()
    var sides = [time.side("A") { _ in 100_000 }, time.side("B") { _ in 100_000 }]
    _ = try Sampler.sample(&sides, options: SamplingOptions(), clock: time.clock)
    // After each side's warm-up and calibration, one sample of each in turn.
    let sampled = time.log.suffix(22)
    #expect(Array(sampled) == (0..<22).map { $0 % 2 == 0 ? "A" : "B" })
  }

  @Test func runsAreNumberedInTurn() throws {
    let time = FakeTime()
    var numbers: [Int] = []
    var sides = [time.side { i in numbers.append(i); return 30_000 }]
    _ = try Sampler.sample(&sides, options: SamplingOptions(), clock: time.clock)
    #expect(numbers == Array(0..<numbers.count), "cold copies are rotated over by this number")
  }

  @Test func alwaysDisturbedIsAnError() throws {
    let time = FakeTime()
    let side = time.side { i in time.lostNanoseconds += 1_000_000; return 100_000 }
    var sides = [side]
    var options = SamplingOptions()
    options.timeCap = .milliseconds(20)
    let error = #expect(throws: MeasureError.self) { try Sampler.sample(&sides, options: options, clock: time.clock) }
    #expect(error?.code == .tooManyDropped && error?.exitStatus == .unavailable)
  }

  @Test func aBusyMachineGetsMoreTime() throws {
    let time = FakeTime()
    // One run in a hundred is left alone: in the cap of 20 ms there are two of them.
    var sides = [time.side { i in time.lostNanoseconds += i % 100 == 0 ? 0 : 1_000_000; return 100_000 }]
    var options = SamplingOptions()
    options.timeCap = .milliseconds(20)
    let summary = try Sampler.sample(&sides, options: options, clock: time.clock).summaries[0]
    #expect(summary.count == 3 && summary.stop == .timeCap)
    #expect((290...310).contains(summary.dropped))
  }

  @Test func cancellingEndsIt() throws {
    let time = FakeTime()
    var sides = [time.side { i in UInt64(100_000 + i * 5_000) }]
    var asked = 0
    do {
      _ = try Sampler.sample(&sides, options: SamplingOptions(), clock: time.clock) {
        asked += 1
        return asked > 5
      }
      Issue.record("cancelled sampling gave a number")
    } catch {
      #expect(error.code == .interrupted)
    }
  }
}
