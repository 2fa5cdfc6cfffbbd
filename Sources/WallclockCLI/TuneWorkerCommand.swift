import ArgumentParser
import Foundation
import Wallclock

/// Where `tune` tries candidates: this program again, as a process that may crash.
struct TuneWorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune-worker", abstract: "Runs candidates for a tune, which starts it.", shouldDisplay: false)

  @Option(name: .long, help: "The process id of the tune.") var parent: Int32
  @Option(name: .long, parsing: .upToNextOption, help: "The CPUs it may use.") var cpus: [Int]

  func run() throws {
    do { try AdmissionWorker.serve(parent: parent, cpus: cpus) } catch let error as any Diagnostic {
      Output.note("wallclock: error: \(error.message)")
      throw ExitCode(error.exitStatus.rawValue)
    }
  }

  /// This program, also where its file has been replaced meanwhile.
  static func invocation(_ machine: Fingerprint) -> WorkerCommand {
    WorkerCommand(
      path: "/proc/self/exe",
      arguments: [
        configuration.commandName!, "--parent", "\(ProcessInfo.processInfo.processIdentifier)", "--cpus",
      ] + machine.cpuset.map(String.init))
  }
}
