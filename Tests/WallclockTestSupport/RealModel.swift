import Foundation
import Testing

/// The real model that `scripts/fetch-model` put into the cache.
package enum RealModel {
  /// Its directory. Where it is absent the test is cancelled, visibly; in continuous integration
  /// (`CI` set) it fails.
  package static func directory() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    let cache =
      environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? (environment["HOME"] ?? "")
      + "/.cache"
    let directory = "\(cache)/wallclock/models/all-MiniLM-L6-v2"
    if FileManager.default.fileExists(atPath: "\(directory)/model.safetensors") { return directory }
    if environment["CI"]?.isEmpty == false { throw Absent(directory: directory) }
    try Test.cancel("all-MiniLM-L6-v2 is not in \(directory); run scripts/fetch-model")
  }

  struct Absent: Error, CustomStringConvertible {
    let directory: String
    var description: String { "all-MiniLM-L6-v2 is not in \(directory); run scripts/fetch-model first" }
  }
}
