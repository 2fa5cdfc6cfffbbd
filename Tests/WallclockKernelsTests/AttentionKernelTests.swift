import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Calls one attention kernel through the C ABI on operands that end at pages which may not be touched.
@safe private final class AttentionCaller {
  let kernel: KernelDescriptor
  private(set) var calls = 0
  private(set) var shapes: Set<[Int]> = []
  private let q = GuardedMemory(capacity: 1 << 17)
  private let k = GuardedMemory(capacity: 1 << 18)
  private let v = GuardedMemory(capacity: 1 << 18)
  private let o = GuardedMemory(capacity: 1 << 17)
  private let packed = GuardedMemory(capacity: 1 << 20)
  private let scratch = GuardedMemory(capacity: 1 << 20)
  private var args = unsafe wc_attention_args()

  init(_ kernel: KernelDescriptor) { self.kernel = kernel }

  /// Rows of `d` with `gap` NaN between them.
  private func place(
    _ values: [Float], rows: Int, d: Int, gap: Int, in memory: GuardedMemory
  ) -> UnsafePointer<Float> {
    let stride = d + gap
    let p = unsafe memory.place(rows == 0 ? 0 : (rows - 1) * stride + d, of: Float.self)
    for i in 0..<rows { for c in 0..<d { unsafe p[i * stride + c] = values[i * d + c] } }
    return unsafe UnsafePointer(p)
  }

  /// Lays out and packs the whole sequence.
  func load(_ oracle: AttentionOracle, gap: Int) {
    let d = oracle.d
    unsafe args = wc_attention_args()
    unsafe args.d = d
    unsafe args.tk = oracle.keys
    unsafe args.tq_total = oracle.queries
    unsafe args.q = place(oracle.q, rows: oracle.queries, d: d, gap: gap, in: q)
    unsafe args.k = place(oracle.k, rows: oracle.keys, d: d, gap: gap, in: k)
    unsafe args.v = place(oracle.v, rows: oracle.keys, d: d, gap: gap, in: v)
    unsafe args.ldq = d + gap
    unsafe args.ldk = d + gap
    unsafe args.ldv = d + gap
    unsafe args.scale = oracle.scale
    let memory = unsafe kernel.row.pointee.attention_memory!
    let bytes = unsafe memory.pointee.packed_bytes(oracle.keys, d)
    if bytes > 0 {
      let to = unsafe packed.place(bytes, of: UInt8.self, alignment: 64)
      let status = unsafe memory.pointee.pack_kv(oracle.keys, d, args.k, args.ldk, args.v, args.ldv, to)
      #expect(status == WC_OK && packed.isIntact, "\(kernel.name): packing \(oracle.keys)×\(d)")
      unsafe args.packed_kv = UnsafeRawPointer(to)
    }
  }

  /// Rows first ..< first + count of O, or why there are none.
  func run(
    _ oracle: AttentionOracle, first: Int, count: Int, mask: Mask, bq: Int, bk: Int
  ) -> (rows: [Float], wrong: String?) {
    let d = oracle.d
    let stride = d + 2
    shapes.insert([count, oracle.keys, d])
    calls += 1
    let elements = count == 0 ? 0 : (count - 1) * stride + d
    let out = unsafe o.place(elements, of: Float.self)
    var call = unsafe args
    unsafe call.q = args.q + first * args.ldq
    unsafe call.q_first = first
    unsafe call.tq = count
    unsafe call.o = out
    unsafe call.ldo = stride
    unsafe call.mask = UInt32(mask == .causal ? WC_MASK_causal : WC_MASK_full)
    unsafe call.bq = bq
    unsafe call.bk = bk
    let needed = unsafe kernel.row.pointee.attention_memory!.pointee.scratch_bytes(bq, bk, d)
    unsafe call.scratch = UnsafeMutableRawPointer(scratch.place(needed, of: UInt8.self, alignment: 64))
    let status = unsafe kernel.row.pointee.attention!(&call)
    if status != WC_OK { return ([], "status \(status.rawValue)") }
    if !(o.isIntact && scratch.isIntact && packed.isIntact) { return ([], "wrote outside its output") }
    var rows: [Float] = []
    for i in 0..<count {
      for c in 0..<d { unsafe rows.append(out[i * stride + c]) }
      for c in d..<stride where i * stride + c < elements {
        if unsafe out[i * stride + c].bitPattern != 0xFFFF_FFFF { return ([], "wrote right of row \(i)") }
      }
    }
    return (rows, nil)
  }

  /// What goes wrong in one call, or nil.
  func mismatch(
    _ oracle: AttentionOracle, first: Int, count: Int, mask: Mask, bq: Int, bk: Int
  ) -> String? {
    let d = oracle.d
    func failed(_ why: String) -> String {
      "queries \(first)..<\(first + count) of \(oracle.queries), \(oracle.keys) keys, d=\(d), \(mask), bq=\(bq) bk=\(bk): \(why)"
    }
    let (rows, wrong) = run(oracle, first: first, count: count, mask: mask, bq: bq, bk: bk)
    if let wrong { return failed(wrong) }
    var difference = 0.0
    var norm = 0.0
    var magnitude = 0.0
    for i in 0..<count {
      let expected = oracle.output(first + i, total: oracle.queries, mask: mask)
      let sizes = oracle.magnitude(first + i, total: oracle.queries, mask: mask)
      for c in 0..<d {
        magnitude += sizes[c] * sizes[c]
        let found = Double(rows[i * d + c])
        difference += (found - expected[c]) * (found - expected[c])
        norm += expected[c] * expected[c]
      }
    }
    let error = difference.squareRoot()
    // A comparison that a NaN fails.
    guard error <= Tolerance.attention(norm: norm.squareRoot(), magnitude: magnitude.squareRoot()) else {
      return failed("relative Frobenius error \(error / norm.squareRoot())")
    }
    return nil
  }

