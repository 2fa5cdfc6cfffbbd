import WallclockCore

/// Two profiles, compared: what one measured of a thing against what the other did.
public struct ProfileDiff: Hashable, Sendable, Codable {
  public struct Entry: Hashable, Sendable, Codable {
    /// A ceiling's name, or a Problem.
    public var subject: String
    public var threads: Int
    /// Speed of the second over speed of the first: above 1, the second is faster.
    public var ratio: Double
    public var isCeiling: Bool
  }

  /// Fingerprint fields that differ, each with both values.
  public var machine: [String]
  public var entries: [Entry]
  /// Problems and ceilings that only the first, or only the second, has.
  public var onlyInFirst: [String]
  public var onlyInSecond: [String]

  public init(_ first: Profile, _ second: Profile) {
    machine = first.fingerprint.differences(to: second.fingerprint)
    struct Key: Hashable, Comparable {
      var isCeiling: Bool
      var subject: String
      var threads: Int
      static func < (a: Key, b: Key) -> Bool {
        (a.isCeiling ? 0 : 1, a.subject, a.threads) < (b.isCeiling ? 0 : 1, b.subject, b.threads)
      }
      var label: String { "\(subject) at \(threads) threads" }
    }
    /// Speeds, in units that only need to agree between the two profiles.
    func speeds(_ profile: Profile) -> [Key: Double] {
      var result: [Key: Double] = [:]
      for ceiling in profile.ceilings {
        result[Key(isCeiling: true, subject: ceiling.name, threads: ceiling.threads)] = ceiling.value
      }
      for measurement in profile.measurements {
        let key = Key(
          isCeiling: false, subject: measurement.problem.description, threads: measurement.schedule.threads)
        result[key] = 1 / measurement.samples.medianNanoseconds
      }
      return result
    }
    let (a, b) = (speeds(first), speeds(second))
    entries = a.keys.filter { b[$0] != nil }.sorted().map {
      Entry(subject: $0.subject, threads: $0.threads, ratio: b[$0]! / a[$0]!, isCeiling: $0.isCeiling)
    }
    onlyInFirst = a.keys.filter { b[$0] == nil }.sorted().map(\.label)
    onlyInSecond = b.keys.filter { a[$0] == nil }.sorted().map(\.label)
  }
}
