public import WallclockCore

/// What can be wrong with what is asked of this machine.
public struct MachineError: Diagnostic {
  public enum Code: String, Sendable {
    /// More CPUs asked for than there are, or a node that does not exist.
    case notEnoughCPUs = "not-enough-cpus"
    case noSuchNode = "no-such-node"
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus { .unavailable }
}
