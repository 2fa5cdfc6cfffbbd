import CWallclockKernels
import WallclockCore
import WallclockMachine

/// One row of the kernel table: what it computes, on which ISA, with which tile and knobs.
@safe public struct KernelDescriptor: Sendable, Identifiable {
  public let name: String
  public let op: Op
  public let isa: ISA
  /// GEMM: A, B, C. Attention: Q, KV, O. Row-wise: input, –, output.
  public let a: ElementType?
  public let b: ElementType?
  public let c: ElementType?
  /// Register tile, and K values interleaved in packed B.
  public let mr: Int
  public let nr: Int
  public let kr: Int
  /// The run-time knobs it reads.
  public let knobs: Set<Knob>
  public let epilogues: Epilogue
  /// Gives the same bits as every other exact row of the same types.
  public let isExact: Bool
  /// K may be split over calls.
  public let accumulates: Bool

  /// Whether its A rows are codes about a centre of their own: with a scale per channel alone, their sums over K
  /// are known.
  var centresActivations: Bool { b == .s8 && a != .f32 && a != .bf16 }

  // A row of the C table: static and immutable, so it may be read from any thread.
  nonisolated(unsafe) package let row: UnsafePointer<wc_kernel>

  public var id: String { name }

  public func runs(on isas: Set<ISA>) -> Bool { isas.contains(isa) }

  /// Whether it convolves with a filter as long as the sequence: rows of long-conv, and of s4d as a convolution.
  package var isLongConvolution: Bool { unsafe row.pointee.long_conv != nil }

  /// Whether it needs nothing that an FFT's panels share.
  var isDirectConvolution: Bool {
    guard op == .longConv else { return false }
    return unsafe row.pointee.long_conv_memory.pointee.shared_bytes(1) == 0
  }

  /// Whether this row computes GEMMs of `format`, or attention over a cache of it.
  public func serves(_ format: Format) -> Bool {
    guard op == .gemm || op == .attention, let a, let b else { return false }
    return b == format.weightType && format.activationTypes.contains(a)
  }

  init(row: UnsafePointer<wc_kernel>) {
    let r = unsafe row.pointee
    unsafe self.row = row
    name = unsafe String(cString: r.name)
    op = unsafe Op(r.op)
    isa = unsafe ISA(r.isa)
    a = unsafe ElementType(r.a)
    b = unsafe ElementType(r.b)
    c = unsafe ElementType(r.c)
    mr = unsafe Int(r.mr)
    nr = unsafe Int(r.nr)
    kr = unsafe Int(r.kr)
    knobs = Set(
      KernelDescriptor.knobBits.compactMap { unsafe r.knobs & UInt32($0.bit.rawValue) != 0 ? $0.knob : nil })
    epilogues = unsafe Epilogue(rawValue: Int(r.epilogues))
    isExact = unsafe r.flags & UInt32(WC_EXACT.rawValue) != 0
    accumulates = unsafe r.flags & UInt32(WC_ACCUMULATE.rawValue) != 0
  }

  private static let knobBits: [(bit: wc_knobs, knob: Knob)] = [
    (WC_KNOB_mc, .mc), (WC_KNOB_nc, .nc), (WC_KNOB_kc, .kc), (WC_KNOB_prefetch, .prefetch),
    (WC_KNOB_bq, .bq), (WC_KNOB_bk, .bk), (WC_KNOB_rows, .rows), (WC_KNOB_split, .split), (WC_KNOB_chunk, .chunk),
    (WC_KNOB_bt, .bt), (WC_KNOB_bc, .bc),
  ]
}

/// Every kernel in this build, in a stable order. One table feeds dispatch, tests, bench and tuner.
public enum KernelTable {
  public static let all: [KernelDescriptor] = {
    var count = 0
    let rows = unsafe wc_kernel_table(&count)!
    return (0..<count).map { unsafe KernelDescriptor(row: rows + $0) }
  }()

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  public static func named(_ name: String) throws(KernelError) -> KernelDescriptor {
    guard let kernel = byName[name] else {
      throw KernelError(
        .unknownKernel,
        "no kernel is named \"\(name)\" in this build; `wallclock bench kernel --list` names them all")
    }
    return kernel
  }

