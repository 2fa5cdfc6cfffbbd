/// The type of one element of an operand, named as kernels name it.
public enum ElementType: String, Hashable, Sendable, Codable, CaseIterable {
  case f32, f16, bf16, s8, u8, s16, s32
  /// Unsigned 4-bit codes, `scale · (code − 8)`, one f16 scale per 32, 64 or 128 values along K.
  case q4g32, q4g64, q4g128

  /// Values that share one scale along K; `nil` for types without groups.
  public var groupSize: Int? {
    switch self {
    case .q4g32: 32
    case .q4g64: 64
    case .q4g128: 128
    default: nil
    }
  }

  /// Storage of one value, scales included, in bits.
  public var bitsPerValue: Double {
    switch self {
    case .f32, .s32: 32
    case .f16, .bf16, .s16: 16
    case .s8, .u8: 8
    case .q4g32, .q4g64, .q4g128: 4 + 16 / Double(groupSize!)
    }
  }
}
