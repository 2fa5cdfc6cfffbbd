/// Reproducible random numbers for tests: PCG-XSH-RR 64/32 (O'Neill 2014), unlike the generator that
/// the code under test fills operands with.
package struct TestRandom: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) {
    state = 0
    _ = step()
    state &+= seed
    _ = step()
  }

  private mutating func step() -> UInt32 {
    let old = state
    state = old &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let shifted = UInt32(truncatingIfNeeded: ((old >> 18) ^ old) >> 27)
    let rotation = UInt32(truncatingIfNeeded: old >> 59)
    return (shifted >> rotation) | (shifted << ((0 &- rotation) & 31))
  }

  package mutating func next() -> UInt64 { UInt64(step()) << 32 | UInt64(step()) }

  /// Uniform in −1 … 1.
  package mutating func signed() -> Float { Float(Int32(bitPattern: step())) * 0x1p-31 }

  /// Uniform over `range`.
  package mutating func integer(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

  /// Normal, mean 0 and deviation 1 (Box and Muller 1958).
  package mutating func normal() -> Double {
    let u = (Double(next() >> 11) + 0.5) * 0x1p-53
    let v = Double(next() >> 11) * 0x1p-53
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
  }
}

#if canImport(Glibc)
  import Glibc
#endif
