/// The type of one element of an operand, named as kernels name it.
public enum ElementType: String, Hashable, Sendable, Codable, CaseIterable {
  case f32, f16, bf16, s8, u8, s16, s32
  /// Unsigned 4-bit codes, `scale · (code − 8)`, one f16 scale per 32, 64 or 128 values along K.
  case q4g32, q4g64, q4g128
  /// The same with a 4-bit zero point per group: `scale · (code − zero)`.
  case q4zg32, q4zg64, q4zg128
  /// s8 codes, one f16 scale per 32 values along K.
  case s8g32

  /// Values that share one scale along K; `nil` for types without groups.
  public var groupSize: Int? {
    switch self {
    case .q4g32, .q4zg32, .s8g32: 32
    case .q4g64, .q4zg64: 64
    case .q4g128, .q4zg128: 128
    default: nil
    }
  }

  /// Whether each group has a zero point of its own.
  public var hasZeroPoints: Bool {
    switch self {
    case .q4zg32, .q4zg64, .q4zg128: true
    default: false
    }
  }

  /// Storage of one value, scales included, in bits.
  public var bitsPerValue: Double {
    switch self {
    case .f32, .s32: 32
    case .f16, .bf16, .s16: 16
    case .s8, .u8: 8
    case .s8g32: 8 + 16 / Double(groupSize!)
    case .q4g32, .q4g64, .q4g128: 4 + 16 / Double(groupSize!)
    case .q4zg32, .q4zg64, .q4zg128: 4 + 20 / Double(groupSize!)
    }
  }
}
