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

  private static func ends(_ kernel: KernelDescriptor, gated: Bool) -> [Epilogue] {
    kernel.epilogues.combinations.filter { $0.contains(.gated) == gated }
  }

  @Test(arguments: kernels) func matchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = try GemmCaller(kernel)
    let rows = kernel.edgeRows
    let columns = kernel.edgeColumns
    var turn = 0
    for k in kernel.edgeDepths {
      for pattern in Self.patterns(kernel) where pattern == .random || k > 1 {
        let oracle = GemmOracle(
          a: kernel.a!, b: kernel.b!, rows: rows.last!, columns: columns.last! + 1, k: k, pattern: pattern,
          seed: UInt64(k) &* 31 &+ 7)
        for (n, gated) in columns.flatMap({ [($0, false), ($0 + $0 % 2, true)] }) {
          try caller.pack(oracle, n: n, gated: gated)
          let ends = Self.ends(kernel, gated: gated)
          for m in rows {
            turn += 1
            caller.load(oracle, m: m, gap: turn % 3)
            for (index, split) in kernel.splits(of: k).enumerated() {
              let count = index == 0 && pattern == .random ? 6 : 2
              for epilogue in Epilogue.some(of: ends, turn: turn, count: count) {
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
        a: kernel.a!, b: kernel.b!, rows: 4, columns: 6, k: k, pattern: .random, seed: 11)
      for gated in [false, true] {
        try caller.pack(oracle, n: gated ? 6 : 5, gated: gated)
        caller.load(oracle, m: 4, gap: 1)
        for epilogue in Self.ends(kernel, gated: gated) {
          let wrong = caller.referenceMismatch(oracle, epilogue: epilogue)
          try #require(wrong == nil, "\(kernel.name): \(wrong!)")
        }
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
          a: kernel.a!, b: kernel.b!, rows: m, columns: n + n % 2, k: k, pattern: .random, seed: 3)
        if oracle.isInteger { oracle.poisonRow(row) } else { oracle.setActivation(row, k / 2, value) }
        for gated in [false, true] {
          try caller.pack(oracle, n: n + n % 2, gated: gated)
          caller.load(oracle, m: m, gap: 1)
          for (index, epilogue) in Self.ends(kernel, gated: gated).enumerated() {
            for split in kernel.splits(of: k) where index % 3 == row % 3 {
              let wrong = caller.mismatch(oracle, epilogue: epilogue, split: split, gap: 1)
              try #require(wrong == nil, "\(kernel.name), \(value) in row \(row): \(wrong!)")
            }
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
        for epilogue in Self.ends(kernel, gated: false) {
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
    var any: Float = 7
    try unsafe refusesBadEnds(kernel, &args, c: &any)
    var c: Float = 7
    let k = kernel.blockStep
    unsafe args.k = k
    status = unsafe withUnsafeMutablePointer(to: &c) { c in
      unsafe args.c = UnsafeMutableRawPointer(c)
      return unsafe gemm(&args)
    }
    #expect(status == WC_INVALID_ARGUMENT, "no A")
    #expect(c == 7)
  }

  private func refusesBadEnds(_ kernel: KernelDescriptor, _ args: inout wc_gemm_args, c: inout Float) throws {
    let bad: [(Epilogue, String)] = [
      ([.silu, .gelu], "two activations"), ([.bf16, .s8], "two conversions"), (.s8, "codes without a scale"),
      (.gated, "one gate and no up"), (.bias, "no bias"), (.residual, "no residual"),
      (Epilogue(rawValue: 1 << 20), "an end that is none"),
    ]
    for (epilogue, why) in bad {
      let status = unsafe withUnsafeMutablePointer(to: &c) { c in
        unsafe args.c = UnsafeMutableRawPointer(c)
        unsafe args.epilogue = UInt32(epilogue.rawValue)
        return unsafe kernel.row.pointee.gemm!(&args)
      }
      #expect(status == WC_INVALID_ARGUMENT, "\(kernel.name): \(why)")
    }
    unsafe args.epilogue = 0
    unsafe args.c = nil
    #expect(c == 7)
  }

  /// Activations over their whole range: C is what the epilogue makes of the bias, nothing being multiplied.
  @Test(arguments: kernels) func activatesLikeTheOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = try GemmCaller(kernel)
    let inputs = KernelCases.activationInputs
    for first in stride(from: 0, to: inputs.count, by: 500) {
      let x = Array(inputs[first..<min(inputs.count, first + 500)])
      var oracle = GemmOracle(a: kernel.a!, b: kernel.b!, rows: 2, columns: x.count, k: 0, pattern: .random, seed: 1)
      oracle.bias = x
      try caller.pack(oracle, n: x.count)
      for m in 1...2 {
        caller.load(oracle, m: m, gap: 0)
        for epilogue in [.gelu, .geluTanh, .silu, .relu] as [Epilogue] {
          for conversion in [[], .s8] as [Epilogue] {
            let ends: Epilogue = [.bias, epilogue, conversion]
            let wrong = caller.mismatch(oracle, epilogue: ends, split: [0], gap: 0)
            try #require(wrong == nil, "\(kernel.name): \(wrong!)")
          }
        }
      }
    }
    report(kernel, "\(inputs.count) values, \(caller.calls) calls")
  }
}
