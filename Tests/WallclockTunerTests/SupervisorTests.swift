import Foundation
import Testing
import WallclockCore
import WallclockMachine
import WallclockProfiles

@testable import WallclockTuner

/// What a tune makes of the process that measures for it, here one written in shell that talks on descriptor 3.
/// That it names candidates which fail while they are timed is seen on the whole program (scripts/test-cli).
@Suite struct SupervisorTests {
  private static let target = TuneTarget(.gemm(.f32, m: 4, n: 16, k: 16), threads: 1)

  /// Runs a tune by `script`; what it rejected, and what it threw.
  private func tune(_ script: String, isCancelled: @escaping () -> Bool = { false }) throws -> (
    rejected: [CandidateRejection], error: (any Error)?
  ) {
    let folder = FileManager.default.temporaryDirectory.appending(component: "wallclock-tune-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let session = try Journal.open(at: folder.appending(component: "journal.sqlite")).beginTune(
      on: Machine.host.fingerprint, command: "tune", wallclockVersion: "test",
      conditions: Conditions(transparentHugePages: nil, governor: nil, loadAverage: 0, steal: 0))
    let supervisor = TuneSupervisor(
      WorkerCommand(path: "/bin/sh", arguments: ["-c", "read -r request <&3; " + script]), session: session,
      effort: .quick, build: "b", isCancelled: isCancelled, report: { _ in })
    var thrown: (any Error)?
    do { try supervisor.run([Self.target]) } catch { thrown = error }
    return (try session.rejections(build: "b"), thrown)
  }

  @Test func itEndsWhenThatIsDone() throws {
    let (rejected, error) = try tune(#"echo '{"done":{}}' >&3"#)
    #expect(rejected.isEmpty && error == nil)
  }

  @Test func whatThatThrowsIsThrown() throws {
    let (rejected, error) = try tune(#"echo '{"failed":{"message":"the disk is full","exitStatus":74}}' >&3"#)
    #expect(rejected.isEmpty)
    #expect((error as? SupervisedError)?.message == "the disk is full")
    #expect((error as? SupervisedError)?.exitStatus == .inputOutput)
  }

  /// A fault outside of any run is no candidate's, nor is a signal from outside.
  @Test(arguments: ["kill -KILL $$", "kill -TERM $$", "kill -SEGV $$", "exit 3", "echo garbage >&3", "exec 3>&-; sleep 60"])
  func nobodyIsRejectedForWhatHappensBetweenRuns(_ ending: String) throws {
    let (rejected, error) = try tune(ending)
    #expect(rejected.isEmpty)
    #expect((error as? TuneError)?.code == .workerFailed)
  }

  @Test func aCancelledTuneEndsTheOther() throws {
    let (_, error) = try tune("sleep 600", isCancelled: { true })
    #expect((error as? TuneError)?.code == .interrupted)
  }

  /// The mark is seen by whoever has the same memory.
  @Test func aMarkSaysWhatIsRun() throws {
    let mark = try SharedMark()
    let other = try SharedMark(file: dup(mark.file))
    #expect(mark.now == (0, 0))
    other.enter(7)
    #expect(mark.now == (7, 1))
    other.leave()
    #expect(mark.now == (0, 1))
  }

  @Test func messagesSurviveTheirWay() throws {
    let rejection = CandidateRejection(
      problem: Self.target.problem, schedule: Schedule(kernel: "k", knobs: [.mc: 4]),
      outcome: .wrongResult(worstErrorOverTolerance: .infinity), reason: "why")
    let line = try WorkerProtocol.line(
      MeasuringProtocol.Message.event(.rejected(Self.target, rejection, isOnRecord: true)))
    guard
      case .event(.rejected(Self.target, rejection, isOnRecord: true)) = try #require(
        WorkerProtocol.message(MeasuringProtocol.Message.self, Array(line.dropLast())))
    else {
      Issue.record("another message came back")
      return
    }
    var effort = TuneEffort.full()
    effort.evaluations = 5
    let back = try JSONDecoder().decode(TuneEffort.self, from: JSONEncoder().encode(effort))
    #expect(back.search?.name == effort.search?.name && back.budget == effort.budget && back.evaluations == 5)
  }
}
