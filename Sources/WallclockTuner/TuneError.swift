import WallclockCore

/// Why a tune ended early.
public struct TuneError: Diagnostic {
  public enum Code: String, Sendable {
    case interrupted, nothingToTune
    /// Candidates cannot be tried: the process that would run them cannot be started, or does not serve.
    case workerFailed
  }
  public let code: Code
  public let message: String
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  static var interrupted: TuneError {
    TuneError(.interrupted, "interrupted; run the same command again to go on")
  }

  public var exitStatus: ExitStatus { .unavailable }
}
