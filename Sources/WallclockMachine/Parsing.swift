/// Readers of the small texts under /proc and /sys. They take what they are given as hostile:
/// anything out of range is nil, never a trap.
enum Parsing {
  /// No kernel knows more CPUs or nodes than this; a longer list is garbage.
  static let mostCPUs = 1 << 16

  static func trimmed(_ text: String) -> String {
    var view = text[...]
    while let c = view.first, c.isWhitespace || c == "\0" { view.removeFirst() }
    while let c = view.last, c.isWhitespace || c == "\0" { view.removeLast() }
    return String(view)
  }

  static func integer(_ text: String?) -> Int? { text.flatMap { Int(trimmed($0)) } }

  /// `0-3,8,10-11`, ascending and without repeats; nil when malformed or empty.
  static func cpuList(_ text: String?) -> [Int]? {
    guard let text, !trimmed(text).isEmpty else { return nil }
    var cpus: Set<Int> = []
    for part in trimmed(text).split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard (1...2).contains(ends.count), let low = Int(ends[0]), let high = Int(ends[ends.count - 1]),
        low >= 0, high >= low, high < mostCPUs
      else { return nil }
      cpus.formUnion(low...high)
    }
    return cpus.sorted()
  }

  /// `32K`, `1024K`, `8M`, `512`: bytes; nil when malformed, zero or beyond reason (1 TiB).
  static func byteSize(_ text: String?) -> Int? {
    guard var digits = text.map({ trimmed($0)[...] }), let last = digits.last else { return nil }
    let scale: Int
    switch last {
    case "K", "k": scale = 1 << 10
    case "M", "m": scale = 1 << 20
    case "G", "g": scale = 1 << 30
    default: scale = 1
    }
    if scale > 1 { digits.removeLast() }
    guard let value = Int(digits), value > 0 else { return nil }
    let (bytes, overflow) = value.multipliedReportingOverflow(by: scale)
    return overflow || bytes > 1 << 40 ? nil : bytes
  }

  /// The word in brackets of `always [madvise] never`.
  static func selected(_ text: String?) -> String? {
    guard let text, let open = text.firstIndex(of: "[") else { return nil }
    let rest = text[text.index(after: open)...]
    guard let close = rest.firstIndex(of: "]"), close > rest.startIndex else { return nil }
    return String(rest[..<close])
  }

  /// The `key : value` lines of /proc/cpuinfo, one dictionary per processor (blank lines part them).
  static func cpuinfo(_ text: String?) -> [[String: String]] {
    guard let text else { return [] }
    var blocks: [[String: String]] = []
    var block: [String: String] = [:]
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.allSatisfy(\.isWhitespace) {
        if !block.isEmpty { blocks.append(block) }
        block = [:]
      } else if let colon = line.firstIndex(of: ":") {
        let key = trimmed(String(line[..<colon]))
        block[key] = trimmed(String(line[line.index(after: colon)...]))
      }
    }
    if !block.isEmpty { blocks.append(block) }
    return blocks
  }
}
