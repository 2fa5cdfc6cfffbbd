import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Calls one attention kernel through the C ABI on operands that end at pages which may not be touched.
@safe final class AttentionCaller {
  let kernel: KernelDescriptor
  private(set) var calls = 0
  private(set) var shapes: Set<[Int]> = []
  private let q = GuardedMemory(capacity: 1 << 18)
  private let k = GuardedMemory(capacity: 1 << 18)
  private let v = GuardedMemory(capacity: 1 << 18)
  private let o = GuardedMemory(capacity: 1 << 18)
  private let cache = GuardedMemory(capacity: 1 << 20)
  private let scratch = GuardedMemory(capacity: 1 << 20)
  private let parts = GuardedMemory(capacity: 1 << 21)
  private let slopes: AlignedBuffer<Float>
  private var args = unsafe wc_attention_args()

  init(_ kernel: KernelDescriptor) {
    self.kernel = kernel
    slopes = AlignedBuffer((1...8).map { 0.05 * Float($0) })
  }

  private var memory: wc_attention_memory { unsafe kernel.row.pointee.attention_memory!.pointee }

  /// Rows of `columns` with `gap` NaN between them.
  private func place(
    _ values: [Float], rows: Int, columns: Int, gap: Int, in memory: GuardedMemory
  ) -> UnsafePointer<Float> {
    let stride = columns + gap
    let p = unsafe memory.place(rows == 0 ? 0 : (rows - 1) * stride + columns, of: Float.self)
    for i in 0..<rows { for c in 0..<columns { unsafe p[i * stride + c] = values[i * columns + c] } }
    return unsafe UnsafePointer(p)
  }

  /// Lays out the queries and appends the keys in pieces of `piece` to a cache with room for `spare` more.
  func load(_ oracle: AttentionOracle, gap: Int, spare: Int = 0, piece: Int = .max) {
    let (d, group, keys) = (oracle.d, oracle.group, oracle.keys)
    unsafe args = wc_attention_args()
    unsafe args.d = d
    unsafe args.group = group
    unsafe args.tk = keys
    unsafe args.k_end = keys
    unsafe args.tq_total = oracle.queries
    unsafe args.q = place(oracle.q, rows: oracle.queries, columns: group * d, gap: gap, in: q)
    unsafe args.k = place(oracle.k, rows: keys, columns: d, gap: gap, in: k)
    unsafe args.v = place(oracle.v, rows: keys, columns: d, gap: gap, in: v)
    unsafe args.ldq = group * d + gap
    unsafe args.q_head = d
    unsafe args.o_head = d
    unsafe args.ldk = d + gap
    unsafe args.ldv = d + gap
    unsafe args.scale = oracle.scale
    let capacity = keys + spare
    let to = unsafe cache.place(memory.cache_bytes(capacity, d), of: UInt8.self, alignment: 64)
    for first in stride(from: 0, to: keys, by: max(1, min(piece, keys))) {
      let count = min(piece, keys - first)
      let status = unsafe memory.append(
        to, capacity, d, first, count, args.k + first * args.ldk, args.ldk, args.v + first * args.ldv, args.ldv)
      #expect(status == WC_OK && cache.isIntact, "\(kernel.name): appending \(count) after \(first) of \(keys)×\(d)")
    }
    unsafe #expect(memory.append(to, capacity, d, keys, spare + 1, args.k, args.ldk, args.v, args.ldv) == WC_INVALID_ARGUMENT)
    unsafe args.cache = UnsafeRawPointer(to)
    unsafe args.capacity = capacity
  }

  /// Rows first ..< first + count of O, or why there are none.
  ///
  /// - Parameter split: keys per part; 0: all, without parts.
  func run(
    _ oracle: AttentionOracle, first: Int, count: Int, mask: Mask, bq: Int, bk: Int, split: Int = 0
  ) -> (rows: [Float], wrong: String?) {
    let (d, group, keys) = (oracle.d, oracle.group, oracle.keys)
    let stride = group * d + 2
    shapes.insert([count, keys, d, group])
    calls += 1
    let elements = count == 0 ? 0 : (count - 1) * stride + group * d
    let out = unsafe o.place(elements, of: Float.self)
    var call = unsafe args
    unsafe call.q = args.q + first * args.ldq
    unsafe call.q_first = first
    unsafe call.tq = count
    unsafe call.o = out
    unsafe call.ldo = stride
    unsafe call.mask = UInt32(mask.isCausal ? WC_MASK_causal : WC_MASK_full)
    unsafe call.window = mask.window
    unsafe call.sinks = mask.sinks
    unsafe call.softcap = mask.softcap
    unsafe call.slopes = mask.alibi ? UnsafePointer(slopes.unsafePointer) : nil
    unsafe call.bq = bq
    unsafe call.bk = bk
    // Panels side by side, or one after the other: the result is the same.
    unsafe call.prefetch = calls % 2
    let needed = memory.scratch_bytes(bq, bk, group, d)
    unsafe call.scratch = UnsafeMutableRawPointer(scratch.place(needed, of: UInt8.self, alignment: 64))
    let part = split == 0 ? max(1, keys) : (split + kernel.nr - 1) / kernel.nr * kernel.nr
    let partCount = max(1, (keys + part - 1) / part)
    let partFloats = count * group * (d + 2)
    let partial = unsafe parts.place(partCount * partFloats, of: Float.self)
    for p in 0..<partCount {
      unsafe call.k_first = p * part
      unsafe call.k_end = min(keys, (p + 1) * part)
      if split > 0 { unsafe call.partial = partial + p * partFloats }
      let status = unsafe kernel.row.pointee.attention!(&call)
      if status != WC_OK { return ([], "status \(status.rawValue)") }
    }
    if split > 0 {
      let status = unsafe memory.merge(partCount, count, group, d, partial, partFloats, out, stride, d)
      if status != WC_OK { return ([], "merging gives status \(status.rawValue)") }
    }
    if !(o.isIntact && scratch.isIntact && cache.isIntact && parts.isIntact) { return ([], "wrote outside its output") }
    var rows: [Float] = []
    for i in 0..<count {
      for c in 0..<group * d { unsafe rows.append(out[i * stride + c]) }
      for c in group * d..<stride where i * stride + c < elements {
        if unsafe out[i * stride + c].bitPattern != 0xFFFF_FFFF { return ([], "wrote right of row \(i)") }
      }
    }
    return (rows, nil)
  }

