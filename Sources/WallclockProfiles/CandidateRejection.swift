import WallclockCore

/// Why a candidate Schedule is not considered for a Problem.
public enum CandidateOutcome: Hashable, Sendable, Codable {
  /// The kernel does not take these knobs or this shape.
  case illegal
  /// The process that ran it died of `signal`; 0 when it left, or answered nonsense, without one.
  case crashed(signal: Int)
  /// It had not come to an end after so many seconds.
  case timedOut(seconds: Double)
  /// It asked for more memory than the Problem can need; the limit was this many bytes.
  case outOfMemory(limitBytes: Int)
  /// Its worst error is this multiple of the tolerance; infinite where a number is missing.
  case wrongResult(worstErrorOverTolerance: Double)
  /// It was stopped as a loser: it takes this many times as long as the best so far.
  case slow(timesTheBest: Double)
  /// Neither this host nor this build can run it, or its kernel failed too often to be tried again.
  case unavailable

  /// The class, as `tune` prints it and the journal keeps it.
  public var name: String {
    switch self {
    case .illegal: "illegal"
    case .crashed: "crashed"
    case .timedOut: "timedOut"
    case .outOfMemory: "outOfMemory"
    case .wrongResult: "wrongResult"
    case .slow: "slow"
    case .unavailable: "unavailable"
    }
  }

  /// What it is qualified by: a signal, seconds, bytes, an error, a ratio.
  public var figure: Double? {
    switch self {
    case .illegal, .unavailable: nil
    case .crashed(let signal): Double(signal)
    case .timedOut(let seconds): seconds
    case .outOfMemory(let bytes): Double(bytes)
    case .wrongResult(let error): error
    case .slow(let ratio): ratio
    }
  }

  /// The inverse of `name` and `figure`; nil when they are of no outcome.
  public init?(name: String, figure: Double?) {
    switch (name, figure) {
    case ("illegal", nil): self = .illegal
    case ("unavailable", nil): self = .unavailable
    case ("crashed", let figure?):
      guard let signal = Int(exactly: figure), (0...127).contains(signal) else { return nil }
      self = .crashed(signal: signal)
    case ("outOfMemory", let figure?):
      guard let bytes = Int(exactly: figure), bytes >= 0 else { return nil }
      self = .outOfMemory(limitBytes: bytes)
    case ("timedOut", let figure?) where figure >= 0: self = .timedOut(seconds: figure)
    case ("wrongResult", let figure?) where figure >= 0: self = .wrongResult(worstErrorOverTolerance: figure)
    case ("slow", let figure?) where figure >= 0: self = .slow(timesTheBest: figure)
    default: return nil
    }
  }

  /// Whether the candidate itself is at fault: it would harm the process that runs it, or whoever
  /// believes its result.
  public var isFault: Bool {
    switch self {
    case .crashed, .timedOut, .outOfMemory, .wrongResult: true
    case .illegal, .slow, .unavailable: false
    }
  }
}

/// A candidate that was tried and left out, with the reason for people.
public struct CandidateRejection: Hashable, Sendable, Codable {
  public var problem: Problem
  public var schedule: Schedule
  public var outcome: CandidateOutcome
  public var reason: String

  public init(problem: Problem, schedule: Schedule, outcome: CandidateOutcome, reason: String) {
    self.problem = problem
    self.schedule = schedule
    self.outcome = outcome
    self.reason = reason
  }
}
