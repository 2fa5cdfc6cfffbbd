import WallclockCore

/// A call that a kernel, packing or schedule cannot take.
public struct KernelError: Diagnostic {
  public enum Code: String, Sendable {
    case unknownKernel, missingISA, shapeMismatch, badKnob, unsupported, wrongResult, rejected
  }
  public let code: Code
  public let message: String
  /// Of a wrong result: the worst error as a multiple of the tolerance; infinite where it is no number.
  public let worstErrorOverTolerance: Double?

  public init(_ code: Code, _ message: String, worstErrorOverTolerance: Double? = nil) {
    self.code = code
    self.message = message
    self.worstErrorOverTolerance = worstErrorOverTolerance
  }

  public var exitStatus: ExitStatus {
    switch code {
    case .unknownKernel, .badKnob, .shapeMismatch: .badData
    case .missingISA, .unsupported: .unavailable
    case .wrongResult, .rejected: .internal
    }
  }
}
