import Foundation
import WallclockCore

/// Profiles as files: the user's own in `DataHome`, and those shipped with Wallclock.
public struct ProfileStore: Sendable {
  /// Where `save` writes: `profiles` in `DataHome.folder()`.
  public let folder: URL
  /// Profiles of known machines that come with Wallclock; nil where they are not installed.
  public let shipped: URL?

  public init(folder: URL? = nil, shipped: URL? = ProfileStore.shippedFolder) throws(ProfileError) {
    if let folder {
      self.folder = folder
    } else {
      self.folder = try DataHome.folder().appending(component: "profiles")
    }
    self.shipped = shipped
  }

  /// What a profile is found by.
  public struct Entry: Sendable {
    public var name: String
    public var url: URL
    public var isShipped: Bool
  }

  /// Every profile there is, the user's first, by name; a shipped one of the same name is hidden.
  public func list() throws(ProfileError) -> [Entry] {
    var entries: [Entry] = []
    for (place, isShipped) in [(folder, false), (shipped, true)] {
      guard let place, FileManager.default.fileExists(atPath: place.path(percentEncoded: false)) else {
        continue
      }
      let files: [URL]
      do {
        files = try FileManager.default.contentsOfDirectory(at: place, includingPropertiesForKeys: nil)
      } catch {
        throw ProfileError(
          .inputOutput,
          "\(place.path(percentEncoded: false)): cannot list profiles: \(error.localizedDescription)")
      }
      let known = Set(entries.map(\.name))
      entries += files.filter { $0.pathExtension == "json" && !$0.lastPathComponent.hasPrefix(".") }
        .map { Entry(name: $0.deletingPathExtension().lastPathComponent, url: $0, isShipped: isShipped) }
        .filter { !known.contains($0.name) }.sorted { $0.name < $1.name }
    }
    return entries
  }

  /// Reads a profile by name, or by path: whatever holds a `/` or ends in `.json`.
  public func profile(named name: String) throws(ProfileError) -> Profile {
    if name.contains("/") || name.hasSuffix(".json") {
      return try Profile.read(from: URL(filePath: name))
    }
    let entries = try list()
    guard let entry = entries.first(where: { $0.name == name }) else {
      let known =
        entries.isEmpty ? "there are none yet" : "there are " + entries.map(\.name).joined(separator: ", ")
      throw ProfileError(
        .notFound,
        "no profile named \"\(name)\": \(known); give a path, or run `wallclock tune` for this machine's")
    }
    return try Profile.read(from: entry.url)
  }

  /// The profile that is true for `host`: the most recently updated of the user's own; else what the journal
  /// beside them has of a tune that has not ended; else the most recent of those shipped.
  ///
  /// - Throws: `.notFound` when there is none, saying how the nearest one differs and which files could
  ///   not be read. Those stand in nobody's way: they may be of any machine.
  public func profile(of host: Fingerprint) throws(ProfileError) -> Profile {
    var nearest: (name: String, differences: [String])?
    var unreadable: [String] = []
    func newest(_ entries: [Entry]) -> Profile? {
      var matching: [Profile] = []
      for entry in entries {
        do throws(ProfileError) {
          let profile = try Profile.read(from: entry.url)
          let differences = profile.fingerprint.differences(to: host)
          if differences.isEmpty { matching.append(profile) }
          if differences.count < nearest?.differences.count ?? .max { nearest = (entry.name, differences) }
        } catch { unreadable.append(error.message) }
      }
      return matching.max { $0.updatedAt < $1.updatedAt }
    }
    let entries = try list()
    if let own = newest(entries.filter { !$0.isShipped }) { return own }
    if let begun = try journalled(host) { return begun }
    if let shipped = newest(entries.filter(\.isShipped)) { return shipped }
    var message =
      "no profile of this machine (\(host.cpuModel), \(host.identityHash)) in "
      + folder.path(percentEncoded: false)
    if let nearest {
      message += "; the nearest, \(nearest.name), differs in \(nearest.differences.joined(separator: "; "))"
    }
    message += unreadable.map { "; \($0)" }.joined()
    throw ProfileError(.notFound, message + "; run `wallclock tune`")
  }

  /// What the journal beside the user's profiles has settled for `host`; nil when that is nothing.
  private func journalled(_ host: Fingerprint) throws(ProfileError) -> Profile? {
    let file = folder.deletingLastPathComponent().appending(component: "journal.sqlite")
    guard FileManager.default.fileExists(atPath: file.path(percentEncoded: false)) else { return nil }
    do {
      return try Journal.open(at: file).profile(of: host, name: host.profileName)
    } catch where error.code == .notFound { return nil }
  }

  /// Writes `<name>.json`, replacing the profile of that name. Returns where it is.
  @discardableResult
  public func save(_ profile: Profile) throws(ProfileError) -> URL {
    let allowed = profile.name.utf8.allSatisfy {
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
        || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || "-_.".utf8.contains($0)
    }
    guard allowed, !profile.name.isEmpty, !profile.name.hasPrefix("."), profile.name.utf8.count <= 100 else {
      throw ProfileError(
        .invalid,
        "\"\(profile.name)\" cannot name a file: use 1 … 100 letters, digits, `-`, `_` and `.`, not first")
    }
    let url = folder.appending(component: profile.name + ".json")
    try profile.write(to: url)
    return url
  }
}

extension Fingerprint {
  /// What a machine's own profile is called.
  public var profileName: String { "host-\(identityHash.prefix(12))" }
}
