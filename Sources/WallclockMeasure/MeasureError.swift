import WallclockCore

/// Why there is no number.
public struct MeasureError: Diagnostic {
  public enum Code: String, Sendable { case tooManyDropped, interrupted, unavailable }
  public let code: Code
  public let message: String
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  public var exitStatus: ExitStatus { .unavailable }
}
