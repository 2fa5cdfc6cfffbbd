public import WallclockCore

/// What was wrong with a file from outside: a model's configuration, weights or tokenizer.
public struct FormatError: Diagnostic {
  public enum Code: String, Sendable {
    /// Nothing is there, or it may not be read.
    case notFound
    /// Something is there, but it is no model.
    case notAModel
    /// A part that the request needs is absent: the weights, the tokenizer.
    case missingPart
    /// The system failed to read.
    case inputOutput
    /// Larger than this version accepts.
    case tooLarge
    /// The file ends before what it announces.
    case truncated
    case malformedJSON
    case malformedHeader
    case duplicateName
    case unknownType
    case badShape
    case badOffsets
    case missingTensor
    case missingKey
    case badValue
    /// Well formed, of a kind this version does not run.
    case unsupported
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var exitStatus: ExitStatus {
    switch code {
    case .notFound, .notAModel, .missingPart: .noInput
    case .inputOutput: .inputOutput
    default: .badData
    }
  }
}

/// `text` in quotes for a message: control characters escaped, and cut, since names in files from
/// outside may be long or steer a terminal.
package func quoted(_ text: String) -> String {
  var result = "\""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == 80 {
      result += "…"
      break
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default:
      result.unicodeScalars.append(scalar)
    }
    count += 1
  }
  return result + "\""
}
