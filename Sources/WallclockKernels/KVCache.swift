import CWallclockKernels
import WallclockCore

/// Keys and values of a batch of sequences, laid out and rounded for one attention kernel as they are appended.
///
/// Each head of each sequence has memory of its own for `capacity` keys, one after the other.
package final class KVCache {
  package let kernel: KernelDescriptor
  package let sequences: Int
  package let kvHeads: Int
  package let headDim: Int
  package let capacity: Int
  /// Keys that each sequence has.
  package private(set) var lengths: [Int]
  let headBytes: Int
  private let storage: AlignedBuffer<UInt8>

  /// An empty cache.
  package init(kernel: KernelDescriptor, sequences: Int, kvHeads: Int, headDim: Int, capacity: Int) {
    self.kernel = kernel
    self.sequences = sequences
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.capacity = capacity
    lengths = Array(repeating: 0, count: sequences)
    headBytes = unsafe (kernel.row.pointee.attention_memory!.pointee.cache_bytes(capacity, headDim) + 63) / 64 * 64
    storage = AlignedBuffer(count: sequences * kvHeads * headBytes)
  }

  /// A copy, in memory of its own.
  convenience init(copying other: KVCache) {
    self.init(
      kernel: other.kernel, sequences: other.sequences, kvHeads: other.kvHeads, headDim: other.headDim,
      capacity: other.capacity)
    lengths = other.lengths
    unsafe storage.unsafePointer.update(from: other.storage.unsafePointer, count: storage.count)
  }

  func head(_ head: Int, of sequence: Int) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(storage.unsafePointer + (sequence * kvHeads + head) * headBytes)
  }

  /// Appends `count` keys and values to a sequence; heads are shared among the workers.
  ///
  /// - Parameters:
  ///   - k: rows of `kvHeads · headDim` f32, `stride` apart; so `v`.
  /// - Throws: `KernelError.shapeMismatch` when they do not fit.
  package func append(
    to sequence: Int, count: Int, k: UnsafePointer<Float>, v: UnsafePointer<Float>, stride: Int,
    on executor: any Executor
  ) throws(KernelError) {
    guard sequence >= 0, sequence < sequences, count >= 0, lengths[sequence] + count <= capacity else {
      throw KernelError(
        .shapeMismatch,
        "the cache has \(sequences) sequences of at most \(capacity) keys; appending \(count) to sequence \(sequence) does not fit"
      )
    }
    let first = lengths[sequence]
    let append = unsafe kernel.row.pointee.attention_memory!.pointee.append!
    executor.forEachRange(of: kvHeads, grain: 1) { heads, _ in
      for h in heads {
        _ = unsafe append(
          head(h, of: sequence), capacity, headDim, first, count, k + h * headDim, stride, v + h * headDim, stride)
      }
    }
    lengths[sequence] += count
  }
}
