/// The classes of failure a user can tell apart, with their sysexits(3) status.
public enum ExitStatus: Int32, Sendable {
  case usage = 64
  case badData = 65
  case noInput = 66
  case unavailable = 69
  case `internal` = 70
  case cannotCreate = 73
  case inputOutput = 74
}

/// An error for people: what was found, what was expected, what to do.
///
/// Each module has one type that conforms, with its own codes.
public protocol Diagnostic: Error, CustomStringConvertible {
  associatedtype Code: RawRepresentable<String> & Sendable
  var code: Code { get }
  var message: String { get }
  var exitStatus: ExitStatus { get }
}

extension Diagnostic {
  public var description: String { message }
}
