import ArgumentParser
import Foundation
import Wallclock

/// Which plug-in backends to use.
struct BackendOptions: ParsableArguments {
  @Option(name: .customLong("exclude-backend"), help: "Leave out a plug-in backend; may be repeated.")
  var excluded: [String] = []

  /// The libraries of this host, each looked at in a process of its own.
  func catalog() throws -> BackendCatalog {
    Interruption.install()
    return try BackendCatalog(
      in: BackendCatalog.Folders(program: Self.program), excluding: Set(excluded), launcher: BackendWorkerCommand.invocation,
      isCancelled: { Interruption.isRequested })
  }

  /// A process with the backend called `name`.
  func start(_ name: String, threads: Int) throws -> BackendProcess {
    try catalog().start(name, threads: threads, isCancelled: { Interruption.isRequested })
  }

  private static var program: URL? {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")).map { URL(filePath: $0) }
  }
}

/// Where a plug-in library is loaded and run: this program again, as a process that may crash.
struct BackendWorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backend-worker", abstract: "Runs a plug-in backend for the process that starts it.", shouldDisplay: false)

  @Option(name: .long, help: "The process id of the one that starts it.") var parent: Int32
  @Option(name: .long, help: "The library.") var library: String
  @Option(name: .long, help: "Threads of the library.") var threads: Int
  @Option(name: .long, parsing: .upToNextOption, help: "The CPUs it may use.") var cpus: [Int]

  func run() throws {
    do { try BackendWorker.serve(parent: parent, library: library, threads: threads, cpus: cpus) } catch let error as any Diagnostic {
      Output.note("wallclock: error: \(error.message)")
      throw ExitCode(error.exitStatus.rawValue)
    }
  }

  /// This program, also where its file has been replaced meanwhile.
  @Sendable static func invocation(library: String, threads: Int) -> WorkerCommand {
    WorkerCommand(
      path: "/proc/self/exe",
      arguments: [
        configuration.commandName!, "--parent", "\(ProcessInfo.processInfo.processIdentifier)", "--library", library,
        "--threads", "\(threads)", "--cpus",
      ] + Machine.host.fingerprint.cpuset.map(String.init))
  }
}