  /// Kernels of `op` that the host runs, the highest ISA first, table order within one ISA.
  public static func rows(_ op: Op, isas: Set<ISA>) -> [KernelDescriptor] {
    all.filter { $0.op == op.kernelOp && $0.runs(on: isas) }.enumerated()
      .sorted { ($1.element.isa, $0.offset) < ($0.element.isa, $1.offset) }.map(\.element)
  }

  /// Kernels the host can run `problem` with, the highest ISA first; but vector ISAs before tiled ones where a
  /// GEMM has fewer rows than make tiles pay.
  public static func serving(_ problem: Problem, isas: Set<ISA>) -> [KernelDescriptor] {
    let found = rows(problem.op, isas: isas).filter { kernel in
      if problem.op == .attention { return kernel.serves(problem.format) }
      guard problem.op.kernelOp == .gemm else { return problem.op != .quantize || kernel.c == .s8 }
      return kernel.serves(problem.format) && problem.epilogue.isSubset(of: kernel.epilogues)
    }
    if problem.op == .longConv, problem.shape[.tokens] <= tokensForSums {
      // Of each ISA's two the sums themselves first.
      return found.enumerated().sorted {
        ($1.element.isa, $0.element.isDirectConvolution ? 0 : 1) < ($0.element.isa, $1.element.isDirectConvolution ? 0 : 1)
      }.map(\.element)
    }
    if problem.op == .s4d { return S4DOperator.ordered(found, for: problem) }
    guard problem.op.kernelOp == .gemm, problem.shape[.m] < rowsForTiles else { return found }
    return found.filter { !$0.isa.isTiled } + found.filter(\.isa.isTiled)
  }

  /// Up to here a long convolution's sums cost no more than its transforms: 19 against 21 µs at 768 channels and 64
  /// tokens, 66 against 49 at 128, on a Zen 5 guest.
  private static let tokensForSums = 64

  /// KTransformers goes over to AMX at four tokens an expert; not measured here.
  private static let rowsForTiles = 4

  /// The kernel that brings f32 rows to the A type of a GEMM kernel.
  public static func quantizer(to type: ElementType, isas: Set<ISA>) throws(KernelError) -> KernelDescriptor {
    guard let kernel = rows(.quantize, isas: isas).first(where: { $0.c == type }) else {
      throw KernelError(.unsupported, "no kernel of this build turns f32 rows into \(type.rawValue) on this host")
    }
    return kernel
  }
}

extension Op {
  init(_ op: wc_op) {
    self =
      switch op {
      case WC_OP_gemm: .gemm
      case WC_OP_attention: .attention
      case WC_OP_quantize: .quantize
      case WC_OP_layer_norm: .layerNorm
      case WC_OP_gelu: .gelu
      case WC_OP_residual: .residual
      case WC_OP_embedding: .embedding
      case WC_OP_mean_pool: .meanPool
      case WC_OP_linear_attention: .linearAttention
      case WC_OP_retention: .retention
      case WC_OP_gla: .gla
      case WC_OP_rwkv6: .rwkv6
      case WC_OP_rwkv7: .rwkv7
      case WC_OP_delta_net: .deltaNet
      case WC_OP_gated_delta_net: .gatedDeltaNet
      case WC_OP_mamba2: .mamba2
      case WC_OP_mamba1: .mamba1
      case WC_OP_causal_conv1d: .causalConv1d
      case WC_OP_long_conv: .longConv
      case WC_OP_rwkv4: .rwkv4
      case WC_OP_s4d: .s4d
      case WC_OP_rms_norm: .rmsNorm
      case WC_OP_silu: .silu
      case WC_OP_gelu_tanh: .geluTanh
      case WC_OP_softplus: .softplus
      case WC_OP_swiglu: .swiglu
      case WC_OP_softmax: .softmax
      case WC_OP_rope: .rope
      case WC_OP_rope_interleaved: .ropeInterleaved
      case WC_OP_argmax: .argmax
      case WC_OP_top_k: .topK
      case WC_OP_sampling: .sampling
      default: preconditionFailure("the kernel table names op \(op.rawValue), which Op does not know")
      }
  }

