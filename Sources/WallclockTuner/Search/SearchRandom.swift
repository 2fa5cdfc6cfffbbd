#if canImport(Glibc)
  import Glibc
#endif

/// Reproducible random numbers for searching (SplitMix64, Steele et al. 2014).
struct SearchRandom: RandomNumberGenerator {
  private var state: UInt64

  /// Seeds are mixed first: the generator only counts, so streams of nearby states would be one
  /// stream, shifted.
  init(seed: UInt64) { state = Self.mixed(seed &+ 0xD1B5_4A32_D192_ED03) }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mixed(state)
  }

  private static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// In `0..<1`.
  mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// In `0..<bound`.
  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

  /// Standard normal (Box and Muller 1958).
  mutating func normal() -> Double {
    (-2 * log(1 - uniform())).squareRoot() * cos(2 * .pi * uniform())
  }

  /// Exponential of mean 1.
  mutating func exponential() -> Double { -log(1 - uniform()) }
}

