import CWallclockKernels
import WallclockCore

/// What a plug-in library says of itself.
public struct BackendDescription: Hashable, Sendable, Codable {
  /// What users call it.
  public var name: String
  /// Of what computes.
  public var version: String
  /// What it takes of what Wallclock knows.
  public var problems: [BackendProblem]

  public init(name: String, version: String, problems: [BackendProblem]) {
    self.name = name
    self.version = version
    self.problems = problems
  }

  /// The row by which it takes `problem`; nil when it does not.
  public func row(for problem: Problem) -> BackendProblem? { problems.first { $0.takes(problem) } }
}

/// A row of a library's table of problems.
public struct BackendProblem: Hashable, Sendable, Codable {
  public var op: Op
  public var format: Format
  /// What activations are brought to before they are multiplied: f32, bf16, or s8 for 8-bit rows.
  public var activations: ElementType
  /// What may follow the product, in any combination.
  public var epilogues: Epilogue

  public func takes(_ problem: Problem) -> Bool {
    problem.op == op && problem.format == format && problem.epilogue.isSubset(of: epilogues)
  }
}

extension BackendProblem: CustomStringConvertible {
  /// `gemm w8a8 bias+gelu`.
  public var description: String { "\(op.rawValue) \(format)" + (epilogues.isEmpty ? "" : " \(epilogues)") }
}

extension BackendProblem {
  /// nil for a row that is well formed, but of a format that Wallclock does not have.
  ///
  /// - Throws: `BackendError.badTable`, saying what is wrong with the row.
  init?(_ row: wallclock_problem) throws(BackendError) {
    guard row.op == WALLCLOCK_GEMM else {
      throw BackendError(.badTable, "names op \(row.op); version 1 has \(WALLCLOCK_GEMM), gemm")
    }
    guard let activations = Self.activations[row.activations] else {
      throw BackendError(.badTable, "names activations of type \(row.activations); version 1 has f32, bf16, s8")
    }
    guard (WALLCLOCK_F32...WALLCLOCK_Q4).contains(Int(row.weights)) else {
      throw BackendError(.badTable, "names weights of type \(row.weights); version 1 has f32, bf16, s8, q4")
    }
    guard row.weights == WALLCLOCK_Q4 ? [32, 64, 128].contains(row.group) : row.group == 0 else {
      throw BackendError(.badTable, "names groups of \(row.group); q4 weights have 32, 64 or 128, others 0")
    }
    let known: Epilogue = [.bias, .gelu, .residual]
    guard row.epilogues & ~UInt32(known.rawValue) == 0 else {
      throw BackendError(.badTable, "names epilogues \(row.epilogues); version 1 has bias, gelu and residual")
    }
    guard row.reserved == (0, 0, 0) else { throw BackendError(.badTable, "fills reserved fields of its table") }
    let found = Format.all.first { format in
      Self.type(of: format).map { $0 == row.weights } ?? false && UInt32(format.groupSize ?? 0) == row.group
        && (format.activations == .int8) == (activations == .s8)
    }
    guard let found, found != .f32 || activations == .f32 else { return nil }
    op = .gemm
    format = found
    self.activations = activations
    epilogues = Epilogue(rawValue: Int(row.epilogues))
  }

  private static let activations: [UInt32: ElementType] = [
    UInt32(WALLCLOCK_F32): .f32, UInt32(WALLCLOCK_BF16): .bf16, UInt32(WALLCLOCK_S8): .s8,
  ]

  /// nil for weights that version 1 has no name for.
  private static func type(of format: Format) -> UInt32? {
    switch format.weights {
    case .f32: UInt32(WALLCLOCK_F32)
    case .bf16: UInt32(WALLCLOCK_BF16)
    case .int8: UInt32(WALLCLOCK_S8)
    case .int4(_, zeroPoints: false): UInt32(WALLCLOCK_Q4)
    case .int4(_, zeroPoints: true), .int8Grouped: nil
    }
  }

  /// As the library wrote it.
  var row: wallclock_problem {
    var row = wallclock_problem()
    row.op = UInt32(WALLCLOCK_GEMM)
    row.activations = Self.activations.first { $0.value == activations }!.key
    row.weights = Self.type(of: format)!  // rows are made from what libraries wrote
    row.group = UInt32(format.groupSize ?? 0)
    row.epilogues = UInt32(epilogues.rawValue)
    return row
  }
}

/// Why a plug-in library is left out, or cannot do what it was asked.
public struct BackendError: Diagnostic {
  public enum Code: String, Sendable, Codable {
    /// The system cannot load it.
    case cannotLoad
    case noEntryPoint
    /// It speaks another version of the ABI.
    case wrongVersion
    /// What it says of itself contradicts the ABI.
    case badTable
    /// It does not take the problem, by its table or by what it answered.
    case unsupported
    /// It reported a failure.
    case failed
    /// Its output is not what the oracle says.
    case wrongResult
    /// Its process died, did not answer in time, or talked nonsense.
    case crashed, timedOut
    /// None of that name was found, or it was excluded.
    case unknown
    case interrupted
  }
  public let code: Code
  public let message: String
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  public var exitStatus: ExitStatus { .unavailable }
}
