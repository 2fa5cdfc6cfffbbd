/// A run-time knob of a kernel. The register tile is part of the kernel's name instead.
public enum Knob: String, Hashable, Sendable, Codable, CaseIterable, Comparable, CodingKeyRepresentable {
  /// Rows, columns and K values per cache block.
  case mc, nc, kc
  /// Bytes ahead in packed B; 0 is none.
  case prefetch
  /// Query rows, which are (position, head) pairs, and keys per attention block.
  case bq, bk
  /// Rows per range handed to a thread, for row-wise ops.
  case rows
  /// Keys of a cache that a thread is handed; 0: all. Parts are merged in their order.
  case split
  /// Tokens per pass over the state, for recurrences.
  case chunk
  /// Tokens per block, and channels per range handed to a thread, for scans and convolutions along time.
  case bt, bc

  private var order: Int { Self.allCases.firstIndex(of: self)! }
  public static func < (a: Knob, b: Knob) -> Bool { a.order < b.order }
}

/// Who runs a kernel's blocks.
public enum Backend: Hashable, Sendable {
  /// The scalar kernels, on the calling thread.
  case scalar
  /// The best ISA's kernels, on the calling thread.
  case simd
  /// `simd` blocks handed to a pinned pool.
  case threaded
  /// `threaded`, with each weight shard on the node of the threads that read it.
  case numa
  /// A library of someone else's, by the name it gives itself; it has kernels and threads of its own.
  case plugin(String)

  /// Those this program has itself.
  public static let builtIn: [Backend] = [.scalar, .simd, .threaded, .numa]

  /// The name of the library, if it is one.
  public var plugin: String? { if case .plugin(let name) = self { name } else { nil } }
}

extension Backend: LosslessStringConvertible, Codable {
  /// A plug-in's name: a to z, 0 to 9, - and _, a letter first, at most 31 of them.
  public init?(_ description: String) {
    if let own = Backend.builtIn.first(where: { $0.description == description }) {
      self = own
      return
    }
    func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
    let bytes = Array(description.utf8)
    guard let first = bytes.first, isLetter(first), bytes.count <= 31,
      bytes.allSatisfy({ isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") })
    else { return nil }
    self = .plugin(description)
  }
  public var description: String {
    switch self {
    case .scalar: "scalar"
    case .simd: "simd"
    case .threaded: "threaded"
    case .numa: "numa"
    case .plugin(let name): name
    }
  }
  public init(from decoder: any Decoder) throws { self = try decoder.losslessString("backend") }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// Where memory and threads go.
public enum Placement: Hashable, Sendable {
  /// Wherever the kernel puts it: on first touch.
  case firstTouch
  /// On one NUMA node.
  case node(Int)
  /// Page by page over all nodes.
  case interleaved
}

extension Placement: LosslessStringConvertible, Codable {
  public init?(_ description: String) {
    switch description {
    case "first-touch": self = .firstTouch
    case "interleaved": self = .interleaved
    default:
      guard description.hasPrefix("node:"), let n = Int(description.dropFirst(5)), n >= 0 else { return nil }
      self = .node(n)
    }
  }
  public var description: String {
    switch self {
    case .firstTouch: "first-touch"
    case .interleaved: "interleaved"
    case .node(let n): "node:\(n)"
    }
  }
  public init(from decoder: any Decoder) throws { self = try decoder.losslessString("placement") }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// One concrete way to run a Problem. It fixes every split of M, N and K, so that the result has
/// the same bits for any number of threads.
public struct Schedule: Hashable, Sendable, Codable {
  /// The kernel's name in the table.
  public var kernel: String
  public var knobs: [Knob: Int]
  public var backend: Backend
  public var threads: Int
  public var placement: Placement

  public init(
    kernel: String, knobs: [Knob: Int] = [:], backend: Backend? = nil, threads: Int = 1,
    placement: Placement = .firstTouch
  ) {
    self.kernel = kernel
    self.knobs = knobs
    self.backend = backend ?? (threads > 1 ? .threaded : .simd)
    self.threads = threads
    self.placement = placement
  }
}

extension Schedule: CustomStringConvertible {
  /// `gemm_f32f32_avx2_6x16 kc=256 mc=96 threads=2`.
  public var description: String {
    var words = [kernel]
    for (knob, value) in knobs.sorted(by: { $0.key < $1.key }) {
      words.append("\(knob.rawValue)=\(value)")
    }
    words.append("threads=\(threads)")
    if placement != .firstTouch { words.append("placement=\(placement)") }
    return words.joined(separator: " ")
  }
}
