import WallclockCore

/// A call that a kernel, packing or schedule cannot take.
public struct KernelError: Diagnostic {
  public enum Code: String, Sendable {
    case unknownKernel, missingISA, shapeMismatch, badKnob, unsupported, wrongResult, rejected
  }
  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus {
    switch code {
    case .unknownKernel, .badKnob, .shapeMismatch: .badData
    case .missingISA, .unsupported: .unavailable
    case .wrongResult, .rejected: .internal
    }
  }
}
