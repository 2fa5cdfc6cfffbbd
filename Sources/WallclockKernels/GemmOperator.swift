import CWallclockKernels
import WallclockCore

/// Memory a GEMM needs beside its operands: the quantised activations of one call, and scratch and
/// accumulators per worker. One workspace serves any operators that do not run at the same time.
package final class GemmWorkspace {
  fileprivate var activations = AlignedBuffer<UInt8>(count: 0)
  fileprivate var scales = AlignedBuffer<Float>(count: 0)
  fileprivate var offsets = AlignedBuffer<Float>(count: 0)
  fileprivate var sums = AlignedBuffer<Int32>(count: 0)
  fileprivate var perWorker = AlignedBuffer<UInt8>(count: 0)

  package init() {}

  fileprivate func reserve(perWorker w: Int) {
    if perWorker.count < w { perWorker = AlignedBuffer(count: w) }
  }

  fileprivate func reserve(activations a: Int, scales s: Int, sums t: Int) {
    if activations.count < a { activations = AlignedBuffer(count: a) }
    if scales.count < s {
      scales = AlignedBuffer(count: s)
      offsets = AlignedBuffer(count: s)
    }
    if sums.count < t { sums = AlignedBuffer(count: t) }
  }
}

/// `C = epilogue(A · W)` for one packed weight matrix, run by the blocks its Schedule fixes.
///
/// A is f32, C what the epilogue makes it, both row-major. Kernels of `a8` formats quantise A per row first; that is part of a run.
public final class GemmOperator: Sendable {
  public let kernel: KernelDescriptor
  public let weights: PackedWeights
  public let epilogue: Epilogue
  /// As the panels are: N values, gated those of whole panels, or none.
  private let bias: AlignedBuffer<Float>
  private let quantizer: KernelDescriptor?
  let group: Int
  let blocking: GemmBlocking

  /// - Parameter bias: N values when the epilogue has a bias, in the order of W's rows; else none.
  /// - Throws: `KernelError` when the kernel lacks the epilogue, the weights were packed for
  ///   another layout or not for the epilogue's gate, or a knob is outside what the kernel takes.
  public init(
    kernel: KernelDescriptor, knobs: [Knob: Int], weights: PackedWeights,
    bias: consuming AlignedBuffer<Float>, epilogue: Epilogue, isas: Set<ISA>
  ) throws(KernelError) {
    guard kernel.op == .gemm, let a = kernel.a, let b = kernel.b else {
      throw KernelError(.unsupported, "\(kernel.name) is no GEMM kernel")
    }
    guard kernel.runs(on: isas) else {
      throw KernelError(.missingISA, "\(kernel.name) needs \(kernel.isa.rawValue), which this host lacks")
    }
    guard epilogue.isSubset(of: kernel.epilogues), epilogue.isWellFormed else {
      throw KernelError(.unsupported, "\(kernel.name) has epilogues \(kernel.epilogues), asked for \(epilogue)")
    }
    guard PackedLayout(weights.kernel) == PackedLayout(kernel) else {
      throw KernelError(
        .shapeMismatch, "the weights were packed for \(weights.kernel.name); pack them for \(kernel.name)")
    }
    guard weights.isGated == epilogue.contains(.gated) else {
      throw KernelError(
        .shapeMismatch,
        "the weights were packed \(weights.isGated ? "as" : "not as") gates and ups, the epilogue is \(epilogue); pack them for it")
    }
    let expected = epilogue.contains(.bias) ? weights.n : 0
    guard bias.count == expected else {
      throw KernelError(.shapeMismatch, "bias holds \(bias.count) values, expected \(expected)")
    }
    self.kernel = kernel
    self.weights = weights
    self.epilogue = epilogue
    if weights.isGated {
      self.bias = GatedOrder(kernel, n: weights.n).arranged(bias)
    } else {
      self.bias = bias
    }
    group = b.groupSize ?? 0
    quantizer = a == .f32 ? nil : try KernelTable.quantizer(to: a, isas: isas)
    blocking = try GemmBlocking(kernel: kernel, n: weights.n, k: weights.k, knobs: knobs)
  }

