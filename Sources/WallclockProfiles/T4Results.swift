import Foundation
import WallclockCore

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// Tuning results in the T4 auto-tuning results format, version 1.0.0, as Kernel Tuner writes it
/// (kernel_tuner/schema/T4/1.0.0/results-schema.json): one entry per Schedule measured, winners and
/// losers, for tools that analyse tuning runs. Times are in milliseconds.
///
/// T4 has one kernel per file and a Profile many Problems, so the Problem is part of the configuration.
/// Only what passed its check is measured, and so every entry is `correct`.
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
  ///   - profile: with its alternatives, which are most of a tune.
  ///   - isWanted: which Problems at which thread counts.
  public init(_ profile: Profile, where isWanted: (Problem, Int) -> Bool = { _, _ in true }) {
    let all = profile.measurements + (profile.alternatives ?? [])
    results = all.filter { isWanted($0.problem, $0.schedule.threads) }
      .map { Self.result($0, timestamp: profile.updatedAt) }
  }

  public func write(to url: URL) throws(ProfileError) {
    try DurableFile.write(CanonicalJSON.encode(self, noun: "T4 results"), to: url)
  }

  private static func result(_ measurement: Measurement, timestamp: String) -> Result {
    let schedule = measurement.schedule, samples = measurement.samples
    var configuration: [String: Value] = [
      "problem": .text("\(measurement.problem)"), "kernel": .text(schedule.kernel), "threads": .count(schedule.threads),
      "backend": .text(schedule.backend.rawValue), "placement": .text("\(schedule.placement)"),
    ]
    for (knob, value) in schedule.knobs { configuration[knob.rawValue] = .count(value) }
    func milliseconds(_ name: String, _ nanoseconds: Double) -> MeasuredValue {
      MeasuredValue(name: name, value: .number(nanoseconds / 1e6), unit: "ms")
    }
    return Result(
      timestamp: timestamp, configuration: configuration,
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
