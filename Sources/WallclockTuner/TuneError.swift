import WallclockCore

/// Why a tune ended early.
public struct TuneError: Diagnostic {
  public enum Code: String, Sendable { case interrupted, nothingToTune }
  public let code: Code
  public let message: String
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  public var exitStatus: ExitStatus { .unavailable }
}
