import ArgumentParser
import Foundation

/// `90s`, `30m`, `2h`.
struct DurationArgument: ExpressibleByArgument {
  let duration: Duration
  init?(argument: String) {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
    guard let unit = argument.last, let seconds = units[unit], let value = Double(argument.dropLast()),
      value > 0, value * seconds < 1e6
    else { return nil }
    duration = .milliseconds(Int64(value * seconds * 1000))
  }
}

/// Quantities for people.
enum Units {
  static func time(_ nanoseconds: Double) -> String {
    switch nanoseconds {
    case ..<1e3: String(format: "%.0f ns", nanoseconds)
    case ..<1e6: String(format: "%.1f µs", nanoseconds / 1e3)
    case ..<1e9: String(format: "%.2f ms", nanoseconds / 1e6)
    default: String(format: "%.2f s", nanoseconds / 1e9)
    }
  }
}
