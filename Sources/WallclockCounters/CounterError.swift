public import WallclockCore

/// Why counters could not be opened or read. Seldom thrown: a missing counter is a reported fact.
public struct CounterError: Diagnostic {
  public enum Code: String, Sendable {
    /// None of the events could be opened.
    case cannotOpen = "cannot-open"
    /// The kernel did not start, stop or read an open group.
    case cannotRead = "cannot-read"
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus { .unavailable }
}
