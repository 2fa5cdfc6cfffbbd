import ArgumentParser
import Foundation
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// The `--json` flag every subcommand has.
struct OutputOptions: ParsableArguments {
  @Flag(name: .long, help: "Print JSON to standard output, and nothing else there.")
  var json = false

  /// Prints `value` as JSON, or `text` for people.
  func print(_ value: some Encodable, text: @autoclosure () -> String) throws {
    if json {
      try Output.json(value)
    } else {
      Swift.print(text())
    }
  }
}

/// Standard output holds results; everything else goes to standard error.
enum Output {
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    var data = try encoder.encode(value)
    data.append(0x0A)
    try write(data)
  }

  static func write(_ data: Data) throws(OutputError) {
    do { try FileHandle.standardOutput.write(contentsOf: data) } catch {
      throw OutputError(.inputOutput, "cannot write to standard output: \(error.localizedDescription)")
    }
  }

  static func note(_ line: String) {
    try? FileHandle.standardError.write(contentsOf: Data((line + "\n").utf8))
  }

  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}

/// What the output cannot take.
struct OutputError: Diagnostic {
  enum Code: String, Sendable { case inputOutput }
  let code: Code
  let message: String
  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  var exitStatus: ExitStatus { .inputOutput }
}

/// Runs a subcommand's body and turns module errors into a message and a sysexits status.
func reportingFailures<Result>(_ body: () async throws -> Result) async throws -> Result {
  do {
    return try await body()
  } catch let error as any Diagnostic {
    Output.note("wallclock: error: \(error.message)")
    throw ExitCode(error.exitStatus.rawValue)
  }
}
