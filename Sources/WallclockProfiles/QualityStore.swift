import Foundation
import WallclockCore

/// A loss measured with every weight in one format.
public struct MeasuredQuality: Hashable, Sendable, Codable {
  /// Relative loss, e.g. 1 − mean cosine to the f32 embeddings; ≥ 0.
  public var loss: Double
  /// Metric and data: `mean embedding cosine, 50 sentences`.
  public var source: String

  public init(loss: Double, source: String) {
    self.loss = loss
    self.source = source
  }
}

/// What `verify` measured of the quality of a user's weights, for `plan` to use: a file for each set of
/// weights. It belongs to the weights and not to the machine, so it is no part of a profile.
public struct QualityStore: Sendable {
  /// `quality` in `DataHome.folder()`.
  public let folder: URL

  public init(folder: URL? = nil) throws(ProfileError) {
    if let folder {
      self.folder = folder
    } else {
      self.folder = try DataHome.folder().appending(component: "quality")
    }
  }

  private struct File: Codable {
    static let currentSchemaVersion = 1
    static let largestBytes = 1 << 20
    var schemaVersion: Int
    /// For people.
    var model: String
    /// By format.
    var measured: [String: MeasuredQuality]
  }

  private func url(_ weights: String) -> URL { folder.appending(component: weights + ".json") }

  /// What was measured of the weights with that identity; empty when nothing was. A format that this
  /// version does not know is left out.
  ///
  /// - Throws: `ProfileError` when the file is damaged, newer or cannot be read.
  public func measured(weights: String) throws(ProfileError) -> [Format: MeasuredQuality] {
    try read(weights)?.measured.reduce(into: [:]) { known, entry in
      if let format = Format(entry.key) { known[format] = entry.value }
    } ?? [:]
  }

  private func read(_ weights: String) throws(ProfileError) -> File? {
    let url = url(weights)
    guard FileManager.default.fileExists(atPath: url.path(percentEncoded: false)) else { return nil }
    let source = url.path(percentEncoded: false)
    let data = try DurableFile.read(url, limit: File.largestBytes, noun: "quality file")
    let file = try CanonicalJSON.decode(
      File.self, from: data, noun: "quality file", schemaVersion: File.currentSchemaVersion, source: source)
    for (format, quality) in file.measured where !(quality.loss.isFinite && quality.loss >= 0) {
      throw ProfileError(
        .invalid, "\(source): the loss of \(format) is \(quality.loss), expected a number ≥ 0; delete the file and verify again")
    }
    return file
  }

  /// Adds to what is known of these weights; a format measured before is replaced.
  public func record(_ measured: [Format: MeasuredQuality], weights: String, model: String) throws(ProfileError) {
    guard !measured.isEmpty else { return }
    var file = try read(weights) ?? File(schemaVersion: File.currentSchemaVersion, model: model, measured: [:])
    for (format, quality) in measured { file.measured[format.description] = quality }
    try DurableFile.write(CanonicalJSON.encode(file, noun: "quality file"), to: url(weights))
  }
}
