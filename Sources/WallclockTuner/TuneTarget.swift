import WallclockCore

/// A Problem to settle at a thread count.
public struct TuneTarget: Hashable, Sendable, Codable {
  public var problem: Problem
  public var threads: Int

  public init(_ problem: Problem, threads: Int) {
    self.problem = problem
    self.threads = threads
  }

  /// What neighbours in M share: a Schedule found at one M is tried first at the next.
  var family: Family {
    var shape = problem.shape
    for dimension in [Dimension.m, .rows, .batch] { shape[dimension] = 1 }
    return Family(
      op: problem.op, format: problem.format, shape: shape, epilogue: problem.epilogue,
      mask: problem.mask, threads: threads)
  }

  struct Family: Hashable {
    var op: Op
    var format: Format
    var shape: Shape
    var epilogue: Epilogue
    var mask: Mask
    var threads: Int
  }

  /// Arithmetic of the Problem per thread: how long a run roughly takes, for ordering and budgets.
  var work: Double { (problem.operations + problem.bytes) / Double(max(1, threads)) }
}

/// How thoroughly to tune.
public struct TuneEffort: Sendable, Codable {
  /// Time for everything; targets left when it is used up are measured with their likeliest Schedule.
  public var budget: Duration
  /// Schedules to try in all targets together; then, too, the likeliest one is measured.
  public var evaluations = Int.max
  /// The part of the budget after which targets are settled with no more candidates than that takes.
  public var settlingShare = 1.0
  /// Time for the samples of a settled Schedule.
  public var samplingCap: Duration
  /// Candidates per target at most, the standard Schedule included, before any search.
  public var maximumCandidates: Int
  /// How whole knob spaces are searched once all targets are settled; not at all where nil.
  public var search: SearchMethod?
  /// Schedules that one search may evaluate.
  public var maximumEvaluations: Int

  public init(
    budget: Duration, samplingCap: Duration, maximumCandidates: Int, search: SearchMethod? = nil,
    maximumEvaluations: Int = 0
  ) {
    self.budget = budget
    self.samplingCap = samplingCap
    self.maximumCandidates = maximumCandidates
    self.search = search
    self.maximumEvaluations = maximumEvaluations
  }

  /// Under three minutes for a small encoder on two cores.
  public static let quick = TuneEffort(
    budget: .seconds(100), samplingCap: .milliseconds(120), maximumCandidates: 10)

  /// What a full tune takes unless told otherwise.
  public static let fullBudget = Duration.seconds(1200)

  public static func full(budget: Duration = fullBudget) -> TuneEffort {
    var effort = TuneEffort(
      budget: budget, samplingCap: .milliseconds(500), maximumCandidates: 8, search: .analytical,
      maximumEvaluations: 200)
    effort.settlingShare = 0.4
    return effort
  }
}

extension SearchMethod: Codable {
  public init(from decoder: any Decoder) throws {
    let name = try decoder.singleValueContainer().decode(String.self)
    guard let method = Self.named(name) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "\"\(name)\" is no search strategy"))
    }
    self = method
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }
}
