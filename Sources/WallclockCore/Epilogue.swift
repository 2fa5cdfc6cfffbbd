/// What follows a GEMM in the same pass over its output, in this order: bias, activation, gate, residual,
/// conversion.
public struct Epilogue: OptionSet, Hashable, Sendable, Codable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  public static let bias = Epilogue(rawValue: 1)
  /// In its erf form.
  public static let gelu = Epilogue(rawValue: 2)
  public static let residual = Epilogue(rawValue: 4)
  public static let silu = Epilogue(rawValue: 8)
  public static let relu = Epilogue(rawValue: 16)
  public static let geluTanh = Epilogue(rawValue: 32)
  /// Half of the N columns are gates, half what they multiply: C, `M×N/2`, is activation(gate) · up, so SwiGLU
  /// with `silu` and GEGLU with `gelu`. W's rows are all gates, then all ups.
  public static let gated = Epilogue(rawValue: 64)
  /// C is bf16 in place of f32.
  public static let bf16 = Epilogue(rawValue: 128)
  /// C is 8-bit codes of a scale that the caller gives, for all of C or for each row.
  public static let s8 = Epilogue(rawValue: 256)
  /// The same codes plus 128.
  public static let u8 = Epilogue(rawValue: 512)

  public static let activations: Epilogue = [.gelu, .geluTanh, .silu, .relu]
  public static let conversions: Epilogue = [.bf16, .s8, .u8]
  public static let all: Epilogue = [.bias, .activations, .gated, .residual, .conversions]

  private static let names: [(Epilogue, String)] = [
    (.bias, "bias"), (.gelu, "gelu"), (.geluTanh, "gelu-tanh"), (.silu, "silu"), (.relu, "relu"), (.gated, "gated"),
    (.residual, "residual"), (.bf16, "bf16"), (.s8, "s8"), (.u8, "u8"),
  ]

  /// The parts that text may name.
  public static var partNames: [String] { names.map(\.1) }

  /// At most one activation and one conversion.
  public var isWellFormed: Bool {
    isSubset(of: .all) && intersection(.activations).rawValue.nonzeroBitCount <= 1
      && intersection(.conversions).rawValue.nonzeroBitCount <= 1
  }

  /// The well-formed epilogues made of parts of this one.
  public var combinations: [Epilogue] {
    (0...rawValue).map { Epilogue(rawValue: $0) }.filter { $0.isSubset(of: self) && $0.isWellFormed }
  }

  /// What C's elements are.
  public var outputType: ElementType {
    contains(.bf16) ? .bf16 : contains(.s8) ? .s8 : contains(.u8) ? .u8 : .f32
  }

  /// Columns of C for N columns of W.
  public func outputs(n: Int) -> Int { contains(.gated) ? n / 2 : n }
}

extension Epilogue: LosslessStringConvertible {
  /// `bias+gelu`, `silu+gated+bf16`, or `none`; nil for what is not well-formed.
  public init?(_ description: String) {
    self = []
    if description == "none" { return }
    for part in description.split(separator: "+", omittingEmptySubsequences: false) {
      guard let match = Epilogue.names.first(where: { $0.1 == part }) else { return nil }
      insert(match.0)
    }
    guard isWellFormed else { return nil }
  }
  public var description: String {
    isEmpty
      ? "none" : Epilogue.names.filter { contains($0.0) }.map(\.1).joined(separator: "+")
  }
  public init(from decoder: any Decoder) throws { self = try decoder.losslessString("epilogue") }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
