import CWallclockKernels
import WallclockCore

/// Random queries, keys and values of a `batch` of sequences of equal length. Attention to itself has them as a fused
/// projection leaves them, rows of (heads + 2 · kv-heads) · head-dim; a cache is filled from such rows of keys and
/// values alone.
final class AttentionOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let q: AlignedBuffer<Float>
  /// Of the first copy, which is checked; without a cache they lie in `q`, too.
  private let keysAndValues: AlignedBuffer<Float>
  let o: AlignedBuffer<Float>
  /// One for all Schedules, which run one at a time: a Schedule is not faster for where its scratch lies.
  let workspace = AttentionWorkspace()
  private var caches: [String: [KVCache]] = [:]

  init(_ problem: Problem, copies: Int, isas: Set<ISA>, seed: UInt64) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let rows = s[.batch] * s[.tokens]
    let queries = s[.heads] * s[.headDim]
    let pairs = 2 * problem.kvHeads * s[.headDim]
    q = AlignedBuffer(count: problem.usesCache ? rows * queries : copies * rows * (queries + pairs))
    keysAndValues = AlignedBuffer(count: problem.usesCache ? s[.batch] * problem.keys * pairs : 0)
    var random = OperandGenerator(seed: seed)
    random.fill(q, scale: 1)
    random.fill(keysAndValues, scale: 1)
    o = AlignedBuffer(count: rows * queries)
  }

  /// From one row of queries to the next.
  var queryStride: Int { problem.usesCache ? queryColumns : queryColumns + pairColumns }
  var queryColumns: Int { problem.shape[.heads] * problem.shape[.headDim] }
  var pairColumns: Int { 2 * problem.kvHeads * problem.shape[.headDim] }
  var keyStride: Int { problem.usesCache ? pairColumns : queryStride }

  func queries(copy: Int) -> UnsafePointer<Float> {
    let rows = problem.shape[.batch] * problem.shape[.tokens]
    return unsafe UnsafePointer(q.unsafePointer + (problem.usesCache ? 0 : copy * rows * queryStride))
  }

  /// The first copy's keys of head 0; values follow `pairColumns / 2` later in each row.
  var keys: UnsafePointer<Float> {
    unsafe problem.usesCache ? UnsafePointer(keysAndValues.unsafePointer) : queries(copy: 0) + queryColumns
  }

  /// A filled cache for each copy, in the layout of `kernel`; none where the Problem has no cache.
  func caches(for kernel: KernelDescriptor) throws(KernelError) -> [KVCache] {
    guard problem.usesCache else { return [] }
    if let made = caches[kernel.name] { return made }
    let first = KVCache(
      kernel: kernel, sequences: problem.shape[.batch], kvHeads: problem.kvHeads, headDim: problem.shape[.headDim],
      capacity: problem.keys)
    for s in 0..<first.sequences {
      let k = unsafe keys + s * problem.keys * keyStride
      try unsafe first.append(
        to: s, count: problem.keys, k: k, v: k + pairColumns / 2, stride: keyStride, on: SerialExecutor())
    }
    let made = [first] + (1..<max(1, copies)).map { _ in KVCache(copying: first) }
    caches[kernel.name] = made
    return made
  }
}
