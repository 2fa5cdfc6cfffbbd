import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// Runs nothing: what it leaves is the output of an earlier run.
private final class IdleExecutor: Executor {
  var workerCount: Int { 1 }
  func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {}
}

@Suite struct CheckTests {
  static let problems: [Problem] =
    Format.all.map { .gemm($0, m: 5, n: 40, k: 128, epilogue: .bias) }
    + Epilogue.all.combinations.filter { $0.contains(.bias) }.map { .gemm(.w8a8, m: 5, n: 40, k: 64, epilogue: $0) } + [
      .moeGemm(.w8a8, tokens: 5, channels: 40, hidden: 24, experts: 4, topK: 2), .attention(batch: 1, tokens: 9, heads: 2, headDim: 16), .rowwise(.layerNorm, rows: 7, channels: 33),
      .rowwise(.gelu, rows: 7, channels: 33), .rowwise(.residual, rows: 7, channels: 33),
      .rowwise(.embedding, rows: 7, channels: 33), .rowwise(.meanPool, rows: 7, channels: 33),
      .rowwise(.quantize, rows: 7, channels: 33),
    ] + Problem.attentionFormats.flatMap { format in
      Mask.kinds.map { mask in
        .attention(format, batch: 2, tokens: 3, context: 70, heads: 6, kvHeads: 2, headDim: 40, mask: mask)
      }
    }
    + Op.recurrences.map { .recurrence($0, tokens: 5, heads: 2, headDim: 12) }
    + [
      .mamba1(tokens: 9, channels: 33, state: 4), .causalConv1d(tokens: 9, channels: 33, width: 3),
      .longConv(tokens: 9, channels: 33), .longConv(tokens: 90, channels: 33), .rwkv4(tokens: 9, channels: 33),
      .s4d(tokens: 9, channels: 33, state: 4), .s4d(tokens: 9, channels: 33, state: 100), .s4d(tokens: 1, channels: 33, state: 4),
    ]
    + [.rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax].map { .rowwise($0, rows: 7, channels: 33) }
    + [
      .rope(batch: 2, tokens: 5, heads: 3, headDim: 24, rotary: 10), .rope(.ropeInterleaved, tokens: 5, heads: 3, headDim: 24),
      .selection(.argmax, rows: 7, channels: 133), .selection(.topK, rows: 7, channels: 133, topK: 9),
      .selection(.sampling, rows: 7, channels: 133), .selection(.sampling, rows: 7, channels: 133, topK: 9),
    ]

  /// Candidates share operands, so a kernel that writes nothing would pass on another's work.
  @Test(arguments: problems)
  func anEarlierResultPassesForNobodys(_ problem: Problem) throws {
    let host = Machine.host.fingerprint
    let standard = try ScheduleSpace.standard(for: problem, threads: 1, machine: host)
    let prepared = try problem.prepare(standard, machine: host)
    #expect(try prepared.check(on: SerialExecutor()).passed)
    let error = #expect(throws: KernelError.self) { try prepared.check(on: IdleExecutor()) }
    #expect(error?.code == .wrongResult)
    #expect(error?.worstErrorOverTolerance == .infinity)
    #expect(try prepared.check(on: SerialExecutor()).passed)
  }
}
