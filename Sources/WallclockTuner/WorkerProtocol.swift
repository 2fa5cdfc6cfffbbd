import Foundation
import WallclockCore
import WallclockProfiles

/// What tuner and worker say to each other: one JSON object a line, over a socket.
///
/// The worker says `ready` once. For each request it answers `began` when nothing is left to do but the
/// candidate's own work, `prepared` and `ran` as it gets on, and ends with a verdict. What comes after
/// `began` is laid at the candidate's door.
enum WorkerProtocol {
  static let version = 1
  /// No message comes near this; a line that does is not one.
  static let longestLine = 64 << 10

  struct Request: Codable, Equatable {
    var number: Int
    var problem: Problem
    var schedule: Schedule
    /// Bytes it may grow by.
    var memoryBytes: Int
    /// Nanoseconds from which the candidate has lost.
    var slowAbove: Double?
  }

  struct Reply: Codable, Equatable {
    enum Kind: String, Codable { case ready, began, prepared, ran, admitted, rejected }
    var kind: Kind
    /// The request's; the protocol's version when ready.
    var number: Int
    /// Of an admission.
    var check: CorrectnessCheck?
    var nanoseconds: Double?
    /// Of a rejection: `CandidateOutcome.name` and `.figure`, and the reason.
    var outcome: String?
    var figure: Double?
    var reason: String?

    init(_ kind: Kind, number: Int) {
      self.kind = kind
      self.number = number
    }

    init(_ verdict: TrialVerdict, number: Int) {
      self.number = number
      switch verdict {
      case .admitted(let check, let nanoseconds):
        kind = .admitted
        self.check = check
        self.nanoseconds = nanoseconds
      case .rejected(let outcome, let reason):
        kind = .rejected
        self.outcome = outcome.name
        figure = outcome.figure
        self.reason = reason
      }
    }

    /// The verdict of a reply that is one; nil of any other, and of one that contradicts itself.
    var verdict: TrialVerdict? {
      switch kind {
      case .admitted:
        guard let check, check.passed, check.elementsChecked >= 0, let nanoseconds, nanoseconds.isFinite,
          nanoseconds >= 0
        else { return nil }
        return .admitted(check, nanoseconds: nanoseconds)
      case .rejected:
        guard let outcome, let reason, let outcome = CandidateOutcome(name: outcome, figure: figure) else {
          return nil
        }
        return .rejected(outcome, reason: reason)
      case .ready, .began, .prepared, .ran: return nil
      }
    }
  }

  static func line(_ message: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return Array(try encoder.encode(message)) + [UInt8(ascii: "\n")]
  }

  /// nil when the line is no such message.
  static func message<Message: Decodable>(_ type: Message.Type, _ line: [UInt8]) -> Message? {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return try? decoder.decode(type, from: Data(line))
  }
}

/// Bytes as they come, cut into lines.
struct LineBuffer {
  private var bytes: [UInt8] = []
  private let longest: Int

  init(longest: Int = WorkerProtocol.longestLine) { self.longest = longest }

  var isEmpty: Bool { bytes.isEmpty }

  mutating func append(_ more: some Collection<UInt8>) { bytes += more }

  enum Next: Equatable { case line([UInt8]), incomplete, tooLong }

  /// The next line, without its newline. After `tooLong` the rest is worth nothing.
  mutating func next() -> Next {
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
      return bytes.count > longest ? .tooLong : .incomplete
    }
    guard end <= longest else { return .tooLong }
    defer { bytes.removeFirst(end + 1) }
    return .line(Array(bytes[..<end]))
  }
}
