import Foundation
import Testing
import WallclockCore

@testable import WallclockFormats

/// Damaged files give an error or a value, never a trap. Prints its seed; to run one again:
/// `WALLCLOCK_FUZZ_SEED=<seed> swift test --filter FuzzTests`. `WALLCLOCK_FUZZ_ROUNDS` lengthens it.
@Suite(.serialized) struct FuzzTests {
  /// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
  struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
      return z ^ z >> 31
    }
  }

  static func setting(_ name: String) -> UInt64? {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
  }

  /// Calls `body` with `original`, damaged anew each time.
  static func damage(_ name: String, _ original: [UInt8], _ body: ([UInt8]) throws -> Void) {
    let seed = setting("WALLCLOCK_FUZZ_SEED") ?? UInt64.random(in: 0...UInt64.max)
    let rounds = setting("WALLCLOCK_FUZZ_ROUNDS") ?? 1000
    print("\(name): \(rounds) rounds, again with WALLCLOCK_FUZZ_SEED=\(seed) swift test --filter FuzzTests")
    var generator = Generator(state: seed)
    // Bytes that mean something where they land.
    let telling = Array("{}[]\":,-0123456789eE.\\u \u{0}".utf8) + [0x7F, 0x80, 0xC3, 0xFF]
    for _ in 0..<rounds {
      var bytes = original
      for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: bytes[place] = telling.randomElement(using: &generator)!
        case 2: bytes.remove(at: place)
        case 3: bytes.insert(telling.randomElement(using: &generator)!, at: place)
        case 4: bytes.removeSubrange(place...)
        default:
          let end = Int.random(in: place...min(place + 20, bytes.count), using: &generator)
          bytes.insert(contentsOf: bytes[place..<end], at: place)
        }
      }
      do { try body(bytes) } catch { #expect(error is FormatError, "\(error)") }
    }
  }

  @Test func safetensorsFiles() throws {
    let files = try TemporaryFiles()
    let header = """
      {"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
      "b":{"dtype":"BF16","shape":[2,2],"data_offsets":[24,32]},"c":{"dtype":"F16","shape":[1],"data_offsets":[32,34]}}
      """
    let valid = safetensors(header, data: [UInt8](repeating: 1, count: 34))
    _ = try SafetensorsFile(path: files.write("f.safetensors", valid))
    Self.damage("safetensors", valid) { bytes in
      let file = try SafetensorsFile(path: files.write("f.safetensors", bytes))
      for name in file.tensorNames { _ = try file.tensor(named: name).floats().count }
    }
  }

  @Test func configurations() throws {
    let files = try TemporaryFiles()
    let valid = Array(ConfigurationTests.json().utf8)
    Self.damage("config.json", valid) { bytes in
      _ = try ModelConfiguration.read(files.write("config.json", bytes))
    }
  }

  @Test func tokenizers() throws {
    let files = try TemporaryFiles()
    let post = """
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]"}},{"Sequence":{"id":"A"}}],
      "special_tokens":{"[CLS]":{"ids":[1]}}}
      """
    let valid = TokenizerTests.small(
      added: #"{"id":7,"content":"<T>","single_word":true,"lstrip":true,"normalized":true}"#, post: post)
    _ = try TokenizerTests.read(valid)
    Self.damage("tokenizer.json", Array(valid.utf8)) { bytes in
      try files.write("tokenizer.json", bytes)
      let tokenizer = try WordPieceTokenizer.read(directory: files.directory)
      let ids = tokenizer.encode("[CLS] abab <T> xbc é漢字 \u{0}")
      #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize })
    }
  }

  @Test func textsOfAnyScalars() throws {
    let tokenizer = try TokenizerTests.read(TokenizerTests.small()).limited(to: 64)
    Self.damage("text", Array("The cat, the \u{301}caf\u{E9} \u{4E00}\u{1F600}".utf8)) { bytes in
      let ids = tokenizer.encode(String(decoding: bytes, as: UTF8.self))
      #expect(ids.first == 1 && ids.last == 2 && ids.count <= 64)
    }
  }
}