  /// Runs `m` rows.
  ///
  /// - Parameters:
  ///   - a: `m×K` f32, row stride `lda`.
  ///   - c: `m×N`, gated `m×N/2`, of the epilogue's output type, row stride `ldc` elements; overwritten.
  ///   - residual: as many f32, row stride `ldr`; read exactly when the epilogue has a residual; may be `c` when
  ///     that is f32.
  ///   - codeScales: what a code counts in each of the `m` rows, or, with `codeScaleStep` 0, in all; read when
  ///     the epilogue makes codes.
  package func run(
    m: Int, a: UnsafePointer<Float>, lda: Int, c: UnsafeMutableRawPointer, ldc: Int,
    residual: UnsafePointer<Float>? = nil, ldr: Int = 0, codeScales: UnsafePointer<Float>? = nil,
    codeScaleStep: Int = 1, workspace: GemmWorkspace, on executor: any Executor
  ) {
    guard m > 0, weights.n > 0 else { return }
    let outputType = epilogue.outputType
    unsafe precondition(
      outputType == .f32 || outputType == .bf16 || codeScales != nil,
      "\(kernel.name): the epilogue makes codes, no scale was given")
    unsafe precondition(
      !epilogue.contains(.residual) || residual != nil, "\(kernel.name): the epilogue adds a residual, none was given")
    let n = weights.n
    let b = blocking
    let workerBytes = blockBytes(rows: m)
    workspace.reserve(perWorker: workerBytes * executor.workerCount)
    let base = unsafe activations(m: m, a: a, lda: lda, workspace: workspace, on: executor)
    let mBlocks = (m + b.mc - 1) / b.mc
    let nBlocks = (n + b.nc - 1) / b.nc
    let addsResidual = epilogue.contains(.residual)
    // N columns of W to one of C.
    let columnsPerOutput = weights.isGated ? 2 : 1
    let outputBytes = Int(outputType.bitsPerValue) / 8
    let workers = unsafe UnsafeMutableRawPointer(workspace.perWorker.unsafePointer)

    // Blocks of one N range are neighbours, so that a worker keeps its weights in cache.
    executor.forEachRange(of: mBlocks * nBlocks, grain: 1) { range, worker in
      for task in range {
        let m0 = task % mBlocks * b.mc
        let n0 = task / mBlocks * b.nc
        let output = n0 / columnsPerOutput
        var block = unsafe base.rows(from: m0, count: min(b.mc, m - m0), elementBytes: activationBytes)
        unsafe block.c = c + (m0 * ldc + output) * outputBytes
        unsafe block.ldc = ldc
        unsafe block.c_scale = codeScales.map { unsafe $0 + m0 * codeScaleStep }
        unsafe block.c_scale_step = codeScaleStep
        unsafe block.residual = addsResidual ? residual.map { unsafe $0 + m0 * ldr + output } : nil
        unsafe block.ldr = ldr
        unsafe runBlock(&block, n0: n0, memory: workers + worker * workerBytes)
      }
    }
  }

  /// Bytes of one element of A as the kernel takes it.
  package var activationBytes: Int { kernel.a == .f32 ? 4 : kernel.a == .bf16 || kernel.a == .s16 ? 2 : 1 }

  /// Bytes of a block of at most `rows` rows beside its operands: scratch, then accumulators.
  package func blockBytes(rows: Int) -> Int {
    let accumulators = blocking.kc < weights.k ? min(blocking.mc, rows) * accumulatorStride * 4 : 0
    return scratchBytes + (accumulators + 63) / 64 * 64
  }

  private var scratchBytes: Int { unsafe (kernel.row.pointee.gemm_scratch_bytes(blocking.kc) + 63) / 64 * 64 }
  private var accumulatorStride: Int { (blocking.nc + kernel.nr - 1) / kernel.nr * kernel.nr }