  package var c: wc_op {
    switch self {
    case .gemm, .moeGemm: WC_OP_gemm
    case .attention: WC_OP_attention
    case .quantize: WC_OP_quantize
    case .layerNorm: WC_OP_layer_norm
    case .gelu: WC_OP_gelu
    case .residual: WC_OP_residual
    case .embedding: WC_OP_embedding
    case .meanPool: WC_OP_mean_pool
    case .linearAttention: WC_OP_linear_attention
    case .retention: WC_OP_retention
    case .gla: WC_OP_gla
    case .rwkv6: WC_OP_rwkv6
    case .rwkv7: WC_OP_rwkv7
    case .deltaNet: WC_OP_delta_net
    case .gatedDeltaNet: WC_OP_gated_delta_net
    case .mamba2: WC_OP_mamba2
    case .mamba1: WC_OP_mamba1
    case .causalConv1d: WC_OP_causal_conv1d
    case .longConv: WC_OP_long_conv
    case .rwkv4: WC_OP_rwkv4
    case .s4d: WC_OP_s4d
    case .rmsNorm: WC_OP_rms_norm
    case .silu: WC_OP_silu
    case .geluTanh: WC_OP_gelu_tanh
    case .softplus: WC_OP_softplus
    case .swiglu: WC_OP_swiglu
    case .softmax: WC_OP_softmax
    case .rope: WC_OP_rope
    case .ropeInterleaved: WC_OP_rope_interleaved
    case .argmax: WC_OP_argmax
    case .topK: WC_OP_top_k
    case .sampling: WC_OP_sampling
    }
  }
}

extension ISA {
  init(_ isa: wc_isa) {
    let names: [(wc_isa, ISA)] = [
      (WC_ISA_scalar, .scalar), (WC_ISA_avx2, .avx2), (WC_ISA_avxvnni, .avxvnni),
      (WC_ISA_avx512, .avx512), (WC_ISA_avx512vnni, .avx512vnni), (WC_ISA_avx512bf16, .avx512bf16),
      (WC_ISA_amxint8, .amxint8), (WC_ISA_amxbf16, .amxbf16), (WC_ISA_neon, .neon),
      (WC_ISA_neondot, .neondot), (WC_ISA_neoni8mm, .neoni8mm), (WC_ISA_neonbf16, .neonbf16),
    ]
    guard let match = names.first(where: { $0.0 == isa }) else {
      preconditionFailure("the kernel table names ISA \(isa.rawValue), which ISA does not know")
    }
    self = match.1
  }
}

extension ElementType {
  private static let names: [(wc_type, ElementType)] = [
    (WC_TYPE_f32, .f32), (WC_TYPE_f16, .f16), (WC_TYPE_bf16, .bf16), (WC_TYPE_s8, .s8),
    (WC_TYPE_u8, .u8), (WC_TYPE_s16, .s16), (WC_TYPE_s32, .s32), (WC_TYPE_q4g32, .q4g32),
    (WC_TYPE_q4g64, .q4g64), (WC_TYPE_q4g128, .q4g128), (WC_TYPE_q4zg32, .q4zg32), (WC_TYPE_q4zg64, .q4zg64),
    (WC_TYPE_q4zg128, .q4zg128), (WC_TYPE_s8g32, .s8g32),
  ]

  init?(_ type: wc_type) {
    guard let match = ElementType.names.first(where: { $0.0 == type }) else { return nil }
    self = match.1
  }

  package var c: wc_type { ElementType.names.first { $0.1 == self }!.0 }
}

/// Turns a status of the kernel ABI into an error that says what was asked.
package func check(_ status: wc_status, _ what: @autoclosure () -> String) throws(KernelError) {
  if status == WC_OK { return }
  throw KernelError(
    .rejected, "\(what()): the kernel answered \(status == WC_UNSUPPORTED ? "unsupported" : "invalid argument")")
}
