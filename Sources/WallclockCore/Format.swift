/// How a layer's weights are stored and what its activations become: `f32`, `bf16`, `w8a8`,
/// `w8a8-g32`, `w4a8-g32`, `w4a16-g128`, `w4a8-g32-asym`. Named as in the field; `a16` activations stay f32 or bf16, weights of
/// `asym` have zero points.
public struct Format: Hashable, Sendable, Codable {
  public enum Weights: Hashable, Sendable {
    case f32, bf16
    /// 8-bit, one scale per output channel.
    case int8
    /// 8-bit, one scale per `groupSize` values along K; 8-bit activations have a scale per group, too.
    case int8Grouped(groupSize: Int)
    /// 4-bit, one scale, and a 4-bit zero point or none, per `groupSize` values along K.
    case int4(groupSize: Int, zeroPoints: Bool = false)
  }

  public enum Activations: Hashable, Sendable {
    /// Kept in floating point (f32 or bf16, as the kernel takes them).
    case float
    /// Quantised to 8 bits with one scale per token, or per group where 8-bit weights have them, on the way into
    /// the kernel.
    case int8
  }

  public let weights: Weights
  public let activations: Activations

  private init(_ weights: Weights, _ activations: Activations) {
    self.weights = weights
    self.activations = activations
  }

  public static let f32 = Format(.f32, .float)
  public static let bf16 = Format(.bf16, .float)
  public static let w8a8 = Format(.int8, .int8)
  public static let w8a16 = Format(.int8, .float)
  public static let w8a8g32 = Format(.int8Grouped(groupSize: 32), .int8)
  public static let w4a8g32 = Format(.int4(groupSize: 32), .int8)
  public static let w4a8g64 = Format(.int4(groupSize: 64), .int8)
  public static let w4a8g128 = Format(.int4(groupSize: 128), .int8)
  public static let w4a16g32 = Format(.int4(groupSize: 32), .float)
  public static let w4a16g64 = Format(.int4(groupSize: 64), .float)
  public static let w4a16g128 = Format(.int4(groupSize: 128), .float)

  /// 4-bit weights with zero points, as AWQ and GPTQ checkpoints have them.
  private static let asymmetric: [Format] = [Activations.int8, .float].flatMap { activations in
    [32, 64, 128].map { Format(.int4(groupSize: $0, zeroPoints: true), activations) }
  }

  /// What is tuned and planned unless formats are named, dense baselines first.
  public static let usual: [Format] = [
    .f32, .bf16, .w8a8, .w4a8g32, .w4a8g64, .w4a8g128, .w4a16g32, .w4a16g64, .w4a16g128,
  ]

  /// Every format this version runs.
  public static let all: [Format] = usual + [.w8a16, .w8a8g32] + asymmetric

  /// The type of the packed B operand.
  public var weightType: ElementType {
    switch weights {
    case .f32: .f32
    case .bf16: .bf16
    case .int8: .s8
    case .int8Grouped: .s8g32
    case .int4(32, let zeros): zeros ? .q4zg32 : .q4g32
    case .int4(64, let zeros): zeros ? .q4zg64 : .q4g64
    case .int4(_, let zeros): zeros ? .q4zg128 : .q4g128
    }
  }

  /// The A types a kernel may take to serve this format.
  public var activationTypes: Set<ElementType> {
    switch activations {
    case .float: weights == .f32 ? [.f32] : [.f32, .bf16]
    case .int8: [.s8, .u8, .s16]
    }
  }

  public var groupSize: Int? { weightType.groupSize }

  /// A dense floating-point format: what every claim of speed is compared with.
  public var isDenseFloat: Bool { weights == .f32 || weights == .bf16 }

  /// Bytes that an `n×k` weight matrix takes, scales included, padding not.
  public func weightBytes(n: Int, k: Int) -> Int {
    switch weights {
    case .f32: 4 * n * k
    case .bf16: 2 * n * k
    case .int8: n * k + 4 * n
    case .int8Grouped(let group): n * k + 2 * n * ((k + group - 1) / group)
    case .int4(let group, let zeros):
      n * ((k + 1) / 2) + (zeros ? 5 : 4) * n * ((k + group - 1) / group) / 2
    }
  }

  /// Whether an `n×k` weight matrix can be stored so: groups must divide K.
  public func admits(k: Int) -> Bool { groupSize.map { k % $0 == 0 } ?? true }
}

extension Format: LosslessStringConvertible {
  public init?(_ description: String) {
    guard let format = Format.all.first(where: { $0.description == description }) else { return nil }
    self = format
  }

  public var description: String {
    let a = activations == .int8 ? "a8" : "a16"
    return switch weights {
    case .f32: "f32"
    case .bf16: "bf16"
    case .int8: "w8\(a)"
    case .int8Grouped(let group): "w8\(a)-g\(group)"
    case .int4(let group, let zeros): "w4\(a)-g\(group)\(zeros ? "-asym" : "")"
    }
  }

  public init(from decoder: any Decoder) throws {
    self = try decoder.losslessString("format", known: Format.all)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
