import WallclockCore

/// How far a cost model's predictions were from measurements it had not seen (leave-one-out).
public struct ModelError: Hashable, Sendable, Codable {
  /// Relative errors `|predicted − measured| / measured`.
  public var median: Double
  public var percentile95: Double
  public var worst: Double
  /// Measurements left out, one at a time.
  public var count: Int

  public init(median: Double, percentile95: Double, worst: Double, count: Int) {
    self.median = median
    self.percentile95 = percentile95
    self.worst = worst
    self.count = count
  }
}

/// What is known of one machine's speed: its fingerprint, its ceilings and its Measurements.
///
/// The JSON form is canonical (`profiles/schema/profile-v1.json`); see `encoded()` and `read(from:)`.
public struct Profile: Hashable, Sendable, Codable {
  /// The version this program writes, and the newest it reads.
  public static let currentSchemaVersion = 1

  public var schemaVersion: Int
  public var name: String
  /// ISO 8601, UTC.
  public var createdAt: String
  public var updatedAt: String
  /// The command that made it.
  public var command: String
  public var wallclockVersion: String
  public var fingerprint: Fingerprint
  public var conditions: Conditions
  public var ceilings: [Ceiling]
  /// The fastest known Schedule of each (Problem, threads); at most one of each.
  public var measurements: [Measurement]
  /// The Schedules that lost, where they were kept.
  public var alternatives: [Measurement]?
  /// What plug-in backends take for what is measured here, to compare with; nothing is run by them.
  public var baselines: [Measurement]?
  /// Relative difference that two runs of one Schedule show (A/A); nil when not measured.
  public var noiseFloor: Double?
  public var modelError: ModelError?

  public init(
    name: String, createdAt: String, updatedAt: String? = nil, command: String,
    wallclockVersion: String, fingerprint: Fingerprint, conditions: Conditions,
    ceilings: [Ceiling], measurements: [Measurement], alternatives: [Measurement]? = nil,
    baselines: [Measurement]? = nil, noiseFloor: Double? = nil, modelError: ModelError? = nil
  ) {
    schemaVersion = Self.currentSchemaVersion
    self.name = name
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
    self.command = command
    self.wallclockVersion = wallclockVersion
    self.fingerprint = fingerprint
    self.conditions = conditions
    self.ceilings = ceilings
    self.measurements = measurements
    self.alternatives = alternatives
    self.baselines = baselines
    self.noiseFloor = noiseFloor
    self.modelError = modelError
  }

  /// The winning Measurement of `problem` at `threads`; linear in the number of measurements.
  public func measurement(of problem: Problem, threads: Int) -> Measurement? {
    measurements.first { $0.problem == problem && $0.schedule.threads == threads }
  }

  /// The thread counts that anything was measured at, ascending.
  public var threadCounts: [Int] { Set(measurements.map(\.schedule.threads)).sorted() }

  /// Refuses a profile that is true for another machine.
  ///
  /// - Throws: `ProfileError.otherMachine`, naming each differing field with both values.
  public func validate(against host: Fingerprint) throws(ProfileError) {
    let differences = fingerprint.differences(to: host)
    guard !differences.isEmpty else { return }
    throw ProfileError(
      .otherMachine,
      "profile \"\(name)\" is of another machine: \(differences.joined(separator: "; ")). "
        + "Run `wallclock tune` on this one, or plan for the other with `plan --profile`")
  }
}

extension Profile {
  /// Sizes above this are taken for damage: no operand is so large, and products of two stay in `Int`.
  static let largestSize = 1 << 28
  static let mostThreads = 1 << 16