  /// The A side of a call for all `m` rows, as the kernel takes it: narrowed, or copied where its rows need
  /// padding, into `workspace`, which has to live as long.
  package func activations(
    m: Int, a: UnsafePointer<Float>, lda: Int, workspace: GemmWorkspace, on executor: any Executor
  ) -> wc_gemm_args {
    let k = weights.k
    let elementBytes = activationBytes
    let paddedK = (k + kernel.kr - 1) / kernel.kr * kernel.kr
    // A line of padding between rows whose stride is a multiple of 4 KiB keeps them out of one set.
    let rowBytes = (paddedK * elementBytes + 63) / 64 * 64
    let ldq = (rowBytes % 4096 == 0 ? rowBytes + 64 : rowBytes) / elementBytes
    let groups = group > 0 ? (k + group - 1) / group : 0
    let scaleStride = kernel.b == .s8g32 ? groups : 0
    // f32 A needs its rows padded to kr only when the kernel interleaves K; and it is worth a copy when its
    // rows fall into one set of the cache and are read for many columns.
    let sharesSets = lda * elementBytes % 4096 == 0 && m > 4 && weights.n >= 512
    let needsCopy = quantizer == nil && (paddedK != k || sharesSets)
    workspace.reserve(
      activations: quantizer != nil || needsCopy ? m * ldq * elementBytes + 64 : 0,
      scales: quantizer != nil ? m * max(1, scaleStride) : 0, sums: m * groups)

    var args = unsafe wc_gemm_args()
    unsafe args.a = UnsafeRawPointer(a)
    unsafe args.lda = lda
    if let quantizer {
      let q = unsafe UnsafeMutableRawPointer(workspace.activations.unsafePointer)
      var rows = unsafe wc_rowwise_args()
      unsafe rows.columns = k
      unsafe rows.x = a
      unsafe rows.ldx = lda
      unsafe rows.q = q
      unsafe rows.ldq = ldq
      unsafe rows.scale = workspace.scales.unsafePointer
      unsafe rows.ld_scale = scaleStride
      let centred = kernel.centresActivations
      unsafe rows.offset = centred ? workspace.offsets.unsafePointer : nil
      unsafe rows.sums = groups > 0 ? workspace.sums.unsafePointer : nil
      unsafe rows.ld_sums = groups
      unsafe rows.group = group
      unsafe runRows(quantizer, rows, count: m, grain: GemmBlocking.quantizeRows, elementBytes: elementBytes, on: executor)
      unsafe args.a = UnsafeRawPointer(q)
      unsafe args.lda = ldq
      unsafe args.a_scale = UnsafePointer(workspace.scales.unsafePointer)
      unsafe args.lda_scale = scaleStride
      unsafe args.a_offset = centred ? UnsafePointer(workspace.offsets.unsafePointer) : nil
      unsafe args.a_sum = groups > 0 ? UnsafePointer(workspace.sums.unsafePointer) : nil
      unsafe args.lda_sum = groups
    } else if needsCopy {
      let copy = unsafe UnsafeMutableRawPointer(workspace.activations.unsafePointer)
        .assumingMemoryBound(to: Float.self)
      executor.forEachRange(of: m, grain: GemmBlocking.quantizeRows) { range, _ in
        for row in range {
          unsafe (copy + row * ldq).update(from: a + row * lda, count: k)
          unsafe (copy + row * ldq + k).update(repeating: 0, count: paddedK - k)
        }
      }
      unsafe args.a = UnsafeRawPointer(copy)
      unsafe args.lda = ldq
    }
    return unsafe args
  }

