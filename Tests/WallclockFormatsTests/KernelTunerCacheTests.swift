import Foundation
import Testing
import WallclockCore
import WallclockTestSupport

@testable import WallclockFormats

/// A space as Kernel Tuner leaves it, with each kind of outcome.
private let sample = """
  {
  "device_name": "A \\"device\\"",
  "kernel_name": "k",
  "problem_size": [16, 2],
  "tune_params_keys": ["b", "word", "flag"],
  "tune_params": {"b": [1, 2.5], "word": ["x,y", "z"], "flag": [true, false]},
  "objective": "time",
  "cache": {
  "1,x,y,True": {"b": 1, "word": "x,y", "flag": true, "time": 1.5, "times": [1.25, 1.75], "GB/s": NaN, "env": {"a": [1, {}]}},
  "2.5,z,False": {"b": 2.5, "word": "z", "flag": false, "time": "CompilationFailedConfig"},
  "1,z,True": {"b": 1, "word": "z", "flag": true, "time": NaN},
  "1,z,False": {"b": 1, "word": "z", "flag": false, "time": 1e20, "times": []}
  }
  }
  """

private func parse(_ text: String) throws -> KernelTunerCache {
  try KernelTunerCache.parse(Array(text.utf8), source: "test.json")
}

private func replacing(_ old: String, _ new: String) -> String {
  precondition(sample.contains(old), "the sample has no \(old)")
  return sample.replacingOccurrences(of: old, with: new)
}

