import Foundation
import WallclockCore
import WallclockKernels
import WallclockProfiles

/// A plug-in library that was found, and what became of it.
public struct FoundBackend: Sendable {
  public enum State: String, Sendable, Codable {
    case ready
    /// It cannot be loaded, is of another version, or contradicts itself.
    case refused
    /// Its process died, or did not answer.
    case crashed
    /// Another library of that name comes first.
    case shadowed
    case excluded
  }
  public var path: String
  public var state: State
  /// Why it is not ready; empty when it is.
  public var reason: String
  public var description: BackendDescription?
}

/// The plug-in libraries of this host, each looked at in a process of its own.
public struct BackendCatalog: Sendable {
  /// In the order they were looked for; the first of a name counts.
  public let found: [FoundBackend]
  /// What is amiss with the places they are looked for in.
  public let notes: [String]
  /// Starts a process for the library at a path with so many threads.
  public typealias Launcher = @Sendable (_ path: String, _ threads: Int) -> WorkerCommand
  private let launcher: Launcher

  /// A colon-separated list of folders.
  public static let pathVariable = "WALLCLOCK_BACKEND_PATH"

  /// Where libraries are looked for.
  public struct Folders: Sendable {
    /// Those of WALLCLOCK_BACKEND_PATH, which ought to be there.
    public var named: [URL]
    /// The user's, and the one beside the program, which may be.
    public var usual: [URL]

    public init(named: [URL], usual: [URL] = []) {
      self.named = named
      self.usual = usual
    }

    /// - Parameter program: the running program's file.
    public init(environment: [String: String] = ProcessInfo.processInfo.environment, program: URL?) {
      named = (environment[pathVariable] ?? "").split(separator: ":")
        .map { URL(filePath: String($0), directoryHint: .isDirectory) }
      let homes = [try? DataHome.folder(environment: environment), program?.deletingLastPathComponent()]
      usual = homes.compactMap { $0?.appending(component: "backends", directoryHint: .isDirectory) }
    }
  }

  /// Looks for libraries, `*.so` in each folder by name, and asks each what it is.
  ///
  /// - Parameters:
  ///   - excluded: names that are not to be used.
  ///   - launcher: how to start a process for a library.
  /// - Throws: `TuneError` when no process can be started at all; `BackendError.interrupted`.
  public init(
    in folders: Folders, excluding excluded: Set<String> = [], launcher: @escaping Launcher,
    isCancelled: @escaping () -> Bool = { false }
  ) throws {
    self.launcher = launcher
    var found: [FoundBackend] = []
    var notes: [String] = []
    var seen: Set<String> = []
    for (index, folder) in (folders.named + folders.usual).enumerated() {
      let listed = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
      if listed == nil, index < folders.named.count {
        notes.append("\(Self.pathVariable) names \(folder.path(percentEncoded: false)), which is no folder that can be read")
      }
      let libraries = (listed ?? []).filter { $0.pathExtension == "so" }.sorted { $0.lastPathComponent < $1.lastPathComponent }
      for library in libraries {
        let path = library.standardizedFileURL.path(percentEncoded: false)
        guard seen.insert(path).inserted else { continue }
        found.append(try Self.look(at: path, beside: found, excluded, launcher, isCancelled))
      }
    }
    self.found = found
    self.notes = notes
  }

  private static func look(
    at path: String, beside found: [FoundBackend], _ excluded: Set<String>, _ launcher: Launcher,
    _ isCancelled: @escaping () -> Bool
  ) throws -> FoundBackend {
    do {
      let description = try BackendProcess(launcher(path, 1), threads: 1, isCancelled: isCancelled).description
      var backend = FoundBackend(path: path, state: .ready, reason: "", description: description)
      if let other = found.first(where: { $0.description?.name == description.name }) {
        (backend.state, backend.reason) = (.shadowed, "\(other.path) has the same name and comes first")
      } else if excluded.contains(description.name) {
        (backend.state, backend.reason) = (.excluded, "excluded by --exclude-backend")
      }
      return backend
    } catch let error as BackendError where error.code != .interrupted {
      let state: FoundBackend.State = error.code == .crashed || error.code == .timedOut ? .crashed : .refused
      return FoundBackend(path: path, state: state, reason: error.message, description: nil)
    }
  }

  public var ready: [FoundBackend] { found.filter { $0.state == .ready } }

  /// Starts a process for the backend called `name`.
  ///
  /// - Throws: `BackendError.unknown`, naming those there are.
  public func start(_ name: String, threads: Int, isCancelled: @escaping () -> Bool = { false }) throws -> BackendProcess {
    guard let backend = ready.first(where: { $0.description?.name == name }) else {
      throw BackendError(.unknown, reason(forMissing: name))
    }
    return try BackendProcess(launcher(backend.path, threads), threads: threads, isCancelled: isCancelled)
  }

  private func reason(forMissing name: String) -> String {
    if let known = found.first(where: { $0.description?.name == name && $0.state != .shadowed }) {
      return "the backend \(name) is left out: \(known.reason)"
    }
    let names = ready.compactMap(\.description?.name).joined(separator: ", ")
    let broken = found.filter { $0.description == nil }.map { "\($0.path): \($0.reason)" }
    return "\"\(name)\" is neither a kernel of this build nor a backend; \(names.isEmpty ? "no backend was found" : "backends: \(names)")"
      + (broken.isEmpty ? "" : " (left out: \(broken.joined(separator: "; ")))")
      + ". `wallclock host` lists where they are looked for"
  }
}
