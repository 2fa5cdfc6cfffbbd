import Foundation

/// The text clean-up of BERT's tokenizers, as Hugging Face's `tokenizers` does it.
///
/// That library's tables of categories are those of Unicode 8, and its canonical decomposition that
/// of Unicode 12; characters added later are kept whole. A test compares every
/// scalar's class with the library's, so equal ids do not hang on the Unicode version of the toolchain.
struct BERTNormalizer: Hashable, Sendable {
  /// Drops control and format characters, and makes every white space a space.
  var cleansText = true
  /// Puts spaces around CJK ideographs.
  var separatesIdeographs = true
  /// Decomposes canonically and drops nonspacing marks.
  var stripsAccents = true
  var lowercases = true

  func normalize(_ text: some Collection<Unicode.Scalar>) -> [Unicode.Scalar] {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.count)
    for scalar in text {
      var scalar = scalar
      if cleansText {
        if scalar.isDroppedByCleaning { continue }
        if scalar.properties.isWhitespace { scalar = " " }
      }
      if separatesIdeographs && scalar.isIdeograph {
        scalars += [" ", scalar, " "]
      } else {
        scalars.append(scalar)
      }
    }
    if stripsAccents {
      scalars = Self.decompose(scalars)
      scalars.removeAll(where: \.isStrippedMark)
    }
    guard lowercases else { return scalars }
    var lower: [Unicode.Scalar] = []
    lower.reserveCapacity(scalars.count)
    for scalar in scalars {
      if scalar.isASCII {
        lower.append(("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) + 32) : scalar)
      } else {
        lower += scalar.properties.lowercaseMapping.unicodeScalars
      }
    }
    return lower
  }

  /// Canonical decomposition (NFD) with canonical ordering, of what Unicode 12 knew.
  static func decompose(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    // Nothing below U+00C0 decomposes or combines.
    guard scalars.contains(where: { $0.value >= 0xC0 }) else { return scalars }
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(scalars.count)
    for scalar in scalars {
      // Most text of other scripts lies in these blocks, which hold no decomposition.
      let plain = scalar.value < 0xC0 || (0x3100...0xA7FF).contains(scalar.value)
      if plain || !scalar.existed(in: 12) {
        result.append(scalar)
      } else {
        result += String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars
      }
    }
    // Marks of a run are ordered by their combining class; equal classes keep their order.
    var start = 0
    while start < result.count {
      guard result[start].orderingClass != 0 else {
        start += 1
        continue
      }
      var end = start + 1
      while end < result.count && result[end].orderingClass != 0 { end += 1 }
      if end - start > 1 {
        let ordered = result[start..<end].enumerated().sorted {
          ($0.element.orderingClass, $0.offset) < ($1.element.orderingClass, $1.offset)
        }
        result.replaceSubrange(start..<end, with: ordered.map(\.element))
      }
      start = end
    }
    return result
  }
}

extension Unicode.Scalar {
  /// Whether it was assigned in that version of Unicode or an earlier one.
  func existed(in major: Int) -> Bool {
    guard let age = properties.age else { return false }
    return age.major < major || (age.major == major && age.minor == 0)
  }

  fileprivate var orderingClass: UInt8 {
    value < 0x300 || !existed(in: 12) ? 0 : properties.canonicalCombiningClass.rawValue
  }

  var isDroppedByCleaning: Bool {
    if value == 0 || value == 0xFFFD { return true }
    if self == "\t" || self == "\n" || self == "\r" { return false }
    if isASCII { return value < 0x20 || value == 0x7F }
    return switch properties.generalCategory {
    case .control, .privateUse: true
    case .format: existed(in: 8)
    default: false
    }
  }

  /// Nonspacing marks of Unicode 8, five of which have changed category since.
  var isStrippedMark: Bool {
    switch value {
    case 0..<0x300: false
    case 0x1734, 0x1171E: true
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: false
    default: properties.generalCategory == .nonspacingMark && existed(in: 8)
    }
  }

  /// The blocks of the original BERT, with the library's own last but two, which starts at U+2B920.
  var isIdeograph: Bool {
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
      0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }

  /// Punctuation that is a word of its own: the symbols of ASCII, and the P categories of Unicode 8.
  var isSeparatingPunctuation: Bool {
    switch value {
    case 33...47, 58...64, 91...96, 123...126: return true
    case 0..<0x80: return false
    case 0x166D, 0x111C9: return true
    default: break
    }
    switch properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      return existed(in: 8)
    default: return false
    }
  }
}