  /// Checks every number that arithmetic is done with later.
  ///
  /// - Throws: `ProfileError.invalid`, naming the entry and what it should be.
  public func checked() throws(ProfileError) -> Profile {
    func require(_ holds: Bool, _ what: @autoclosure () -> String) throws(ProfileError) {
      if !holds {
        throw ProfileError(.invalid, "profile \"\(name)\": \(what()); tune again or restore the file")
      }
    }
    func requirePositive(_ value: Double, _ what: @autoclosure () -> String) throws(ProfileError) {
      try require(value.isFinite && value > 0, "\(what()) is \(value), expected a finite number above 0")
    }
    func requireNotNegative(_ value: Double, _ what: @autoclosure () -> String) throws(ProfileError) {
      try require(value.isFinite && value >= 0, "\(what()) is \(value), expected a finite number ≥ 0")
    }
    func check(_ ceilings: [Ceiling], in place: String) throws(ProfileError) {
      for ceiling in ceilings {
        let what = "ceiling \(ceiling.name) at \(ceiling.threads) threads in \(place)"
        try requirePositive(ceiling.value, what)
        try requireNotNegative(ceiling.spread, "spread of " + what)
        try require((1...Self.mostThreads).contains(ceiling.threads), "\(what): impossible thread count")
      }
    }
    func check(_ conditions: Conditions, in place: String) throws(ProfileError) {
      try requireNotNegative(conditions.loadAverage, "load average in \(place)")
      try requireNotNegative(conditions.steal, "steal in \(place)")
    }

    try require(
      !name.isEmpty && name.utf8.count <= 200, "the name has \(name.utf8.count) bytes, expected 1 … 200")
    try fingerprint.check(require)
    try check(conditions, in: "the profile")
    try check(ceilings, in: "the profile")
    if let noiseFloor { try requireNotNegative(noiseFloor, "noiseFloor") }
    if let modelError {
      for value in [modelError.median, modelError.percentile95, modelError.worst] {
        try requireNotNegative(value, "modelError")
      }
      try require(modelError.count >= 0, "modelError.count is \(modelError.count)")
    }

    var winners: Set<WinnerKey> = []
    for (isWinner, measurement) in measurements.map({ (true, $0) })
      + ((alternatives ?? []) + (baselines ?? [])).map({ (false, $0) })
    {
      let place = "measurement of \(measurement.problem)"
      for (dimension, size) in measurement.problem.shape.sizes {
        try require(
          (0...Self.largestSize).contains(size),
          "\(place): \(dimension.rawValue) is \(size), expected 0 … \(Self.largestSize)")
      }
      let threads = measurement.schedule.threads
      try require((1...Self.mostThreads).contains(threads), "\(place): \(threads) threads")
      try require(
        measurement.schedule.knobs.values.allSatisfy { $0 >= 0 },
        "\(place): a negative knob in \(measurement.schedule)")
      let samples = measurement.samples
      try requirePositive(samples.medianNanoseconds, "\(place): medianNanoseconds")
      try requirePositive(samples.minimumNanoseconds, "\(place): minimumNanoseconds")
      try requireNotNegative(samples.intervalNanoseconds.lowerBound, "\(place): intervalNanoseconds")
      try require(
        samples.intervalNanoseconds.upperBound.isFinite, "\(place): intervalNanoseconds is not finite")
      try require(
        samples.intervalNanoseconds.contains(samples.medianNanoseconds),
        "\(place): median \(samples.medianNanoseconds) is outside its interval \(samples.intervalNanoseconds)"
      )
      try require(
        samples.count >= 1 && samples.dropped >= 0,
        "\(place): \(samples.count) samples, \(samples.dropped) dropped")
      try requireNotNegative(measurement.check.worstErrorOverTolerance, "\(place): check")
      try require(
        measurement.check.passed,
        "\(place): its output was wrong (\(measurement.check.worstErrorOverTolerance)× the tolerance), "
          + "and a wrong kernel has no speed")
      if let comparison = measurement.comparison {
        try requirePositive(comparison.ratio, "\(place): ratio of its comparison")
        try requireNotNegative(comparison.interval.lowerBound, "\(place): interval of its comparison")
        try require(comparison.interval.upperBound.isFinite, "\(place): interval of its comparison is not finite")
      }
      try check(measurement.conditions, in: place)
      try check(measurement.ceilings, in: place)
      if isWinner {
        try require(
          measurement.schedule.backend.plugin == nil,
          "\(place) at \(threads) threads is of the plug-in \(measurement.schedule.backend), which belongs to the baselines")
        try require(
          winners.insert(WinnerKey(problem: measurement.problem, threads: threads)).inserted,
          "\(place) at \(threads) threads is there twice")
      }
    }
    return self
  }

  private struct WinnerKey: Hashable {
    var problem: Problem
    var threads: Int
  }
}
