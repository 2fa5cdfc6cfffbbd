import WallclockCore
import WallclockKernels
import WallclockMeasure

/// What this program and the process of a plug-in backend say to each other: one JSON object a line, over a socket.
///
/// The process describes the library first, or refuses. To `prepare` it answers `prepared`, `ran` and `checked`, as it gets
/// on: what fails in between is the library's. Each other request has one answer.
enum BackendProtocol {
  enum Request: Codable {
    case prepare(Problem)
    /// Sets how much one sample holds.
    case warmUp(minimum: Duration)
    case sample
    case measure(SamplingOptions)
    case count
  }

  enum Reply: Codable {
    case described(BackendDescription)
    /// - Parameter nanoseconds: that the library took for one copy of the weights.
    case prepared(nanoseconds: Double)
    case ran
    case checked(CorrectnessCheck)
    case sampled(nanoseconds: Double, isDisturbed: Bool)
    case measured(SampleSummary)
    case counted(CounterReading)
    case refused(code: BackendError.Code, message: String)
    /// The host was too busy to time anything.
    case disturbed(message: String)
  }
}
