import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Every kernel of the linear-attention family against f64 recurrences.
@Suite struct RecurrenceKernelTests {
  static let kernels = KernelTable.all.filter { $0.op.isRecurrence }
  static let chunks = [1, 2, 4, 8]
  /// Sizes about the vectors, the blocks of 64 rows and the panels.
  private static let sizes = [(1, 1), (3, 17), (16, 16), (20, 7), (65, 40), (64, 64), (130, 33)]
  private static let lengths = [0, 1, 2, 3, 5, 8, 15, 16, 17, 37]

  @Test(arguments: kernels) func matchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    var turn = 0
    for tokens in Self.lengths {
      for (dk, dv) in Self.sizes {
        turn += 1
        let pattern = RecurrenceOracle.Pattern.allCases[turn % 4]
        let oracle = RecurrenceOracle(kernel.op, tokens: tokens, dk: dk, dv: dv, pattern: pattern, seed: UInt64(turn))
        let expected = oracle.result()
        for chunk in Self.chunks {
          let (output, wrong) = caller.run(oracle, chunk: chunk, gap: turn % 3)
          let mismatch = output.map { RecurrenceCaller.mismatch($0, expected, of: kernel.op) } ?? wrong
          try #require(mismatch == nil, "\(kernel.name), \(tokens) tokens, \(dk)×\(dv), chunk=\(chunk), \(pattern): \(mismatch!)")
        }
      }
    }
    report(kernel, "\(caller.calls) calls")
  }

  @Test(arguments: kernels) func extremesGiveNumbers(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    for pattern in RecurrenceOracle.Pattern.allCases {
      let oracle = RecurrenceOracle(kernel.op, tokens: 67, dk: 33, dv: 35, pattern: pattern, seed: 7)
      let expected = oracle.result()
      for chunk in Self.chunks {
        let (output, wrong) = caller.run(oracle, chunk: chunk)
        let made = try #require(output, "\(wrong!)")
        let areFinite = (made.o + made.state).allSatisfy { $0.isFinite }
        #expect(areFinite, "\(kernel.name), \(pattern), chunk=\(chunk)")
        let mismatch = RecurrenceCaller.mismatch(made, expected, of: kernel.op)
        #expect(mismatch == nil, "\(kernel.name), \(pattern), chunk=\(chunk): \(mismatch!)")
      }
    }
  }

  @Test(arguments: kernels) func libraryReferenceAgrees(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    for pattern in RecurrenceOracle.Pattern.allCases {
      let (tokens, dk, dv) = (9, 5, 7)
      let oracle = RecurrenceOracle(kernel.op, tokens: tokens, dk: dk, dv: dv, pattern: pattern, seed: 3)
      var args = unsafe caller.arguments(oracle, chunk: 1, gap: 1)
      var o = [Double](repeating: .nan, count: tokens * dv)
      var state = [Double](repeating: .nan, count: dk * dv)
      var z = [Double](repeating: .nan, count: dk)
      var sizes = [Double](repeating: .nan, count: tokens * dv + dk * dv)
      let status = unsafe o.withUnsafeMutableBufferPointer { o in
        unsafe state.withUnsafeMutableBufferPointer { state in
          unsafe z.withUnsafeMutableBufferPointer { z in
            unsafe sizes.withUnsafeMutableBufferPointer { sizes in
              var result = unsafe wc_recurrence_result(
                o: o.baseAddress, state: state.baseAddress, z: z.baseAddress, o_size: sizes.baseAddress,
                state_size: sizes.baseAddress! + tokens * dv)
              return unsafe wc_recurrence_reference(kernel.op.c, &args, &result)
            }
          }
        }
      }
      #expect(status == WC_OK)
      let expected = oracle.result()
      for (found, value) in zip(o + state, expected.o + expected.state) {
        #expect(abs(found - value) <= 1e-12 * max(1, abs(value)), "\(kernel.name), \(pattern)")
      }
      if kernel.op == .linearAttention {
        for (found, value) in zip(z, expected.z) { #expect(abs(found - value) <= 1e-12 * value) }
      }
    }
  }

  /// A sequence in two parts, the state carried, is one run: to the bit where the first is whole chunks.
  @Test(arguments: kernels) func carriesItsState(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    let oracle = RecurrenceOracle(kernel.op, tokens: 53, dk: 36, dv: 41, seed: 11)
    let expected = oracle.result()
    for chunk in Self.chunks {
      let (whole, wrong) = caller.run(oracle, chunk: chunk)
      let one = try #require(whole, "\(wrong!)")
      for cut in [1, 8, 19, 24, 32, 48, 52] {
        let first = try #require(caller.run(oracle.part(0..<cut, state: oracle.state, z: oracle.z), chunk: chunk).output)
        let rest = oracle.part(cut..<53, state: first.state, z: first.z)
        let second = try #require(caller.run(rest, chunk: chunk).output)
        let both = RecurrenceCaller.Output(o: first.o + second.o, state: second.state, z: second.z)
        let mismatch = RecurrenceCaller.mismatch(both, expected, of: kernel.op)
        #expect(mismatch == nil, "\(kernel.name), chunk=\(chunk), cut at \(cut): \(mismatch!)")
        if cut % chunk == 0 {
          #expect((both.o == one.o && both.state == one.state) as Bool, "\(kernel.name), chunk=\(chunk), cut at \(cut)")
        }
      }
    }
  }

  /// Token by token as when generating, and any columns alone: the bits of the whole.
  @Test(arguments: kernels) func columnsAreIndependent(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    let dv = 75
    for tokens in [1, 5, 40] {
      let oracle = RecurrenceOracle(kernel.op, tokens: tokens, dk: 21, dv: dv, seed: 5)
      let whole = try #require(caller.run(oracle, chunk: 4).output)
      for (first, count) in [(0, 1), (3, 16), (16, 59), (40, 35)] {
        func columns(_ values: [Float]) -> [Float] {
          values.indices.filter { (first..<first + count).contains($0 % dv) }.map { values[$0] }
        }
        var some = RecurrenceOracle(kernel.op, tokens: tokens, dk: 21, dv: count, seed: 5)
        (some.q, some.k, some.a, some.b) = (oracle.q, oracle.k, oracle.a, oracle.b)
        (some.decay, some.rate, some.bonus, some.z) = (oracle.decay, oracle.rate, oracle.bonus, oracle.z)
        some.v = columns(oracle.v)
        some.state = columns(oracle.state)
        let part = try #require(caller.run(some, chunk: 4).output)
        #expect(
          (part.o == columns(whole.o) && part.state == columns(whole.state)) as Bool,
          "\(kernel.name), \(tokens) tokens: columns \(first)..<\(first + count)")
      }
    }
  }

  @Test(arguments: kernels) func subnormalsCountAgainAfterwards(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    let oracle = RecurrenceOracle(kernel.op, tokens: 60, dk: 16, dv: 16, pattern: .fading, seed: 2)
    let output = try #require(caller.run(oracle, chunk: 4).output)
    #expect(output.state.allSatisfy { !$0.isSubnormal })
    let tiny = [Float.leastNormalMagnitude, 0.5].shuffled()
    #expect(tiny[0] * tiny[1] > 0)
  }

  @Test(arguments: kernels) func refusesWhatItCannotDo(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    let oracle = RecurrenceOracle(kernel.op, tokens: 3, dk: 4, dv: 5, seed: 1)
    for chunk in [0, 3, 5, 16] { #expect(caller.run(oracle, chunk: chunk).wrong == "status \(WC_INVALID_ARGUMENT.rawValue)") }
    for missing in 0..<4 {
      var args = unsafe caller.arguments(oracle, chunk: 1, gap: 0)
      switch missing {
      case 0: unsafe args.q = nil
      case 1: unsafe args.k = nil
      case 2: unsafe args.v = nil
      default: unsafe args.scratch = nil
      }
      let status = unsafe kernel.row.pointee.recurrence!(&args)
      #expect(status == WC_INVALID_ARGUMENT)
    }
  }
}
