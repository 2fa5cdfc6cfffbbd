import WallclockCore

/// Why there is no number.
public struct MeasureError: Diagnostic {
  public enum Code: String, Sendable {
    case tooManyDropped, interrupted, unavailable
    /// An external program answered what the line protocol does not have.
    case badAnswer
  }
  public let code: Code
  public let message: String
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  public var exitStatus: ExitStatus { code == .badAnswer ? .badData : .unavailable }
}
