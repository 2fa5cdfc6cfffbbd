import WallclockCore
import WallclockProfiles

/// What is known to fail on this machine with this build, and what follows from it.
struct RejectionRecord {
  private struct Key: Hashable {
    var problem: Problem
    var schedule: Schedule
  }

  /// A kernel that broke the worker so often is not tried again: each time costs a worker, or the patience
  /// of a time limit.
  static let mostFailures = 3

  private let session: TuneSession?
  private let build: String
  private var known: Set<Key> = []
  /// Candidates of a kernel that crashed or took all memory.
  private var crashes: [String: Int] = [:]
  /// The work of Problems on which a kernel's candidates did not come to an end.
  private var timeouts: [String: [Double]] = [:]

  /// - Parameter session: where rejections are kept; nil keeps them here only.
  init(session: TuneSession?, build: String) {
    self.session = session
    self.build = build
  }

  /// Takes over what earlier runs recorded, and returns it.
  mutating func load() throws -> [CandidateRejection] {
    let recorded = try session?.rejections(build: build) ?? []
    for rejection in recorded { take(rejection) }
    return recorded
  }

  mutating func add(_ rejection: CandidateRejection) throws {
    try session?.record(rejection, build: build)
    take(rejection)
  }

  private mutating func take(_ rejection: CandidateRejection) {
    guard known.insert(Key(problem: rejection.problem, schedule: rejection.schedule)).inserted else { return }
    let kernel = rejection.schedule.kernel
    switch rejection.outcome {
    case .crashed, .outOfMemory: crashes[kernel, default: 0] += 1
    case .timedOut: timeouts[kernel, default: []].append(Self.work(rejection.problem))
    case .illegal, .wrongResult, .slow, .unavailable: break
    }
  }

  func contains(_ schedule: Schedule, for problem: Problem) -> Bool {
    known.contains(Key(problem: problem, schedule: schedule))
  }

  /// Why a candidate that was never tried is better not: its kernel crashed too often, or did not come to an
  /// end too often, on Problems no larger than this one. nil when nothing speaks against it.
  func reasonToAvoid(_ schedule: Schedule, for problem: Problem) -> String? {
    let kernel = schedule.kernel
    let crashed = crashes[kernel, default: 0]
    if crashed >= Self.mostFailures {
      return "\(kernel) crashed or ran out of memory with \(crashed) other candidates"
    }
    let hung = timeouts[kernel, default: []]
    if hung.count >= Self.mostFailures, let least = hung.min(), least <= Self.work(problem) {
      return "\(kernel) did not come to an end with \(hung.count) other candidates, the smallest no larger than this"
    }
    return nil
  }

  private static func work(_ problem: Problem) -> Double { problem.operations + problem.bytes }
}
