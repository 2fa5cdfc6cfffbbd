import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Every attention kernel of the table against an f64 oracle.
@Suite struct AttentionKernelTests {
  static let kernels = KernelTable.all.filter { $0.op == .attention }

  @Test(arguments: kernels) func matchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = AttentionCaller(kernel)
    let (mr, nr) = (kernel.mr, kernel.nr)
    let blocks = [(1, 1), (mr, nr), (mr + 1, nr + 1), (48, 128), (7, 33)]
    let depths = Set([1, 3, nr - 1, nr, nr + 1, 32, 64, 80]).filter { $0 > 0 }.sorted()
    var turn = 0
    for keys in Set([0, 1, nr - 1, nr, nr + 1, 2 * nr + 3, 130]).sorted() {
      for queries in Set([1, mr - 1, mr, mr + 1, 2 * mr + 1]).sorted() where queries > 0 {
        for d in depths {
          turn += 1
          let oracle = AttentionOracle(
            queries: queries, keys: keys, d: d, group: [1, 3, 1, 8][turn % 4],
            pattern: AttentionOracle.Pattern.allCases[turn / 3 % 4], seed: UInt64(turn))
          let seen = AttentionOracle(oracle, roundedTo: kernel.a!, cache: kernel.b!)
          caller.load(oracle, gap: turn % 3, spare: turn % 5 * 9, piece: [Int.max, 1, 7, nr][turn % 4])
          for mask in [Mask.plain[turn % 2], Mask.kinds[turn % Mask.kinds.count]] {
            let (bq, bk) = blocks[turn % 5]
            // The whole sequence, then its tail as a call of its own, whole and in parts.
            let calls = [(0, 0), (queries / 2, 0), (queries / 2, [1, nr, 2 * nr + 1][turn % 3])]
            for (first, split) in queries == 1 ? Array(calls.dropFirst()) : calls {
              let wrong = caller.mismatch(
                oracle, seen: seen, first: first, count: queries - first, mask: mask, bq: bq, bk: bk, split: split)
              try #require(wrong == nil, "\(kernel.name): \(wrong!)")
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
    for (queries, keys) in [(1, 1), (5, 5), (5, 9), (9, 5), (3, 0), (4, 70)] {
      for pattern in AttentionOracle.Pattern.allCases {
        let oracle = AttentionOracle(queries: queries, keys: keys, d: 37, group: 2, pattern: pattern, seed: 1)
        caller.load(oracle, gap: 1)
        let seen = AttentionOracle(oracle, roundedTo: kernel.a!, cache: kernel.b!)
        if let wrong = caller.keptMismatch(oracle, seen: seen) { Issue.record("\(kernel.name): \(wrong)") }
        for mask in Mask.kinds {
          let wrong = caller.referenceMismatch(oracle, mask: mask)
          try #require(wrong == nil, "\(queries) queries, \(keys) keys, \(mask.rawValue), \(pattern): \(wrong!)")
        }
      }
    }
  }

  @Test(arguments: kernels) func sameBitsHoweverQueriesAreShared(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = AttentionCaller(kernel)
    let queries = 2 * kernel.mr + 3
    for mask in Mask.plain {
      let oracle = AttentionOracle(queries: queries, keys: 75, d: 32, group: 2, pattern: .random, seed: 4)
      caller.load(oracle, gap: 0)
      let (whole, wrong) = caller.run(oracle, first: 0, count: queries, mask: mask, bq: 48, bk: 32)
      try #require(wrong == nil, "\(wrong!)")
      for i in 0..<queries {
        let (row, _) = caller.run(oracle, first: i, count: 1, mask: mask, bq: 48, bk: 32)
        #expect((row == Array(whole[i * 64..<(i + 1) * 64])) as Bool, "\(kernel.name), \(mask.rawValue): query \(i) alone")
      }
    }
  }

  /// Keys appended one by one, each followed by a decode step, give what one call over all of them gives.
  @Test(arguments: kernels) func appendingThenDecodingIsPrefill(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let keys = kernel.nr + 5
    let all = AttentionOracle(queries: keys, keys: keys, d: 40, group: 4, pattern: .random, seed: 6)
    let caller = AttentionCaller(kernel)
    caller.load(all, gap: 0)
    let (prefill, wrong) = caller.run(all, first: 0, count: keys, mask: .causal, bq: 48, bk: 64)
    try #require(wrong == nil, "\(wrong!)")
    for length in Set([1, 2, kernel.nr - 1, kernel.nr, keys]) {
      let step = AttentionOracle(decoding: length, of: all)
      caller.load(step, gap: 1, spare: 3, piece: 1)
      let (row, _) = caller.run(step, first: 0, count: 1, mask: .causal, bq: 4, bk: 32, split: kernel.nr)
      let expected = prefill[(length - 1) * 160..<length * 160]
      let difference = zip(row, expected).map { Double($0 - $1) * Double($0 - $1) }.reduce(0, +).squareRoot()
      let norm = expected.map { Double($0) * Double($0) }.reduce(0, +).squareRoot()
      #expect(
        difference <= 2 * Tolerance.attention(norm: norm, magnitude: norm, narrow: kernel.a == .bf16),
        "\(kernel.name): \(length) keys")
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
      for split in [0, 16] {
        let (rows, wrong) = caller.run(oracle, first: 0, count: queries, mask: .full, bq: 48, bk: 16, split: split)
        try #require(wrong == nil, "\(wrong!)")
        for i in 0..<queries {
          let row = rows[i * d..<(i + 1) * d]
          #expect(row.allSatisfy { $0.isNaN == (i == bad) }, "\(kernel.name): query \(i), NaN in \(bad)")
        }
      }
    }
  }
}
