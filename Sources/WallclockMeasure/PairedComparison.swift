import WallclockCore
import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// One of the two that are compared: something that gives a sample when asked.
package protocol ComparedSide: AnyObject {
  /// Warms up and sets how much one sample holds; returns its nanoseconds, roughly.
  func warmUp(minimum: Duration, _ clock: SampleClock) throws(MeasureError) -> Double
  func sample(_ clock: SampleClock) throws(MeasureError) -> TimedSample
}

/// Where the other side of a comparison runs.
package enum OtherSide {
  case sameThreads
  /// In a process with threads of its own, which takes its samples by the same rules: ours may fall asleep meanwhile.
  case otherThreads
  /// A program that speaks the sample protocol: a sample is all its work done back to back, long enough for what waking costs
  /// to vanish. Ours is taken likewise.
  case program
}

/// A side that runs in this process.
package final class InProcessSide: ComparedSide {
  private var side: TimedSide
  private let isHot: Bool
  private let other: OtherSide
  private var leadsIn = false

  /// - Parameter isHot: whether its operands belong in the cache, which the other side may have used.
  package init(_ side: TimedSide, isHot: Bool, beside other: OtherSide = .sameThreads) {
    self.side = side
    self.isHot = isHot
    self.other = other
  }

  package convenience init(
    _ prepared: any PreparedProblem, on executor: any Executor, countedBy counter: RunCounter,
    beside other: OtherSide = .sameThreads, then extra: (() -> Void)? = nil
  ) {
    self.init(
      TimedSide(prepared, on: executor, countedBy: counter, backToBack: other == .program, then: extra),
      isHot: prepared.problem.state == .hot, beside: other)
  }

  /// Of a sample beside a program's.
  private static let leastBesideProgram = Duration.microseconds(300)

  package func warmUp(minimum: Duration, _ clock: SampleClock) -> Double {
    let nanoseconds = side.calibrate(minimum: other == .program ? max(minimum, Self.leastBesideProgram) : minimum, clock)
    // Refilling a private cache takes some ten microseconds: nothing to a sample of a millisecond.
    // Waking threads takes as long, and shows in the accounts as waits for a CPU.
    leadsIn = isHot && nanoseconds < 1e6 || other != .sameThreads && nanoseconds < 1e7
    return nanoseconds
  }

  package func sample(_ clock: SampleClock) -> TimedSample {
    if leadsIn { side.leadIn() }
    return side.sample(clock)
  }
}

/// Samples A and B in turn and decides between them.
///
/// What makes identical sides look different is taken away where it can be. Both use the same operands
/// and rotate over the copies together, so that neither finds what the other has just fetched. Samples
/// come in blocks A B B A or B A A B, at random: a drift within a block hits both alike, and what favours
/// the first or the last of a block favours each as often. Hot sides get an untimed run first, which
/// brings their operands back into the cache. A block with a preempted sample is dropped whole. What is
/// left is what the margin is for (see `NoiseFloor`) and, where packed copies lie better by luck, preparing them anew.
public enum PairedComparison {
  /// - Parameters:
  ///   - a, b: two Schedules of one Problem, checked before.
  ///   - isCancelled: asked between blocks.
  /// - Throws: `MeasureError.tooManyDropped` when hardly a block was undisturbed.
  public static func decide(
    _ a: any PreparedProblem, on executorA: any Executor, _ b: any PreparedProblem,
    on executorB: any Executor, rule: DecisionRule, isCancelled: () -> Bool = { false }
  ) throws(MeasureError) -> Decision {
    let counter = RunCounter()
    return try decide(
      InProcessSide(a, on: executorA, countedBy: counter), InProcessSide(b, on: executorB, countedBy: counter),
      rule: rule, clock: .system(watching: [executorA, executorB]), isCancelled: isCancelled)
  }

