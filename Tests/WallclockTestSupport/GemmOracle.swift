import WallclockCore
import WallclockKernels

#if canImport(Glibc)
  import Glibc
#endif

/// What the operands of a GEMM hold.
package enum GemmPattern: String, CaseIterable, Sendable {
  case random
  /// The codes furthest from zero, signs as they come: sums that saturate 16 bits where they may not.
  case extreme
  /// The largest sums: every product is positive.
  case greatest
  /// Float only: large terms that cancel to small sums.
  case cancelling
  /// Float only: products below the smallest normal number.
  case denormal
}

/// Operands of a GEMM, made without the code under test, and what C should be by plain loops in f64.
///
/// Sums over K are made once for all rows and columns, so a test of many shapes asks for a prefix.
package struct GemmOracle {
  package let a: ElementType
  package let b: ElementType
  package let rows: Int
  package let columns: Int
  package let k: Int

  /// rows×k: what A's elements stand for, without their row's scale.
  package private(set) var activations: [Double] = []
  /// Per row, for integer A; with s8g32 weights per row and group.
  package private(set) var activationScales: [Float] = []
  /// Per row, for integer A and s8 weights of some patterns: what centred codes leave out; else empty.
  package private(set) var activationOffsets: [Float] = []
  /// columns×k: f32 and bf16 values, 8-bit codes, 4-bit codes less their zero point.
  package private(set) var weights: [Double] = []
  /// Per column and group, for 4-bit weights that have them; else empty.
  private var zeroPoints: [Int] = []
  /// Per column for s8, per column and group for q4 (exact in f16).
  package private(set) var weightScales: [Float] = []
  package var bias: [Float] = []
  /// rows×columns.
  package private(set) var residual: [Float] = []
  /// Per row: what a code of the output counts. One row in five has none.
  package private(set) var codeScales: [Float] = []

  /// rows×columns: A·W, scaled.
  private var products: [Double] = []
  /// rows×columns: Σ|a·w|, scaled.
  private var magnitudes: [Double] = []
  /// rows×columns, for integer A: what the sums are in f32 before A's (and s8 weights') scale.
  private var integerSums: [Float] = []

  package var isInteger: Bool { a == .s8 || a == .u8 || a == .s16 }
  private var group: Int { b.groupSize ?? 0 }
  package var activationScalesPerRow: Int { b == .s8g32 ? k / group : 1 }

  package init(
    a: ElementType, b: ElementType, rows: Int, columns: Int, k: Int, pattern: GemmPattern, seed: UInt64
  ) {
    self.a = a
    self.b = b
    self.rows = rows
    self.columns = columns
    self.k = k
    var random = TestRandom(seed: seed)
    let groups = b.groupSize.map { k / $0 } ?? 0
    if isInteger {
      activations = (0..<rows * k).map { _ in Self.activationCode(pattern, &random) }
      activationScales = (0..<rows * (b == .s8g32 ? groups : 1)).map { _ in 0.001 + abs(random.signed()) * 0.02 }
      if b == .s8, pattern != .greatest { activationOffsets = (0..<rows).map { _ in random.signed() } }
    } else {
      activations = (0..<rows * k).map { Self.activation($0 % max(k, 1), a, pattern, &random) }
    }
    switch b {
    case .s8:
      weights = (0..<columns * k).map { _ in Self.weightCode(pattern, -128...127, &random) }
      weightScales = (0..<columns).map { _ in 0.001 + abs(random.signed()) * 0.01 }
    case .s8g32:
      weights = (0..<columns * k).map { _ in Self.weightCode(pattern, -128...127, &random) }
      weightScales = (0..<columns * groups).map { _ in
        Float(random.integer(1...1024)) * 0x1p-14 * (random.integer(0...1) == 0 ? 1 : -1)
      }
    case .q4zg32, .q4zg64, .q4zg128:
      zeroPoints = (0..<columns * groups).map { _ in pattern == .random ? random.integer(0...15) : random.integer(0...1) * 15 }
      weights = (0..<columns * k).map {
        Self.weightCode(pattern, 0...15, &random) - Double(zeroPoints[$0 / group])
      }
      weightScales = (0..<columns * groups).map { _ in Float(random.integer(1...1024)) * 0x1p-10 }
    case .q4g32, .q4g64, .q4g128:
      weights = (0..<columns * k).map { _ in Self.weightCode(pattern, -8...7, &random) }
      // Multiples of 2⁻¹⁰ below 2: exact in f16.
      weightScales = (0..<columns * groups).map { _ in
        Float(random.integer(1...1024)) * 0x1p-10 * (random.integer(0...1) == 0 ? 1 : -1)
      }
    default:
      weights = (0..<columns * k).map { Self.weight($0 % max(k, 1), b, pattern, &random) }
    }
    bias = (0..<columns).map { _ in random.signed() * 4 }
    residual = (0..<rows * columns).map { _ in random.signed() * 4 }
    codeScales = (0..<rows).map { $0 % 5 == 3 ? 0 : 0.01 + abs(random.signed()) * 0.2 }
    sum()
  }

  // MARK: - Operands

  private static func activationCode(_ pattern: GemmPattern, _ random: inout TestRandom) -> Double {
    switch pattern {
    case .extreme: [-128, 127, -127][random.integer(0...2)]
    case .greatest: 127
    default: Double(random.integer(-128...127))
    }
  }

  private static func weightCode(
    _ pattern: GemmPattern, _ range: ClosedRange<Int>, _ random: inout TestRandom
  ) -> Double {
    switch pattern {
    case .extreme: Double([range.lowerBound, range.upperBound, range.lowerBound + 1][random.integer(0...2)])
    case .greatest: Double(range.upperBound)
    default: Double(random.integer(range))
    }
  }

  private static func activation(
    _ p: Int, _ type: ElementType, _ pattern: GemmPattern, _ random: inout TestRandom
  ) -> Double {
    let value: Float =
      switch pattern {
      case .random: Float(random.normal())
      case .extreme: random.signed() < 0 ? -65504 : 65504
      case .greatest: 1000 + random.signed()
      // Neighbours along K nearly cancel: their weights are equal.
      case .cancelling: p % 2 == 0 ? 3e4 : -3e4 * (1 + random.signed() * 0x1p-7)
      case .denormal: random.signed() * 0x1p-127
      }
    return Double(type == .bf16 ? roundedToBF16(value) : value)
  }

  private static func weight(
    _ p: Int, _ type: ElementType, _ pattern: GemmPattern, _ random: inout TestRandom
  ) -> Double {
    let value: Float =
      switch pattern {
      case .random: Float(random.normal()) * 0.1
      case .extreme: random.signed() < 0 ? -1000 : 1000
      case .greatest: 10 + random.signed()
      case .cancelling: 0.5
      case .denormal: random.signed()
      }
    return Double(type == .bf16 ? roundedToBF16(value) : value)
  }

  /// Replaces one value of A, a float type, and sums its row again.
  package mutating func setActivation(_ row: Int, _ p: Int, _ value: Float) {
    activations[row * k + p] = Double(a == .bf16 ? roundedToBF16(value) : value)
    sum(rows: row..<row + 1)
  }

  /// Makes a row what a quantiser makes of one that holds a NaN: scale NaN, codes zero.
  package mutating func poisonRow(_ row: Int) {
    let scales = activationScalesPerRow
    for i in row * scales..<(row + 1) * scales { activationScales[i] = .nan }
    if !activationOffsets.isEmpty { activationOffsets[row] = 0 }
    for p in 0..<k { activations[row * k + p] = 0 }
    sum(rows: row..<row + 1)
  }

  /// Replaces one weight of a float type and sums its column again.
  package mutating func setWeight(_ column: Int, _ p: Int, _ value: Float) {
    weights[column * k + p] = Double(b == .bf16 ? roundedToBF16(value) : value)
    sum()
  }

  /// Element `i` of grouped weights as the kernel ABI has it: 8 bits, or 4 and a zero point of the group above.
  package func storedCode(_ i: Int) -> UInt8 {
    if b == .s8g32 { return UInt8(bitPattern: Int8(weights[i])) }
    guard b.hasZeroPoints else { return UInt8(weights[i] + 8) }
    let zero = zeroPoints[i / group]
    return UInt8(Int(weights[i]) + zero | zero << 4)
  }

  // MARK: - Sums

  private mutating func sum() {
    products = Array(repeating: 0, count: rows * columns)
    magnitudes = products
    integerSums = isInteger ? Array(repeating: 0, count: rows * columns) : []
    sum(rows: 0..<rows)
  }

  private mutating func sum(rows range: Range<Int>) {
    let block = group > 0 ? group : max(k, 1)
    for i in range {
      for j in 0..<columns {
        var product = 0.0
        var magnitude = 0.0
        var scaled: Float = 0
        for first in stride(from: 0, to: k, by: block) {
          var part = 0.0
          var size = 0.0
          for p in first..<min(k, first + block) {
            let term = activations[i * k + p] * weights[j * k + p]
            part += term
            size += abs(term)
          }
          let scale = group > 0 ? weightScales[j * (k / group) + first / group] : 1
          let rowScale = b == .s8g32 ? activationScales[i * (k / group) + first / group] : 1
          product += part * Double(scale) * Double(rowScale)
          magnitude += size * Double(abs(scale)) * Double(rowScale)
          // Sums of codes are whole numbers far below 2⁵³, so `part` is exact.
          scaled = group > 0 ? scaled.addingProduct(Float(part) * rowScale, scale) : Float(part)
        }
        if b == .s8 {
          product *= Double(weightScales[j])
          magnitude *= Double(weightScales[j])
        }
        if isInteger {
          if b != .s8g32 {
            product *= Double(activationScales[i])
            magnitude *= abs(Double(activationScales[i]))
          }
          integerSums[i * columns + j] = scaled
          if !activationOffsets.isEmpty {
            var size = 0.0
            for p in 0..<k { size += abs(weights[j * k + p]) }
            let offset = Double(activationOffsets[i]) * Double(weightScales[j])
            product += offset * Double(columnSum(j))
            magnitude += abs(offset) * size
          }
        }
        products[i * columns + j] = product
        magnitudes[i * columns + j] = magnitude
      }
    }
  }

  /// Σ over group `g` of row i's values, as the ABI's `a_sum` has it.
  package func groupSum(_ i: Int, _ g: Int) -> Int32 {
    var total = 0.0
    for p in g * group..<(g + 1) * group { total += activations[i * k + p] }
    return Int32(total)
  }

  /// Σ over K of column j's codes, as the ABI's `b_sum` has it.
  package func columnSum(_ j: Int) -> Int32 {
    var total = 0.0
    for p in 0..<k { total += weights[j * k + p] }
    return Int32(total)
  }

  // MARK: - What C should be

  /// For integer A: the value before the activation, to the bit, as the ABI's epilogue arithmetic has it.
  package func exactSum(_ i: Int, _ j: Int, _ epilogue: Epilogue) -> Float {
    let bias = epilogue.contains(.bias) ? bias[j] : 0
    let sum = integerSums[i * columns + j]
    if b == .s8 {
      var scaled = sum * activationScales[i]
      if !activationOffsets.isEmpty { scaled.addProduct(activationOffsets[i], Float(columnSum(j))) }
      return bias.addingProduct(scaled, weightScales[j])
    }
    return b == .s8g32 ? sum + bias : bias.addingProduct(sum, activationScales[i])
  }

  private func biased(_ i: Int, _ j: Int, _ epilogue: Epilogue) -> (value: Double, magnitude: Double) {
    let at = i * columns + j
    guard epilogue.contains(.bias) else { return (products[at], magnitudes[at]) }
    return (products[at] + Double(bias[j]), magnitudes[at] + Double(abs(bias[j])))
  }

  /// What a GEMM of the first `n` columns makes of row i and output j, in f64. Gated, columns below n/2 are
  /// gates and the others ups.
  package func element(_ i: Int, _ j: Int, _ epilogue: Epilogue, n: Int) -> GemmElement {
    let own = biased(i, j, epilogue)
    let up = epilogue.contains(.gated) ? biased(i, n / 2 + j, epilogue) : (1, 0)
    return finishedElement(
      own, up: up, epilogue, residual: residual[i * columns + j], codeScale: codeScales[i])
  }

  /// What a code of row i counts, for an epilogue that makes codes.
  package func codeScale(_ i: Int) -> Double { Double(codeScales[i]) }

  /// The error of `found` as a fraction of what `Tolerance` allows; NaN must be NaN.
  package func excess(
    _ found: Double, _ i: Int, _ j: Int, _ epilogue: Epilogue, n: Int, _ kernel: KernelDescriptor
  ) -> Double {
    let element = element(i, j, epilogue, n: n)
    let expected = element.value
    if expected.isNaN || found.isNaN { return expected.isNaN && found.isNaN ? 0 : .infinity }
    if found == expected { return 0 }
    let allowed = Tolerance.gemm(kernel, k: k, epilogue: epilogue, element, scale: codeScale(i))
    let ratio = abs(found - expected) / allowed
    return ratio.isNaN ? .infinity : ratio
  }
}

