#if canImport(Glibc)
  import Glibc
#endif

/// Which keys a query sees, and what becomes of their scores on the way to the softmax.
///
/// Written as `full`, `causal` or `window:1024`, which is causal, followed by what applies of `+sinks:4`, `+alibi`
/// and `+softcap:50`. A window that looks both ways is `full+window:64`.
public struct Mask: Hashable, Sendable, Codable, RawRepresentable {
  /// A query sees the key beside it and those before it only.
  public var isCausal: Bool
  /// A query sees keys less than this far away; 0: all.
  public var window: Int
  /// The first keys, which are seen whatever the window; without a window they mean nothing.
  public var sinks: Int
  /// Scores fall with the distance, each head by a slope of its own (Press et al., arXiv 2108.12409).
  public var alibi: Bool
  /// Scores become `softcap · tanh(score / softcap)`, before ALiBi; 0: they stay.
  public var softcap: Float

  public init(isCausal: Bool = true, window: Int = 0, sinks: Int = 0, alibi: Bool = false, softcap: Float = 0) {
    self.isCausal = isCausal
    self.window = window
    self.sinks = sinks
    self.alibi = alibi
    self.softcap = softcap
  }

  public static let full = Mask(isCausal: false)
  public static let causal = Mask()
  public static func window(_ keys: Int, sinks: Int = 0) -> Mask { Mask(window: keys, sinks: sinks) }

  /// The two that most models need.
  public static let plain: [Mask] = [.full, .causal]
  public static let form = "full, causal or window:KEYS, then any of +sinks:KEYS, +alibi, +softcap:VALUE"

  public init?(rawValue: String) {
    self = .causal
    for (index, part) in rawValue.split(separator: "+", omittingEmptySubsequences: false).enumerated() {
      let words = part.split(separator: ":", omittingEmptySubsequences: false)
      let count = words.count == 2 ? Int(words[1]).flatMap { (1...Problem.largestSize).contains($0) ? $0 : nil } : nil
      switch (words[0], index) {
      case ("full", 0) where words.count == 1: self = .full
      case ("causal", 0) where words.count == 1: self = .causal
      case ("window", _) where count != nil && window == 0 && (index == 0 || !isCausal): window = count!
      case ("sinks", 1...) where count != nil && sinks == 0 && window > 0: sinks = count!
      case ("alibi", 1...) where words.count == 1 && !alibi: alibi = true
      case ("softcap", 1...) where words.count == 2 && softcap == 0:
        guard let cap = Float(words[1]), (0.01..<1e6).contains(cap) else { return nil }
        softcap = cap
      default: return nil
      }
    }
  }

  public var rawValue: String {
    var parts = [isCausal ? window > 0 ? "window:\(window)" : "causal" : "full"]
    if window > 0 && !isCausal { parts.append("window:\(window)") }
    if sinks > 0 { parts.append("sinks:\(sinks)") }
    if alibi { parts.append("alibi") }
    if softcap > 0 { parts.append("softcap:\(softcap == softcap.rounded() ? "\(Int(softcap))" : "\(softcap)")") }
    return parts.joined(separator: "+")
  }

  /// (query, key) pairs in which `tokens` queries, the last beside the last of `keys` keys, see one.
  public func pairs(tokens: Int, keys: Int) -> Double {
    /// Σ of what lies within 0 … limit of first, first + 1, …, `tokens` of them.
    func sum(from first: Int, limit: Int) -> Double {
      let rising = max(0, min(tokens, limit - first) - max(0, -first))  // those within 0 ..< limit
      let start = Double(max(0, first))
      let full = max(0, tokens - max(0, limit - first))
      return Double(rising) * (2 * start + Double(rising) - 1) / 2 + Double(full) * Double(limit)
    }
    let first = keys - tokens + 1  // keys up to the first query's own
    let ends = isCausal ? sum(from: first, limit: keys)
      : window > 0 ? sum(from: first - 1 + window, limit: keys) : Double(tokens) * Double(keys)
    guard window > 0 else { return ends }
    return ends - sum(from: first - window, limit: keys) + sum(from: first - window, limit: min(sinks, keys))
  }

  /// Keys that some of these queries see.
  public func keysSeen(tokens: Int, keys: Int) -> Int {
    guard window > 0 else { return keys }
    let low = max(0, min(keys, keys - tokens + 1 - window))
    return keys - low + min(sinks, low)
  }
}

extension Mask {
  /// ALiBi's slope of each head: 2^(−8·h/heads), h from 1, for a power of two; otherwise those of the power below,
  /// then every other one of the power above.
  public static func alibiSlopes(heads: Int) -> [Float] {
    var power = 1
    while 2 * power <= heads { power *= 2 }
    func slopes(_ count: Int) -> [Float] { (1...count).map { Float(exp2(-8 * Double($0) / Double(count))) } }
    guard heads > 0 else { return [] }
    let further = slopes(2 * power)
    return slopes(power) + (0..<heads - power).map { further[2 * $0] }
  }
}
