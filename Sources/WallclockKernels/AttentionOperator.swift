import CWallclockKernels
import WallclockCore

/// Memory attention needs beside its operands: keys and values laid out, parts of results, and scratch per worker.
package final class AttentionWorkspace {
  var packed = AlignedBuffer<UInt8>(count: 0)
  var scratch = AlignedBuffer<UInt8>(count: 0)
  var parts = AlignedBuffer<Float>(count: 0)
  package init() {}
}

/// Softmax attention over a batch of sequences of different lengths: of each to itself (here), or to a cache
/// (`CachedAttention.swift`).
public final class AttentionOperator: Sendable {
  public let kernel: KernelDescriptor
  let bq: Int
  let bk: Int
  let split: Int
  let prefetch: Int

  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    guard kernel.op == .attention else { throw KernelError(.unsupported, "\(kernel.name) is no attention kernel") }
    guard kernel.runs(on: isas) else {
      throw KernelError(.missingISA, "\(kernel.name) needs \(kernel.isa.rawValue), which this host lacks")
    }
    for (knob, value) in knobs {
      guard kernel.knobs.contains(knob) else {
        throw KernelError(.badKnob, "\(kernel.name) has no knob \(knob.rawValue)")
      }
      let range = knob == .split || knob == .prefetch ? 0...Problem.largestSize : 1...1 << 16
      guard range.contains(value) else {
        throw KernelError(
          .badKnob, "\(kernel.name): \(knob.rawValue)=\(value) is outside \(range.lowerBound)…\(range.upperBound)")
      }
    }
    self.kernel = kernel
    bq = knobs[.bq] ?? 48
    bk = knobs[.bk] ?? 128
    split = knobs[.split] ?? 0
    prefetch = knobs[.prefetch] ?? 0
  }

  /// Runs every head of every sequence.
  ///
  /// Sequence `s` is rows `starts[s] ..< starts[s + 1]`. Head `h` of row `r` starts at
  /// `r · stride + h · headDim` of its operand.
  /// - Parameters:
  ///   - starts: `sequences + 1` row numbers, ascending from 0.
  ///   - kvHeads: heads of `k` and `v`, of which `heads` is a multiple; as many where not given.
  ///   - o: rows of `heads · headDim` f32, row stride `ldo`; overwritten.
  package func run(
    starts: Span<Int>, heads: Int, kvHeads: Int? = nil, headDim: Int, q: UnsafePointer<Float>, k: UnsafePointer<Float>,
    v: UnsafePointer<Float>, stride: Int, o: UnsafeMutablePointer<Float>, ldo: Int, scale: Float,
    mask: Mask, workspace: AttentionWorkspace, on executor: any Executor
  ) {
    let sequences = starts.count - 1
    guard sequences > 0, heads > 0 else { return }
    let kvHeads = kvHeads ?? heads
    let group = heads / kvHeads
    let memory = unsafe kernel.row.pointee.attention_memory!
    let attention = unsafe kernel.row.pointee.attention!
    var longest = 0
    for s in 0..<sequences { longest = max(longest, starts[s + 1] - starts[s]) }
    let packedBytes = unsafe (memory.pointee.cache_bytes(longest, headDim) + 63) / 64 * 64
    let pairs = sequences * kvHeads
    let workers = executor.workerCount
    // With enough heads each worker packs a head and runs all its queries while the keys are in its
    // cache; with few, packing is a region of its own and query blocks are shared out.
    let shared = pairs < 2 * workers
    let slots = shared ? pairs : workers
    if workspace.packed.count < packedBytes * slots { workspace.packed = AlignedBuffer(count: packedBytes * slots) }
    let scratchBytes = reserveScratch(in: workspace, group: group, headDim: headDim, workers: workers)
    let packed = unsafe UnsafeMutableRawPointer(workspace.packed.unsafePointer)
    let scratch = unsafe UnsafeMutableRawPointer(workspace.scratch.unsafePointer)
    let positions = max(1, bq / group)
    let qBlocks = shared ? (longest + positions - 1) / positions : 1
    let slopes = mask.alibi ? Mask.alibiSlopes(heads: heads) : []

    unsafe slopes.withUnsafeBufferPointer { slopes in
      unsafe starts.withUnsafeBufferPointer { starts in
        let common = unsafe arguments(heads: heads, group: group, headDim: headDim, scale: scale, mask: mask)
        let pack: (Int, Int) -> Void = { pair, slot in
          let s = pair / kvHeads
          let first = unsafe starts[s]
          let length = unsafe starts[s + 1] - first
          let offset = first * stride + pair % kvHeads * headDim
          _ = unsafe memory.pointee.append(
            packed + slot * packedBytes, length, headDim, 0, length, k + offset, stride, v + offset, stride)
        }
        let compute: (Int, Int, Int, Int, Int) -> Void = { pair, slot, firstQuery, queries, worker in
          let s = pair / kvHeads
          let head = pair % kvHeads * group
          let first = unsafe starts[s]
          let length = unsafe starts[s + 1] - first
          guard firstQuery < length else { return }
          var args = unsafe common
          unsafe args.tk = length
          unsafe args.tq_total = length
          unsafe args.capacity = length
          unsafe args.k_end = length
          unsafe args.cache = UnsafeRawPointer(packed + slot * packedBytes)
          unsafe args.scratch = scratch + worker * scratchBytes
          unsafe args.slopes = mask.alibi ? slopes.baseAddress! + head : nil
          unsafe args.q_first = firstQuery
          unsafe args.tq = min(queries, length - firstQuery)
          unsafe args.ldq = stride
          unsafe args.q = q + (first + firstQuery) * stride + head * headDim
          unsafe args.ldo = ldo
          unsafe args.o = o + (first + firstQuery) * ldo + head * headDim
          _ = unsafe attention(&args)
        }
        if shared {
          executor.forEachRange(of: pairs, grain: 1) { range, _ in
            for pair in range { pack(pair, pair) }
          }
          executor.forEachRange(of: pairs * qBlocks, grain: 1) { range, worker in
            for task in range {
              let pair = task / qBlocks
              compute(pair, pair, task % qBlocks * positions, positions, worker)
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

  /// What all calls of one run share.
  func arguments(heads: Int, group: Int, headDim: Int, scale: Float, mask: Mask) -> wc_attention_args {
    var args = unsafe wc_attention_args()
    unsafe args.d = headDim
    unsafe args.group = group
    unsafe args.q_head = headDim
    unsafe args.o_head = headDim
    unsafe args.scale = scale
    unsafe mask.write(to: &args)
    unsafe args.bq = bq
    unsafe args.bk = bk
    unsafe args.prefetch = prefetch
    return unsafe args
  }

  /// Makes room for the scratch of all workers; bytes of one's.
  func reserveScratch(in workspace: AttentionWorkspace, group: Int, headDim: Int, workers: Int) -> Int {
    let memory = unsafe kernel.row.pointee.attention_memory!
    let bytes = unsafe (memory.pointee.scratch_bytes(bq, bk, group, headDim) + 63) / 64 * 64
    if workspace.scratch.count < bytes * workers { workspace.scratch = AlignedBuffer(count: bytes * workers) }
    return bytes
  }
}

extension Mask {
  /// All but the slopes.
  func write(to args: inout wc_attention_args) {
    unsafe args.mask = UInt32(isCausal ? WC_MASK_causal : WC_MASK_full)
    unsafe args.window = window
    unsafe args.sinks = sinks
    unsafe args.softcap = softcap
  }
}