  /// Runs `block`, whose rows and C are given, on the columns of W from `n0` on: at most `nc` of them.
  ///
  /// - Parameter memory: `blockBytes(rows:)` bytes, 64-byte aligned.
  package func runBlock(_ block: inout wc_gemm_args, n0: Int, memory: UnsafeMutableRawPointer) {
    let k = weights.k
    let blocks = blocking
    let row = unsafe kernel.row
    let gemm = unsafe row.pointee.gemm!
    let a = unsafe block.a!
    let sums = unsafe block.a_sum
    let scales = unsafe block.a_scale
    let scalesPerRow = unsafe block.lda_scale
    unsafe block.n = min(blocks.nc, weights.n - n0)
    unsafe block.epilogue = UInt32(epilogue.rawValue)
    unsafe block.prefetch = UInt32(blocks.prefetch)
    unsafe block.b_panel_bytes = weights.panelBytes
    unsafe block.bias = epilogue.contains(.bias) ? UnsafePointer(bias.unsafePointer + n0) : nil
    if weights.scales.count > 0 {
      unsafe block.b_scale = UnsafePointer(weights.scales.unsafePointer + n0)
      unsafe block.b_sum = UnsafePointer(weights.sums.unsafePointer + n0)
    }
    unsafe block.scratch = scratchBytes > 0 ? memory : nil
    unsafe block.acc = blocks.kc < k ? memory + scratchBytes : nil
    unsafe block.ldacc = accumulatorStride
    let panel = unsafe UnsafeRawPointer(weights.panels.unsafePointer) + n0 / kernel.nr * weights.panelBytes
    let kBlocks = max(1, (k + blocks.kc - 1) / blocks.kc)
    for kBlock in 0..<kBlocks {
      let k0 = kBlock * blocks.kc
      unsafe block.k = min(blocks.kc, k - k0)
      unsafe block.a = a + k0 * activationBytes
      unsafe block.b = panel + wc_gemm_packed_offset(row, k0)
      if group > 0 { unsafe block.a_sum = sums.map { unsafe $0 + k0 / group } }
      if scalesPerRow > 0 { unsafe block.a_scale = scales.map { unsafe $0 + k0 / group } }
      unsafe block.flags =
        UInt32(kBlock == 0 ? WC_GEMM_FIRST : 0) | UInt32(kBlock == kBlocks - 1 ? WC_GEMM_LAST : 0)
      // The constructor checked all that a kernel may refuse.
      _ = unsafe gemm(&block)
    }
  }
}

/// What two kernels must share to read the same packed weights.
package struct PackedLayout: Hashable {
  let layout: UInt32
  let b: ElementType?
  let nr: Int
  let kr: Int
  package init(_ kernel: KernelDescriptor) {
    layout = unsafe kernel.row.pointee.layout.rawValue
    b = kernel.b
    nr = kernel.nr
    kr = kernel.kr
  }
}

/// Knobs of a GEMM, checked and clamped to the matrix.
struct GemmBlocking: Sendable {
  var mc: Int
  var nc: Int
  var kc: Int
  var prefetch: Int
  /// Rows per range when activations are quantised.
  static var quantizeRows: Int { 8 }

  init(kernel: KernelDescriptor, n: Int, k: Int, knobs: [Knob: Int]) throws(KernelError) {
    for (knob, value) in knobs {
      guard kernel.knobs.contains(knob) else {
        throw KernelError(.badKnob, "\(kernel.name) has no knob \(knob.rawValue)")
      }
      guard value >= (knob == .prefetch ? 0 : 1), value <= 1 << 24 else {
        throw KernelError(.badKnob, "\(kernel.name): \(knob.rawValue)=\(value) is out of range")
      }
    }
    let step = GemmBlocking.kStep(of: kernel)
    if let kc = knobs[.kc], kc % step != 0 {
      throw KernelError(.badKnob, "\(kernel.name): kc=\(kc) is not a multiple of \(step)")
    }
    if let nc = knobs[.nc], nc % kernel.nr != 0 {
      throw KernelError(.badKnob, "\(kernel.name): nc=\(nc) is not a multiple of nr=\(kernel.nr)")
    }
    mc = knobs[.mc] ?? 128
    nc = min(knobs[.nc] ?? 4 * kernel.nr, (n + kernel.nr - 1) / kernel.nr * kernel.nr)
    kc = kernel.accumulates ? min(knobs[.kc] ?? k, max(k, 1)) : max(k, 1)
    prefetch = knobs[.prefetch] ?? 0
  }

  /// K blocks must be multiples of this.
  static func kStep(of kernel: KernelDescriptor) -> Int {
    kernel.b?.groupSize ?? max(kernel.kr, 4)
  }
}