/// The epilogue after the bias, in f64. Codes are in units of their scale, clamped, not rounded, 0 for NaN and
/// for a scale that is not a positive normal number.
package func finishedElement(
  _ own: (value: Double, magnitude: Double), up: (value: Double, magnitude: Double), _ epilogue: Epilogue,
  residual: Float, codeScale: Float
) -> GemmElement {
  let activated = exactActivation(epilogue, own.value)
  let added = epilogue.contains(.residual) ? Double(residual) : 0
  var value = activated * up.value + added
  if epilogue.contains(.s8) || epilogue.contains(.u8) {
    let usable = codeScale >= .leastNormalMagnitude && !value.isNaN
    value = usable ? min(max(value * Double(1 / codeScale), -127), 127) : 0
  }
  return GemmElement(
    value: value, magnitude: own.magnitude, activated: activated, up: up.value, upMagnitude: up.magnitude,
    residual: added)
}

package func exactActivation(_ epilogue: Epilogue, _ x: Double) -> Double {
  if epilogue.contains(.gelu) { return exactGELU(x) }
  if epilogue.contains(.relu) { return x < 0 ? 0 : x }
  guard !epilogue.isDisjoint(with: [.silu, .geluTanh]) else { return x }
  if x == -.infinity { return 0 }
  let z = epilogue.contains(.silu) ? x : 2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
  return x / (1 + exp(-z))
}

/// x·Φ(x), without the cancellation of 1 + erf for negative x.
package func exactGELU(_ x: Double) -> Double {
  x == -.infinity ? 0 : 0.5 * x * erfc(-x * 0.5.squareRoot())
}

/// The nearest bf16, ties to even; NaN stays NaN.
package func roundedToBF16(_ x: Float) -> Float {
  guard x.isFinite else { return x }
  let bits = x.bitPattern
  let low = bits & 0xFFFF
  let high = bits & 0xFFFF_0000
  let up = low > 0x8000 || (low == 0x8000 && bits & 0x1_0000 != 0)
  return Float(bitPattern: up ? high &+ 0x1_0000 : high)
}
