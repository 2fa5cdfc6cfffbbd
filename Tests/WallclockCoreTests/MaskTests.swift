import Testing
import WallclockCore

@Suite struct MaskTests {
  static let texts = [
    "full", "causal", "window:1024", "window:8+sinks:4", "full+window:64", "full+alibi", "causal+softcap:50",
    "window:16+sinks:1+alibi+softcap:2.5", "full+window:3+sinks:2",
  ]

  @Test(arguments: texts) func isReadAsWritten(_ text: String) throws {
    #expect(try #require(Mask(rawValue: text)).rawValue == text)
    let problem = try Problem(text: "attention batch=1 tokens=4 heads=2 head-dim=8 mask=\(text)")
    #expect(try Problem(text: problem.description) == problem)
  }

  @Test func nothingElseIsAMask() {
    for text in [
      "", "+", "causal+", "window", "window:", "window:0", "window:-1", "window:x", "window:99999999999", "sinks:4",
      "causal+sinks:4", "causal+window:5", "window:4+window:5", "full+full", "alibi+causal", "causal+alibi+alibi",
      "causal+softcap", "causal+softcap:0", "causal+softcap:nan", "causal+softcap:inf", "window:4+sinks:2+sinks:2",
      "causal:1", "Causal",
    ] { #expect(Mask(rawValue: text) == nil, "\(text)") }
  }

  @Test(arguments: texts) func countsThePairsItShows(_ text: String) throws {
    var mask = try #require(Mask(rawValue: text))
    if mask.window > 0 { mask.window = min(mask.window, 5) }
    for (tokens, keys) in [(1, 1), (7, 7), (1, 20), (5, 20), (20, 5), (13, 30), (4, 0)] {
      var pairs = 0
      var seen: Set<Int> = []
      for i in 0..<tokens {
        let position = keys - tokens + i
        for j in 0..<keys {
          let ahead = mask.isCausal ? j <= position : mask.window == 0 || j < position + mask.window
          guard ahead, mask.window == 0 || j > position - mask.window || j < mask.sinks else { continue }
          pairs += 1
          seen.insert(j)
        }
      }
      #expect(mask.pairs(tokens: tokens, keys: keys) == Double(pairs), "\(tokens) tokens, \(keys) keys")
      // Every key that is seen has to be read; where queries outnumber keys some may be for nothing.
      #expect(mask.keysSeen(tokens: tokens, keys: keys) >= seen.count, "\(tokens) tokens, \(keys) keys")
      if tokens <= keys { #expect(mask.keysSeen(tokens: tokens, keys: keys) == seen.count) }
    }
  }

  @Test func slopesAreThoseOfThePaper() {
    #expect(Mask.alibiSlopes(heads: 8) == (1...8).map { 1 / Float(1 << $0) })
    #expect(Mask.alibiSlopes(heads: 1) == [1 / 256])
    let twelve = Mask.alibiSlopes(heads: 12)
    #expect(twelve.count == 12 && twelve[..<8].elementsEqual(Mask.alibiSlopes(heads: 8)))
    #expect(Array(twelve[8...]) == [0, 2, 4, 6].map { Mask.alibiSlopes(heads: 16)[$0] })
  }

  @Test func attentionProblemsThatCannotBe() {
    for text in [
      "attention batch=1 tokens=4 heads=6 kv-heads=4 head-dim=8", "attention w8a8 batch=1 tokens=4 heads=6 head-dim=8",
      "attention batch=1 tokens=4 head-dim=8", "attention batch=1 tokens=4 heads=2 head-dim=8 mask=window",
    ] { #expect(throws: ProblemTextError.self, "\(text)") { try Problem(text: text) } }
  }

  @Test func bytesAreThoseOfTheCache() {
    let decode = Problem.attention(.bf16, batch: 1, tokens: 1, context: 8192, heads: 32, kvHeads: 8, headDim: 128)
    #expect(decode.bytes == Double(2 * 8192 * 8 * 128 * 2 + 8 * 32 * 128))
    #expect(decode.operations == Double(4 * 8192 * 32 * 128))
    #expect(Problem.attention(batch: 2, tokens: 16, heads: 3, headDim: 8).bytes == Double(16 * 2 * 16 * 3 * 8))
  }
}