@Suite struct KernelTunerCacheTests {
  @Test func everyKindOfOutcomeIsRead() throws {
    let cache = try parse(sample)
    #expect(cache.deviceName == "A \"device\"")
    #expect(cache.problemSize == [16, 2])
    #expect(cache.parameters.map(\.name) == ["b", "word", "flag"])
    #expect(cache.parameters[0].values == [.integer(1), .number(2.5)])
    #expect(cache.entries.map(\.coordinates) == [[0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 1]])
    #expect(
      cache.entries.map(\.outcome) == [
        .time(1.5, samples: [1.25, 1.75]), .failure("CompilationFailedConfig"), .failure("NaN"),
        .failure("InvalidConfig"),
      ])
    #expect(!cache.isOpen)
  }

  @Test(arguments: [true, false]) func whatIsWrittenReadsTheSame(compressed: Bool) throws {
    var cache = try parse(sample)
    cache.start = [[0, 1, 1], [0, 0, 0]]
    let bytes = try cache.encoded(compressed: compressed)
    #expect(Gzip.isCompressed(bytes) == compressed)
    let again = try KernelTunerCache.parse(bytes, source: "again")
    #expect(again.parameters == cache.parameters)
    #expect(again.entries == cache.entries)
    #expect(again.start == cache.start)
    #expect(again.deviceName == cache.deviceName)
    #expect(!again.isOpen)
  }

  @Test func pythonReadsWhatIsWritten() throws {
    let cache = try parse(sample)
    let value = try JSONReader.parse(cache.encoded(compressed: false), source: "written")
    guard case .object(let members) = value else {
      Issue.record("no object was written")
      return
    }
    #expect(members.map(\.name) == ["device_name", "kernel_name", "problem_size", "tune_params_keys", "tune_params", "objective", "cache"])
  }

  @Test func aFileCutOffKeepsItsWholeConfigurations() throws {
    let whole = try parse(sample)
    for end in ["\n}\n}", "\n}"] {
      let open = try parse(sample.replacingOccurrences(of: end, with: "", options: [.backwards]))
      #expect(open.isOpen)
      #expect(open.entries == whole.entries)
    }
    let text = Array(sample.utf8)
    let third = sample.range(of: "\"1,z,True\"")!
    let cut = sample.utf8.distance(from: sample.startIndex, to: third.lowerBound)
    // After the comma that Kernel Tuner leaves, after the brace before it, and inside the next.
    for end in [cut, cut - 1, cut - 2, cut + 3, cut + 30] {
      let open = try KernelTunerCache.parse(Array(text[..<end]), source: "cut")
      #expect(open.isOpen)
      #expect(open.entries == Array(whole.entries.prefix(2)))
    }
    #expect(try KernelTunerCache.parse(Array(text[..<(cut - 3)]), source: "cut").entries.count == 1)
    let closing = try parse(sample).encoded(compressed: false, leavingOpen: true)
    #expect(try KernelTunerCache.parse(closing, source: "open").isOpen)
  }

  @Test func theLastOfAConfigurationCounts() throws {
    let again = ", \"1,x,y,True\": {\"b\": 1.0, \"word\": \"x,y\", \"flag\": 1, \"time\": 9}\n}\n}"
    let cache = try parse(replacing("\n}\n}", again))
    #expect(cache.entries.count == 4)
    #expect(cache.entries[0].outcome == .time(9, samples: []))
  }

  @Test(arguments: [
    (replacing("\"1,x,y,True\": {\"b\": 1,", "\"1\": {\"b\": 3,"), FormatError.Code.badValue),
    (replacing("\"b\": 2.5, \"word\"", "\"word\""), .missingKey),
    (replacing("\"time\": 1.5,", ""), .missingKey),
    (replacing("\"time\": 1.5", "\"time\": -1.5"), .badValue),
    (replacing("\"time\": 1.5", "\"time\": 0"), .badValue),
    (replacing("\"time\": 1.5", "\"time\": [1.5]"), .badValue),
    (replacing("\"time\": 1.5", "\"time\": 1e999"), .malformedJSON),
    (replacing("[1, 2.5]", "[1, 2.5, 1.0]"), .badValue),
    (replacing("[1, 2.5]", "[1, [2.5]]"), .badValue),
    (replacing("[1, 2.5]", "[]"), .badValue),
    (replacing("\"flag\": [true, false]", "\"other\": [true, false]"), .missingKey),
    (replacing("\"tune_params_keys\": [\"b\", \"word\", \"flag\"],", ""), .missingKey),
    (replacing("[\"b\", \"word\", \"flag\"]", "[\"b\", \"word\", \"b\"]"), .badValue),
    (replacing("\"device_name\": \"A \\\"device\\\"\"", "\"device_name\": 3"), .badValue),
    (replacing("\"objective\": \"time\",", "\"objective\" \"time\","), .malformedJSON),
    (sample + "x", .malformedJSON), ("[]", .malformedJSON), ("", .malformedJSON), ("{}", .missingKey),
    ("{\"a\": " + String(repeating: "[", count: 5000), .malformedJSON),
    ("{\"a\": " + String(repeating: "{\"a\":", count: 5000), .malformedJSON),
  ]) func damageIsNamed(text: String, code: FormatError.Code) {
    let error = #expect(throws: FormatError.self) { try parse(text) }
    #expect(error?.code == code, "\(error?.message ?? "no error")")
    #expect(error?.exitStatus == .badData)
    #expect(error?.message.contains("test.json") == true)
  }

  @Test func textThatIsNotUTF8IsRefused() {
    let error = #expect(throws: FormatError.self) {
      try KernelTunerCache.parse([UInt8(ascii: "{"), 0xFF, UInt8(ascii: "}")], source: "x")
    }
    #expect(error?.code == .malformedJSON)
  }

  @Test func aSmallFileCannotClaimTheMemory() throws {
    let bomb = try Gzip.compress([UInt8](repeating: UInt8(ascii: " "), count: 8 << 20))
    #expect(bomb.count < 1 << 16)
    let error = #expect(throws: FormatError.self) {
      try KernelTunerCache.parse(bomb, source: "bomb", limit: 1 << 20)
    }
    #expect(error?.code == .tooLarge)
  }

  @Test func damagedGzipIsRefused() throws {
    let whole = try parse(sample).encoded(compressed: true)
    for length in 2..<whole.count {
      let error = #expect(throws: FormatError.self) {
        try KernelTunerCache.parse(Array(whole[..<length]), source: "cut")
      }
      #expect(error?.code == .truncated)
    }
    let entries = try parse(sample).entries
    for index in whole.indices.dropFirst(10) {
      var damaged = whole
      damaged[index] ^= 0x10
      // Only a bit that pads the last byte of the stream may change unseen.
      let read = try? KernelTunerCache.parse(damaged, source: "damaged")
      #expect(read == nil || (index == whole.count - 9 && read!.entries == entries), "byte \(index)")
    }
    // Members of a gzip file are read one after the other.
    let doubled = try Gzip.expand(Gzip.compress(Array("ab".utf8)) + Gzip.compress(Array("c".utf8)), limit: 9, source: "two")
    #expect(doubled == Array("abc".utf8))
  }

  /// Whatever the bytes, reading ends with a value or a `FormatError`.
  @Test func randomDamageNeverTraps() {
    var random = TestRandom(seed: 20)
    let text = Array(sample.utf8)
    var read = 0
    for _ in 0..<4000 {
      var damaged = text
      for _ in 0..<random.integer(1...4) {
        let index = random.integer(0...damaged.count - 1)
        switch random.integer(0...2) {
        case 0: damaged[index] = UInt8(random.integer(0...255))
        case 1: damaged.remove(at: index)
        default: damaged.insert(Array("{}[]\",:0-e.".utf8).randomElement(using: &random)!, at: index)
        }
      }
      if (try? KernelTunerCache.parse(damaged, source: "damaged")) != nil { read += 1 }
    }
    #expect(read > 0 && read < 4000)
  }

  @Test func whatIsNotThereIsNoInput() {
    let error = #expect(throws: FormatError.self) { try KernelTunerCache.read("/nowhere/space.json") }
    #expect(error?.exitStatus == .noInput)
  }
}
