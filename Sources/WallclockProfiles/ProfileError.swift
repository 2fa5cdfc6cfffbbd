import WallclockCore

/// What can go wrong with profiles, their files and the journal.
public struct ProfileError: Diagnostic {
  public enum Code: String, Sendable {
    /// No such file, or no profile of that name or machine.
    case notFound
    /// Not a profile: malformed, out of range, or too large to be one.
    case invalid
    /// Written by a newer version of Wallclock.
    case newerSchema
    /// True for another machine.
    case otherMachine
    /// Another process holds the journal.
    case busy
    /// A file or folder cannot be created here.
    case cannotCreate
    /// Reading or writing failed part-way.
    case inputOutput
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus {
    switch code {
    case .notFound: .noInput
    case .invalid, .newerSchema, .otherMachine: .badData
    case .busy: .unavailable
    case .cannotCreate: .cannotCreate
    case .inputOutput: .inputOutput
    }
  }
}
