import CWallclockLinux
import Foundation
import WallclockCore
import WallclockMachine
import WallclockProfiles

/// What a tune and the process that measures for it say to each other.
enum MeasuringProtocol {
  /// Targets and passes of a large model take some megabytes.
  static let longestLine = 256 << 20

  struct Request: Codable {
    var journal: URL
    var session: Int64
    var build: String
    var effort: TuneEffort
    /// Of the budget, by processes before this one.
    var spent: Duration
    var targets: [TuneTarget]
    var passes: [ForwardPass]
  }

  enum Message: Codable {
    case event(Tuner.Event)
    /// The mark's numbers that follow mean these.
    case candidate(number: Int, MarkedCandidate)
    case failed(message: String, exitStatus: Int32)
    case done
  }
}

/// The side of a tune that measures, in a process that a kernel may take with it.
public enum MeasuringProcess {
  private static let mark: Int32 = 4

  /// Tunes for the process that started this one; returns when it is done, or the other is gone.
  ///
  /// - Parameters:
  ///   - parent: its process id; this process dies with it.
  ///   - worker: tries candidates before they are timed here.
  /// - Throws: `TuneError` when this process cannot serve.
  public static func serve(parent: Int32, worker: WorkerCommand) throws {
    let entered = wcl_child_enter(parent)
    guard entered == 0 else {
      throw TuneError(
        .workerFailed, "cannot measure for process \(parent): \(unsafe String(cString: strerror(-entered)))")
    }
    let channel = ParentChannel(longestLine: MeasuringProtocol.longestLine)
    let mark = try SharedMark(file: mark)
    guard let request = try channel.next(MeasuringProtocol.Request.self) else { return }
    // What cannot be told ends with the channel: so does this process.
    func tell(_ message: MeasuringProtocol.Message) { try? channel.send(message) }
    do {
      let machine = Machine.host.fingerprint
      let tuner = Tuner(
        machine: machine,
        session: try Journal.open(at: request.journal).joinTune(request.session, on: machine),
        effort: request.effort, worker: worker, build: request.build,
        marker: try CandidateMarker(mark) { tell(.candidate(number: $0, $1)) }, isCancelled: { false },
        report: { tell(.event($0)) })
      try tuner.run(request.targets, for: request.passes, spent: request.spent)
      tell(.done)
    } catch let error as any Diagnostic {
      tell(.failed(message: error.message, exitStatus: error.exitStatus.rawValue))
    }
  }
}
