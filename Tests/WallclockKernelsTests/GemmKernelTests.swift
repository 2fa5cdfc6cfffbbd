import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Every GEMM kernel of the table, through the C ABI, against an f64 oracle. Exact kernels must give
/// the bits that the ABI's arithmetic gives, which makes them equal across ISAs.
@Suite struct GemmKernelTests {
  static let kernels = KernelTable.all.filter { $0.op == .gemm }

  private static func patterns(_ kernel: KernelDescriptor) -> [GemmPattern] {
    switch kernel.a! {
    case .s8, .u8, .s16: [.random, .extreme, .greatest]
    // The BF16 dot-product instructions take denormals as zero (Intel SDM, VDPBF16PS).
    case .bf16: [.random, .extreme, .greatest, .cancelling]
    default: [.random, .extreme, .greatest, .cancelling, .denormal]
    }
  }

  @Test(arguments: kernels) func matchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = try GemmCaller(kernel)
    let ends = kernel.epilogues.subsets
    let rows = kernel.edgeRows
    let columns = kernel.edgeColumns
    var turn = 0
    for k in kernel.edgeDepths {
      for pattern in Self.patterns(kernel) where pattern == .random || k > 1 {
        let oracle = GemmOracle(
          a: kernel.a!, b: kernel.b!, rows: rows.last!, columns: columns.last!, k: k, pattern: pattern,
          seed: UInt64(k) &* 31 &+ 7)
        for n in columns {
          try caller.pack(oracle, n: n)
          for m in rows {
            turn += 1
            caller.load(oracle, m: m, gap: turn % 3)
            for (index, split) in kernel.splits(of: k).enumerated() {
              // All ends in one call; two in turn of those cut along K.
              let chosen =
                index == 0 && pattern == .random
                ? ends : [ends[turn % ends.count], ends[(turn * 3 + 5) % ends.count], kernel.epilogues]
              for epilogue in chosen {
                let wrong = caller.mismatch(
                  oracle, epilogue: epilogue, split: split, inPlace: turn % 2 == 0, gap: turn % 4)
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
    // The reference is plain code, so it is checked for every row, run here or not.
    let caller = try GemmCaller(kernel)
    for k in kernel.edgeDepths where k <= 130 {
      let oracle = GemmOracle(
        a: kernel.a!, b: kernel.b!, rows: 3, columns: 5, k: k, pattern: .random, seed: 11)
      try caller.pack(oracle, n: 5)
      caller.load(oracle, m: 3, gap: 1)
      for epilogue in kernel.epilogues.subsets {
        let wrong = caller.referenceMismatch(oracle, epilogue: epilogue)
        try #require(wrong == nil, "\(kernel.name): \(wrong!)")
      }
    }
  }

  @Test(arguments: kernels) func notANumberStaysInItsRow(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = try GemmCaller(kernel)
    let k = kernel.b!.groupSize.map { 2 * $0 } ?? 37
    let m = kernel.mr + 2
    let n = kernel.nr + 3
    for row in [0, kernel.mr - 1, m - 1] {
      for value in [Float.nan, .infinity, -.infinity] {
        var oracle = GemmOracle(
          a: kernel.a!, b: kernel.b!, rows: m, columns: n, k: k, pattern: .random, seed: 3)
        if oracle.isInteger { oracle.poisonRow(row) } else { oracle.setActivation(row, k / 2, value) }
        try caller.pack(oracle, n: n)
        caller.load(oracle, m: m, gap: 1)
        for epilogue in kernel.epilogues.subsets {
          for split in kernel.splits(of: k) {
            let wrong = caller.mismatch(oracle, epilogue: epilogue, split: split, gap: 1)
            try #require(wrong == nil, "\(kernel.name), \(value) in row \(row): \(wrong!)")
          }
        }
      }
    }
    report(kernel, "NaN and infinities of A, \(caller.calls) calls")
  }

  @Test(arguments: kernels.filter { $0.b == .f32 || $0.b == .bf16 })
  func notANumberStaysInItsColumn(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = try GemmCaller(kernel)
    for column in [0, kernel.nr - 1, kernel.nr] {
      var oracle = GemmOracle(
        a: kernel.a!, b: kernel.b!, rows: kernel.mr + 1, columns: kernel.nr + 1, k: 19, pattern: .random, seed: 5)
      oracle.setWeight(column, 18, .nan)
      try caller.pack(oracle, n: kernel.nr + 1)
      for m in [1, kernel.mr + 1] {
        caller.load(oracle, m: m, gap: 0)
        for epilogue in kernel.epilogues.subsets {
          let wrong = caller.mismatch(oracle, epilogue: epilogue, split: [19], gap: 2)
          try #require(wrong == nil, "\(kernel.name), NaN in column \(column): \(wrong!)")
        }
      }
    }
    report(kernel, "NaN of W, \(caller.calls) calls")
  }

  @Test(arguments: kernels) func refusesWhatItWasNotGiven(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let gemm = unsafe kernel.row.pointee.gemm!
    var status = gemm(nil)
    #expect(status == WC_INVALID_ARGUMENT)
    // Nothing to do is done, whatever else is missing.
    var args = unsafe wc_gemm_args()
    unsafe args.flags = UInt32(WC_GEMM_FIRST) | UInt32(WC_GEMM_LAST)
    status = unsafe gemm(&args)
    #expect(status == WC_OK)
    unsafe args.m = 1
    unsafe args.n = 1
    status = unsafe gemm(&args)
    #expect(status == WC_INVALID_ARGUMENT, "no C")
    var c: Float = 7
    let k = kernel.blockStep
    unsafe args.k = k
    status = unsafe withUnsafeMutablePointer(to: &c) { c in
      unsafe args.c = c
      return unsafe gemm(&args)
    }
    #expect(status == WC_INVALID_ARGUMENT, "no A")
    #expect(c == 7)
  }
}
