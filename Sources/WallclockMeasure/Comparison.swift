import WallclockCore
import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// Two ways of doing the same, timed in turn in one run.
public struct Comparison: Sendable, Codable {
  /// Time of A over time of B: above 1, B is faster.
  public var ratio: Double
  /// The 95 % interval of the median of the paired ratios.
  public var interval: ClosedRange<Double>
  /// Whether the interval lies beyond the noise floor on one side of 1.
  public var significant: Bool
  /// Pairs that count.
  public var samples: Int
  /// Whether B may take A's place: it is faster beyond doubt and noise.
  public var favoursB: Bool { significant && ratio > 1 }
  public var a: SampleSummary
  public var b: SampleSummary

  /// - Parameters:
  ///   - rounds: paired samples `[a, b]`, in the order taken.
  ///   - noiseFloor: the relative difference that identical sides were seen to show on this host.
  package init(rounds: [[Double]], summaries: [SampleSummary], noiseFloor: Double) {
    let ratios = rounds.map { $0[0] / $0[1] }.sorted()
    ratio = OrderStatistics.median(sorted: ratios)
    interval = OrderStatistics.medianInterval(sorted: ratios)
    // Fewer than six pairs give no 95 % interval at all.
    significant =
      rounds.count >= 6
      && (interval.lowerBound > 1 + noiseFloor || interval.upperBound < 1 / (1 + noiseFloor))
    samples = rounds.count
    a = summaries[0]
    b = summaries[1]
  }
}

/// Runs a pair of prepared Problems in turn.
public enum InterleavedComparison {
  public static func run(
    _ a: any PreparedProblem, on executorA: any Executor, _ b: any PreparedProblem,
    on executorB: any Executor, noiseFloor: Double, options: SamplingOptions,
    isCancelled: () -> Bool = { false }
  ) throws(MeasureError) -> Comparison {
    var sides = [
      TimedSide(a, on: executorA), TimedSide(b, on: executorB),
    ]
    let (summaries, rounds) = try Sampler.sample(&sides, options: options, isCancelled: isCancelled)
    return Comparison(rounds: rounds, summaries: summaries, noiseFloor: noiseFloor)
  }
}
