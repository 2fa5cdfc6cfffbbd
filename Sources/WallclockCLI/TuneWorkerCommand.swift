import ArgumentParser
import Foundation
import Wallclock

/// Where `tune` tries candidates: this program again, as a process that may crash.
struct TuneWorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune-worker", abstract: "Runs candidates for a tune, which starts it.", shouldDisplay: false)

  @Option(name: .long, help: "The process id of what starts it.") var parent: Int32
  @Option(name: .long, help: "The process id of the tune.") var tune: Int32
  @Option(name: .long, parsing: .upToNextOption, help: "The CPUs it may use.") var cpus: [Int]

  func run() throws {
    do { try AdmissionWorker.serve(parent: parent, cpus: cpus) } catch let error as any Diagnostic {
      Output.note("wallclock: error: \(error.message)")
      throw ExitCode(error.exitStatus.rawValue)
    }
  }

  /// - Parameter tune: the process id of the tune, whose child this process is.
  static func invocation(_ machine: Fingerprint, tune: Int32) -> WorkerCommand {
    WorkerCommand(
      path: ownProgram,
      arguments: [
        configuration.commandName!, "--parent", "\(ProcessInfo.processInfo.processIdentifier)", "--tune", "\(tune)",
        "--cpus",
      ] + machine.cpuset.map(String.init))
  }
}

/// Where `tune` measures: this program again, as a process that a kernel may take with it.
struct TuneMeasureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune-measure", abstract: "Measures for a tune, which starts it.", shouldDisplay: false)

  @Option(name: .long, help: "The process id of the tune.") var parent: Int32

  func run() throws {
    do {
      try MeasuringProcess.serve(
        parent: parent, worker: TuneWorkerCommand.invocation(Machine.host.fingerprint, tune: parent))
    } catch let error as any Diagnostic {
      Output.note("wallclock: error: \(error.message)")
      throw ExitCode(error.exitStatus.rawValue)
    }
  }

  static var invocation: WorkerCommand {
    WorkerCommand(
      path: ownProgram,
      arguments: [configuration.commandName!, "--parent", "\(ProcessInfo.processInfo.processIdentifier)"])
  }
}

/// This program, also where its file has been replaced meanwhile.
private let ownProgram = "/proc/self/exe"
