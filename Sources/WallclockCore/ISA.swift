/// An instruction-set level kernels are written for: features, not CPU brands.
public enum ISA: String, Hashable, Sendable, Codable, CaseIterable, Comparable {
  case scalar
  /// AVX2, FMA and F16C.
  case avx2
  case avxvnni
  /// AVX-512 F, BW, DQ and VL.
  case avx512
  case avx512vnni, avx512bf16
  case amxint8, amxbf16
  case neon, neondot, neoni8mm, neonbf16

  /// Multiplies blocks of sixteen rows, however few are there.
  public var isTiled: Bool { self == .amxint8 || self == .amxbf16 }

  private var order: Int { Self.allCases.firstIndex(of: self)! }
  public static func < (a: ISA, b: ISA) -> Bool { a.order < b.order }
}
