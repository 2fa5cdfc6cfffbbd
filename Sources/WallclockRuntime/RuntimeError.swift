import WallclockCore

/// Why a model cannot be run as asked.
public struct RuntimeError: Diagnostic {
  public enum Code: String, Sendable { case badInput, badPlan, unsupported }
  public let code: Code
  public let message: String
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  public var exitStatus: ExitStatus {
    switch code {
    case .badInput, .badPlan: .badData
    case .unsupported: .unavailable
    }
  }
}
