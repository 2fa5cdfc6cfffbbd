import Foundation
import WallclockCore

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// Tuning results in the T4 auto-tuning results format, version 1.0.0, as Kernel Tuner writes it
/// (kernel_tuner/schema/T4/1.0.0/results-schema.json): one entry per Schedule measured, winners and
/// losers, and those rejected with T4's class of reason, for tools that analyse tuning runs. Times are in
/// milliseconds.
///
/// T4 has one kernel per file and a Profile many Problems, so the Problem is part of the configuration.
public struct T4Results: Encodable, Sendable {
  /// A knob's value, or what else a configuration names.
  enum Value: Encodable {
    case text(String)
    case number(Double)
    case count(Int)

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .text(let text): try container.encode(text)
      case .number(let number): try container.encode(number)
      case .count(let count): try container.encode(count)
      }
    }
  }

  struct MeasuredValue: Encodable {
    var name: String
    var value: Value
    var unit: String
  }

  struct Times: Encodable {
    /// Of one run; the journal keeps the median of the samples.
    var runtimes: [Double]
  }

  struct Result: Encodable {
    var timestamp: String
    var configuration: [String: Value]
    var objectives = ["time"]
    var times: Times
    var invalidity = "correct"
    /// 1 when the output passed its check, else 0.
    var correctness = 1.0
    var measurements: [MeasuredValue]
  }

  enum CodingKeys: String, CodingKey {
    case schemaVersion = "schema_version"
    case results
  }

  let schemaVersion = "1.0.0"
  let results: [Result]

  /// - Parameters:
  ///   - profile: with its alternatives.
  ///   - timed: what searches timed beside them, which is most of a tune.
  ///   - rejections: what was tried and left out; what the host cannot run at all was not tried.
  ///   - isWanted: which Problems at which thread counts.
  public init(
    _ profile: Profile, timed: [TimedField] = [], rejections: [CandidateRejection] = [],
    where isWanted: (Problem, Int) -> Bool = { _, _ in true }
  ) {
    let all = (profile.measurements + (profile.alternatives ?? []))
      .filter { isWanted($0.problem, $0.schedule.threads) }
    results =
      all.map { Self.result($0, timestamp: profile.updatedAt) }
      + Self.results(timed, beside: all, timestamp: profile.updatedAt)
      + rejections.filter { isWanted($0.problem, $0.schedule.threads) }
      .compactMap { Self.result($0, timestamp: profile.updatedAt) }
  }

  public func write(to url: URL) throws(ProfileError) {
    try DurableFile.write(CanonicalJSON.encode(self, noun: "T4 results"), to: url)
  }

  private static func configuration(_ problem: Problem, _ schedule: Schedule) -> [String: Value] {
    var configuration: [String: Value] = [
      "problem": .text("\(problem)"), "kernel": .text(schedule.kernel), "threads": .count(schedule.threads),
      "backend": .text("\(schedule.backend)"), "placement": .text("\(schedule.placement)"),
    ]
    for (knob, value) in schedule.knobs { configuration[knob.rawValue] = .count(value) }
    return configuration
  }

  /// Of the timed Schedules that have no measurement of their own: their times follow from the reference's.
  private static func results(_ fields: [TimedField], beside all: [Measurement], timestamp: String) -> [Result] {
    let measured = Dictionary(grouping: all) { "\($0.problem)" }
    return fields.flatMap { field -> [Result] in
      let known = measured[field.problem] ?? []
      guard let reference = known.first(where: { $0.schedule == field.reference }) else { return [] }
      return field.schedules.filter { timed in !known.contains { $0.schedule == timed.schedule } }.map { timed in
        let milliseconds = timed.ratio * reference.samples.medianNanoseconds / 1e6
        return Result(
          timestamp: timestamp, configuration: configuration(reference.problem, timed.schedule),
          times: Times(runtimes: [milliseconds]),
          measurements: [
            MeasuredValue(name: "time", value: .number(milliseconds), unit: "ms"),
            MeasuredValue(name: "time_over_reference", value: .number(timed.ratio), unit: ""),
          ])
      }
    }
  }

  private static func result(_ rejection: CandidateRejection, timestamp: String) -> Result? {
    let invalidity: String
    switch rejection.outcome {
    case .illegal: invalidity = "constraints"
    case .crashed, .outOfMemory: invalidity = "runtime"
    case .timedOut, .slow: invalidity = "timeout"
    case .wrongResult: invalidity = "correctness"
    case .unavailable: return nil
    }
    // A loser that was stopped had passed its check.
    var isCorrect = false
    if case .slow = rejection.outcome { isCorrect = true }
    return Result(
      timestamp: timestamp, configuration: configuration(rejection.problem, rejection.schedule),
      times: Times(runtimes: []), invalidity: invalidity, correctness: isCorrect ? 1 : 0,
      measurements: [
        MeasuredValue(name: "outcome", value: .text(rejection.outcome.name), unit: ""),
        MeasuredValue(name: "reason", value: .text(rejection.reason), unit: ""),
      ])
  }

  private static func result(_ measurement: Measurement, timestamp: String) -> Result {
    let schedule = measurement.schedule, samples = measurement.samples
    func milliseconds(_ name: String, _ nanoseconds: Double) -> MeasuredValue {
      MeasuredValue(name: name, value: .number(nanoseconds / 1e6), unit: "ms")
    }
    return Result(
      timestamp: timestamp, configuration: configuration(measurement.problem, schedule),
      times: Times(runtimes: [samples.medianNanoseconds / 1e6]),
      measurements: [
        milliseconds("time", samples.medianNanoseconds),
        milliseconds("time_lower", samples.intervalNanoseconds.lowerBound),
        milliseconds("time_upper", samples.intervalNanoseconds.upperBound),
        milliseconds("time_minimum", samples.minimumNanoseconds),
        MeasuredValue(name: "samples", value: .count(samples.count), unit: ""),
        MeasuredValue(name: "dropped", value: .count(samples.dropped), unit: ""),
        MeasuredValue(name: "operations_per_second", value: .number(measurement.itemsPerSecond), unit: "1/s"),
        MeasuredValue(
          name: "error_over_tolerance", value: .number(measurement.check.worstErrorOverTolerance), unit: ""),
      ])
  }
}