  /// May B take A's place? When B comes out better, it has to do so once more on operands laid out anew:
  /// a candidate whose packed copies only happened to lie better does not win twice.
  ///
  /// - Parameters:
  ///   - sides: gives A and B; called again before the second decision.
  /// - Returns: the decision that was the last word.
  package static func decideReplacement(
    rule: DecisionRule, clock: SampleClock, isCancelled: () -> Bool = { false },
    sides: () throws -> (any ComparedSide, any ComparedSide)
  ) throws -> Decision {
    let (a, b) = try sides()
    let first = try decide(a, b, rule: rule, clock: clock, isCancelled: isCancelled)
    guard first.outcome == .better else { return first }
    let (again, other) = try sides()
    return try decide(again, other, rule: rule, clock: clock, isCancelled: isCancelled)
  }

  /// Samples of this length and more are taken in single pairs, in random order: a block of four would
  /// use up the time, and what happens at a change of sides is small beside them.
  private static let longSampleNanoseconds = 2e6

  package static func decide(
    _ a: any ComparedSide, _ b: any ComparedSide, rule: DecisionRule, clock: SampleClock,
    random: () -> Bool = { Bool.random() }, isCancelled: () -> Bool = { false }
  ) throws(MeasureError) -> Decision {
    let pace = max(
      try a.warmUp(minimum: rule.minimumSampleDuration, clock), try b.warmUp(minimum: rule.minimumSampleDuration, clock))
    let pairsPerBlock = pace < longSampleNanoseconds ? 2 : 1
    var decision = SequentialDecision(rule)
    var times: (a: [Double], b: [Double]) = ([], [])
    var dropped = 0
    let start = clock.nanoseconds()
    let cap = UInt64(max(0, rule.timeCap / .nanoseconds(1)))
    var stop = Decision.Stop.pairCap
    while times.a.count + dropped < rule.maximumPairs {
      if isCancelled() { throw MeasureError(.interrupted, "interrupted while comparing") }
      let block = try sampleBlock(a, b, pairs: pairsPerBlock, aFirst: random(), clock)
      if let block {
        times.a += block.a
        times.b += block.b
        decision.append(zip(block.a, block.b).reduce(0) { $0 + log($1.0 / $1.1) } / Double(pairsPerBlock))
        if let reason = decision.stop {
          stop = reason
          break
        }
      } else {
        dropped += pairsPerBlock
      }
      if clock.nanoseconds() - start > cap, times.a.count + dropped >= 3 * pairsPerBlock {
        stop = .timeCap
        break
      }
    }
    // The marks are not perfect: where nearly everything was disturbed, what is left is suspect too.
    guard times.a.count >= 3, dropped <= 9 * times.a.count else {
      throw MeasureError(
        .tooManyDropped,
        "\(dropped) of \(times.a.count + dropped) pairs of samples were preempted; quieten the machine and run again")
    }
    return Decision(
      outcome: decision.outcome, ratio: decision.ratio, interval: decision.interval,
      confidence: 1 - 2 * rule.errorRate, margin: rule.margin, pairs: times.a.count, droppedPairs: dropped,
      stop: stop, a: summary(times.a, dropped, stop), b: summary(times.b, dropped, stop))
  }

  /// One block, A's and B's samples pair by pair; nil when one of them was disturbed.
  private static func sampleBlock(
    _ a: any ComparedSide, _ b: any ComparedSide, pairs: Int, aFirst: Bool, _ clock: SampleClock
  ) throws(MeasureError) -> (a: [Double], b: [Double])? {
    var block: (a: [Double], b: [Double]) = ([], [])
    var isDisturbed = false
    for pair in 0..<pairs {
      // A B, then B A.
      for turn in 0..<2 {
        let isA = aFirst == ((pair + turn) % 2 == 0)
        let sample = try (isA ? a : b).sample(clock)
        isDisturbed = isDisturbed || sample.isDisturbed
        if isA { block.a.append(sample.nanoseconds) } else { block.b.append(sample.nanoseconds) }
      }
    }
    return isDisturbed ? nil : block
  }

  private static func summary(_ times: [Double], _ dropped: Int, _ stop: Decision.Stop) -> SampleSummary {
    let sorted = times.sorted()
    return SampleSummary(
      medianNanoseconds: OrderStatistics.median(sorted: sorted),
      intervalNanoseconds: OrderStatistics.medianInterval(sorted: sorted), minimumNanoseconds: sorted[0],
      count: sorted.count, dropped: dropped,
      stop: stop == .timeCap ? .timeCap : stop == .pairCap ? .sampleCap : .converged)
  }
}