  /// Compares the library's reference with the oracle.
  func referenceMismatch(_ oracle: AttentionOracle, mask: Mask) -> String? {
    var call = unsafe args
    unsafe call.tq = oracle.queries
    unsafe call.mask = UInt32(mask == .causal ? WC_MASK_causal : WC_MASK_full)
    var found = [Double](repeating: .nan, count: oracle.queries * oracle.d)
    let status = unsafe wc_attention_reference(&call, &found)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    for i in 0..<oracle.queries {
      for (c, value) in oracle.output(i, total: oracle.queries, mask: mask).enumerated() {
        let other = found[i * oracle.d + c]
        guard abs(other - value) <= 1e-12 * max(1, abs(value)) else {
          return "the library's reference says O[\(i), \(c)] is \(other), not \(value)"
        }
      }
    }
    return nil
  }
}

/// Every attention kernel of the table against an f64 oracle.
@Suite struct AttentionKernelTests {
  static let kernels = KernelTable.all.filter { $0.op == .attention }

  @Test(arguments: kernels) func matchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = AttentionCaller(kernel)
    let (mr, nr) = (kernel.mr, kernel.nr)
    let blocks = [(1, 1), (mr, nr), (mr + 1, nr + 1), (48, 128), (7, 33)]
    let depths = Set([1, 3, nr - 1, nr, nr + 1, 32, 64]).filter { $0 > 0 }.sorted()
    var turn = 0
    for keys in Set([0, 1, nr - 1, nr, nr + 1, 2 * nr + 3, 130]).sorted() {
      for queries in Set([1, mr - 1, mr, mr + 1, 2 * mr + 1]).sorted() where queries > 0 {
        for d in depths {
          turn += 1
          let pattern = AttentionOracle.Pattern.allCases[turn % 4]
          let oracle = AttentionOracle(queries: queries, keys: keys, d: d, pattern: pattern, seed: UInt64(turn))
          caller.load(oracle, gap: turn % 3)
          for mask in Mask.allCases {
            for (index, (bq, bk)) in blocks.enumerated() where index == turn % 5 || index == (turn + 2) % 5 {
              // The whole sequence, then its tail as a call of its own.
              for first in Set([0, queries / 2]) {
                let wrong = caller.mismatch(
                  oracle, first: first, count: queries - first, mask: mask, bq: bq, bk: bk)
                try #require(wrong == nil, "\(kernel.name), \(pattern): \(wrong!)")
              }
            }
          }
        }
      }
    }
    report(kernel, "\(caller.shapes.count) shapes, \(caller.calls) calls")
  }

  @Test(arguments: kernels) func libraryReferenceAgrees(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = AttentionCaller(kernel)
    for (queries, keys) in [(1, 1), (5, 5), (5, 9), (9, 5), (3, 0)] {
      for pattern in AttentionOracle.Pattern.allCases {
        let oracle = AttentionOracle(queries: queries, keys: keys, d: 7, pattern: pattern, seed: 1)
        caller.load(oracle, gap: 1)
        for mask in Mask.allCases {
          let wrong = caller.referenceMismatch(oracle, mask: mask)
          try #require(wrong == nil, "\(queries) queries, \(keys) keys, \(mask), \(pattern): \(wrong!)")
        }
      }
    }
  }

  @Test(arguments: kernels) func sameBitsHoweverQueriesAreShared(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = AttentionCaller(kernel)
    let queries = 2 * kernel.mr + 3
    for mask in Mask.allCases {
      let oracle = AttentionOracle(queries: queries, keys: 75, d: 32, pattern: .random, seed: 4)
      caller.load(oracle, gap: 0)
      let (whole, wrong) = caller.run(oracle, first: 0, count: queries, mask: mask, bq: 48, bk: 32)
      try #require(wrong == nil, "\(wrong!)")
      for i in 0..<queries {
        let (row, _) = caller.run(oracle, first: i, count: 1, mask: mask, bq: 48, bk: 32)
        #expect(row == Array(whole[i * 32..<(i + 1) * 32]), "\(kernel.name), \(mask): query \(i) alone")
      }
    }
  }

  @Test(arguments: kernels) func notANumberStaysInItsQuery(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = AttentionCaller(kernel)
    let queries = kernel.mr + 2
    let d = 16
    for bad in [0, kernel.mr - 1, kernel.mr + 1] {
      let clean = AttentionOracle(queries: queries, keys: 40, d: d, pattern: .random, seed: 9)
      var q = clean.q
      q[bad * d + 5] = .nan
      let oracle = AttentionOracle(replacing: q, of: clean)
      caller.load(oracle, gap: 1)
      let (rows, wrong) = caller.run(oracle, first: 0, count: queries, mask: .full, bq: 48, bk: 16)
      try #require(wrong == nil, "\(wrong!)")
      for i in 0..<queries {
        let row = rows[i * d..<(i + 1) * d]
        #expect(row.allSatisfy { $0.isNaN == (i == bad) }, "\(kernel.name): query \(i), NaN in \(bad)")
      }
    }
  }
}
