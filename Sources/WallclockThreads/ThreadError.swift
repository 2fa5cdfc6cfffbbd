public import WallclockCore

/// Why a pool could not be made or memory could not be placed.
public struct ThreadError: Diagnostic {
  public enum Code: String, Sendable {
    /// No CPUs named, or more than the pool can hold.
    case badCount = "bad-count"
    /// A CPU that this process may not run on, or that is not there.
    case cpuUnavailable = "cpu-unavailable"
    /// The system gave no thread.
    case cannotCreateThread = "cannot-create-thread"
    case noSuchNode = "no-such-node"
    /// The kernel refused to place memory or to say where it is.
    case cannotPlace = "cannot-place"
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus { .unavailable }
}