  /// What goes wrong in one call, or nil.
  ///
  /// - Parameter seen: `oracle` as the kernel sees it.
  func mismatch(
    _ oracle: AttentionOracle, seen: AttentionOracle, first: Int, count: Int, mask: Mask, bq: Int, bk: Int, split: Int = 0
  ) -> String? {
    let d = oracle.d
    func failed(_ why: String) -> String {
      "queries \(first)..<\(first + count) of \(oracle.queries) × \(oracle.group), \(oracle.keys) keys, d=\(d), \(mask.rawValue), bq=\(bq) bk=\(bk) split=\(split): \(why)"
    }
    let (rows, wrong) = run(oracle, first: first, count: count, mask: mask, bq: bq, bk: bk, split: split)
    if let wrong { return failed(wrong) }
    let slopes = self.slopes.array()
    var difference = 0.0
    var norm = 0.0
    var magnitude = 0.0
    for i in 0..<count {
      for h in 0..<oracle.group {
        let expected = seen.output(first + i, head: h, mask: mask, slopes: slopes)
        let sizes = seen.magnitude(first + i, head: h, mask: mask, slopes: slopes)
        for c in 0..<d {
          magnitude += sizes[c] * sizes[c]
          let found = Double(rows[(i * oracle.group + h) * d + c])
          difference += (found - expected[c]) * (found - expected[c])
          norm += expected[c] * expected[c]
        }
      }
    }
    let error = difference.squareRoot()
    let allowed = Tolerance.attention(
      norm: norm.squareRoot(), magnitude: magnitude.squareRoot(), narrow: kernel.a == .bf16)
    // A comparison that a NaN fails.
    guard error <= allowed else { return failed("relative Frobenius error \(error / norm.squareRoot())") }
    return nil
  }

  /// Compares the library's reference, which sees what it is given, with the oracle.
  func referenceMismatch(_ oracle: AttentionOracle, mask: Mask) -> String? {
    var call = unsafe args
    unsafe call.tq = oracle.queries
    unsafe call.mask = UInt32(mask.isCausal ? WC_MASK_causal : WC_MASK_full)
    unsafe call.window = mask.window
    unsafe call.sinks = mask.sinks
    unsafe call.softcap = mask.softcap
    unsafe call.slopes = mask.alibi ? UnsafePointer(slopes.unsafePointer) : nil
    var found = [Double](repeating: .nan, count: oracle.queries * oracle.group * oracle.d)
    let status = unsafe wc_attention_reference(&call, &found)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    for i in 0..<oracle.queries {
      for h in 0..<oracle.group {
        for (c, value) in oracle.output(i, head: h, mask: mask, slopes: slopes.array()).enumerated() {
          let other = found[(i * oracle.group + h) * oracle.d + c]
          guard abs(other - value) <= 1e-12 * max(1, abs(value)) else {
            return "the library's reference says O[\(i), \(h), \(c)] is \(other), not \(value)"
          }
        }
      }
    }
    return nil
  }

  /// Compares what the library says a cache keeps with the oracle.
  func keptMismatch(_ oracle: AttentionOracle, seen: AttentionOracle) -> String? {
    var found = [Float](repeating: .nan, count: oracle.keys * oracle.d)
    let status = unsafe wc_attention_kept(kernel.row.pointee.b, oracle.keys, oracle.d, oracle.k, oracle.d, &found)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    for (at, (found, expected)) in zip(found, seen.k).enumerated() where found != expected {
      return "value \(at) of \(oracle.k[at]) is kept as \(found), not \(expected)"
    }
    return nil
  }
}
