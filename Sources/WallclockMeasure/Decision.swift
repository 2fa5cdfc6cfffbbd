import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// When a comparison of A and B ends, and what it takes to call one of them faster.
public struct DecisionRule: Sendable {
  /// What is asked.
  public enum Question: Sendable {
    /// Which is faster? Ends early when neither is by more than the margin.
    case either
    /// Is B faster, so that it may take A's place? Ends as soon as it cannot be.
    case replacement
  }

  /// The least margin: what is gained below it is not worth changing a default for, and no more than
  /// what placing the same operands elsewhere in memory may change.
  public static let leastMargin = 0.01

  public var question: Question
  /// Relative differences up to this count as none: the noise floor of the host for this state and
  /// number of threads, or `leastMargin`.
  public var margin: Double
  /// The chance to call A faster when it is not (beyond the margin), and the same for B, however
  /// often the samples are looked at.
  public var errorRate = 0.01
  /// Once decided, go on until the interval is within this fraction of the ratio; nil to stop at once.
  public var precision: Double?
  public var timeCap: Duration = .seconds(1)
  public var maximumPairs = 8000
  /// Runs are grouped until a sample takes this long.
  public var minimumSampleDuration: Duration = .microseconds(50)

  public init(_ question: Question, margin: Double = DecisionRule.leastMargin) {
    self.question = question
    self.margin = margin
  }
}

/// What came of comparing A and B, sampled in turn in one run.
public struct Decision: Sendable, Codable {
  /// What can be said of B.
  public enum Outcome: String, Sendable, Codable {
    case better, worse, undecided
  }

  public enum Stop: String, Sendable, Codable {
    /// One is faster by more than the margin.
    case decided
    /// Neither is: the interval lies within the margin on both sides of 1.
    case withinMargin = "within-margin"
    /// Asked for a replacement: B is not faster by more than the margin.
    case noGain = "no-gain"
    case timeCap = "time-cap"
    case pairCap = "pair-cap"
  }

  public var outcome: Outcome
  /// Time of A over time of B, the median over balanced blocks of pairs: above 1, B is faster.
  public var ratio: Double
  /// Holds the true median ratio with `confidence`, whenever the samples were looked at. With too few
  /// blocks for that, the range of what was seen; nothing is decided then.
  public var interval: ClosedRange<Double>
  public var confidence: Double
  public var margin: Double
  /// Pairs that count.
  public var pairs: Int
  /// Pairs dropped because one of their samples, or the other of their block, was preempted.
  public var droppedPairs: Int
  public var stop: Stop
  public var a: SampleSummary
  public var b: SampleSummary

  /// Whether one of the two is faster beyond doubt and margin.
  public var isSignificant: Bool { outcome != .undecided }
}

/// The pure part of a decision: a stream of log ratios in, a verdict out.
package struct SequentialDecision: Sendable {
  package let rule: DecisionRule
  package private(set) var sequence: MedianSequence

  package init(_ rule: DecisionRule) {
    precondition(rule.margin >= 0, "SequentialDecision: margin \(rule.margin)")
    self.rule = rule
    sequence = MedianSequence(errorRate: rule.errorRate)
  }

  /// - Parameter logRatio: log(time of A / time of B) of one balanced block.
  package mutating func append(_ logRatio: Double) { sequence.append(logRatio) }

  private var band: Double { log1p(rule.margin) }

  package var outcome: Decision.Outcome {
    guard let interval = sequence.interval else { return .undecided }
    return interval.lowerBound > band ? .better : interval.upperBound < -band ? .worse : .undecided
  }

  /// Why to stop now; nil to go on.
  package var stop: Decision.Stop? {
    guard let interval = sequence.interval else { return nil }
    if interval.upperBound <= band {
      if interval.lowerBound >= -band { return .withinMargin }
      if rule.question == .replacement { return .noGain }
    }
    guard outcome != .undecided else { return nil }
    if let precision = rule.precision, interval.upperBound - interval.lowerBound > 2 * log1p(precision) {
      return nil
    }
    return .decided
  }

  /// The ratio and its interval, as factors.
  package var ratio: Double { exp(sequence.median) }
  package var interval: ClosedRange<Double> {
    let logs = sequence.interval ?? sequence.sorted[0]...sequence.sorted[sequence.count - 1]
    return exp(logs.lowerBound)...exp(logs.upperBound)
  }
}
