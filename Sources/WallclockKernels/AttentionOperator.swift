import CWallclockKernels
import WallclockCore

/// Memory attention needs beside its operands: packed keys and values, and scratch per worker.
package final class AttentionWorkspace {
  fileprivate var packed = AlignedBuffer<UInt8>(count: 0)
  fileprivate var scratch = AlignedBuffer<UInt8>(count: 0)
  package init() {}
}

/// Softmax self-attention over a batch of sequences of different lengths, head by head.
public final class AttentionOperator: Sendable {
  public let kernel: KernelDescriptor
  private let bq: Int
  private let bk: Int

  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    guard kernel.op == .attention else { throw KernelError(.unsupported, "\(kernel.name) is no attention kernel") }
    guard kernel.runs(on: isas) else {
      throw KernelError(.missingISA, "\(kernel.name) needs \(kernel.isa.rawValue), which this host lacks")
    }
    for (knob, value) in knobs {
      guard kernel.knobs.contains(knob) else {
        throw KernelError(.badKnob, "\(kernel.name) has no knob \(knob.rawValue)")
      }
      guard value >= 1, value <= 1 << 16 else {
        throw KernelError(.badKnob, "\(kernel.name): \(knob.rawValue)=\(value) is outside 1…65536")
      }
    }
    self.kernel = kernel
    bq = knobs[.bq] ?? 48
    bk = knobs[.bk] ?? 128
  }

  /// Runs every head of every sequence.
  ///
  /// Sequence `s` is rows `starts[s] ..< starts[s + 1]`. Head `h` of row `r` starts at
  /// `r · stride + h · headDim` of its operand.
  /// - Parameters:
  ///   - starts: `sequences + 1` row numbers, ascending from 0.
  ///   - o: rows of `heads · headDim` f32, row stride `ldo`; overwritten.
  package func run(
    starts: Span<Int>, heads: Int, headDim: Int, q: UnsafePointer<Float>, k: UnsafePointer<Float>,
    v: UnsafePointer<Float>, stride: Int, o: UnsafeMutablePointer<Float>, ldo: Int, scale: Float,
    mask: Mask, workspace: AttentionWorkspace, on executor: any Executor
  ) {
    let sequences = starts.count - 1
    guard sequences > 0, heads > 0 else { return }
    let memory = unsafe kernel.row.pointee.attention_memory!
    let attention = unsafe kernel.row.pointee.attention!
    var longest = 0
    for s in 0..<sequences { longest = max(longest, starts[s + 1] - starts[s]) }
    let packedBytes = unsafe (memory.pointee.packed_bytes(longest, headDim) + 63) / 64 * 64
    let scratchBytes = unsafe (memory.pointee.scratch_bytes(bq, bk, headDim) + 63) / 64 * 64
    let pairs = sequences * heads
    let workers = executor.workerCount
    // With enough heads each worker packs a head and runs all its queries while the keys are in its
    // cache; with few, packing is a region of its own and query blocks are shared out.
    let shared = pairs < 2 * workers
    let slots = shared ? pairs : workers
    if workspace.packed.count < packedBytes * slots { workspace.packed = AlignedBuffer(count: packedBytes * slots) }
    if workspace.scratch.count < scratchBytes * workers {
      workspace.scratch = AlignedBuffer(count: scratchBytes * workers)
    }
    let packed = unsafe UnsafeMutableRawPointer(workspace.packed.unsafePointer)
    let scratch = unsafe UnsafeMutableRawPointer(workspace.scratch.unsafePointer)
    let qBlocks = shared ? (longest + bq - 1) / bq : 1
    let bq = self.bq
    let bk = self.bk

    unsafe starts.withUnsafeBufferPointer { starts in
      let pack: (Int, Int) -> Void = { pair, slot in
        guard packedBytes > 0 else { return }
        let s = pair / heads
        let head = pair % heads
        let first = unsafe starts[s]
        let length = unsafe starts[s + 1] - first
        let offset = first * stride + head * headDim
        _ = unsafe memory.pointee.pack_kv(
          length, headDim, k + offset, stride, v + offset, stride, packed + slot * packedBytes)
      }
      let compute: (Int, Int, Int, Int, Int) -> Void = { pair, slot, firstQuery, queries, worker in
        let s = pair / heads
        let head = pair % heads
        let first = unsafe starts[s]
        let length = unsafe starts[s + 1] - first
        guard firstQuery < length else { return }
        let offset = first * stride + head * headDim
        var args = unsafe wc_attention_args()
        unsafe args.tk = length
        unsafe args.d = headDim
        unsafe args.tq_total = length
        unsafe args.ldq = stride
        unsafe args.k = k + offset
        unsafe args.ldk = stride
        unsafe args.v = v + offset
        unsafe args.ldv = stride
        unsafe args.ldo = ldo
        unsafe args.scale = scale
        unsafe args.mask = UInt32(mask == .causal ? WC_MASK_causal : WC_MASK_full)
        unsafe args.packed_kv = packedBytes > 0 ? UnsafeRawPointer(packed + slot * packedBytes) : nil
        unsafe args.scratch = scratch + worker * scratchBytes
        unsafe args.bq = bq
        unsafe args.bk = bk
        unsafe args.q_first = firstQuery
        unsafe args.tq = min(queries, length - firstQuery)
        unsafe args.q = q + offset + firstQuery * stride
        unsafe args.o = o + (first + firstQuery) * ldo + head * headDim
        _ = unsafe attention(&args)
      }
      if shared {
        if packedBytes > 0 {
          executor.forEachRange(of: pairs, grain: 1) { range, _ in
            for pair in range { pack(pair, pair) }
          }
        }
        executor.forEachRange(of: pairs * qBlocks, grain: 1) { range, worker in
          for task in range {
            let pair = task / qBlocks
            compute(pair, pair, task % qBlocks * bq, bq, worker)
          }
        }
      } else {
        executor.forEachRange(of: pairs, grain: 1) { range, worker in
          for pair in range {
            pack(pair, worker)
            compute(pair, worker, 0, Int.max, worker)
          }
        }
      }
    }
  }
}
