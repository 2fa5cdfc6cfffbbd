import WallclockCore
import WallclockCounters
import WallclockKernels
import WallclockMachine
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// Times one prepared Problem and records everything DESIGN's rules ask to stand beside the number.
public enum MeasuredRun {
  /// The ceilings a Problem's rate is shown beside.
  public static func ceilingNames(for problem: Problem) -> [String] {
    let compute: String? =
      switch problem.op {
      case .gemm, .moeGemm:
        switch (problem.format.weights, problem.format.activations) {
        case (.int8, .int8), (.int8Grouped, .int8): "int8"
        case (.int4, .int8): "int4"
        // Activations beside integer weights may be bf16.
        case (.bf16, _), (.int8, .float), (.int4, .float): "bf16"
        default: "f32"
        }
      // Over a bf16 cache products may be bf16.
      case .attention: problem.format.weights == .bf16 ? "bf16" : "f32"
      case .gelu, .layerNorm: "f32"
      case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2, .mamba1, .longConv, .rwkv4,
        .s4d: "f32"
      case .quantize, .residual, .embedding, .meanPool, .causalConv1d: nil
      case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling: nil
      }
    return [compute, "read.dram"].compactMap { $0 }
  }

  /// - Parameters:
  ///   - check: of the same prepared Problem; a kernel that was not checked has no speed.
  ///   - ceilings: which ceilings to take beside the samples; all that suit the Problem by default.
  ///   - counters: whether to add a pass that reads counters.
  /// - Throws: `MeasureError`.
  public static func measure(
    _ prepared: any PreparedProblem, check: CorrectnessCheck, on pool: ThreadPool,
    options: SamplingOptions, probes: CeilingProbes, ceilings: [String]? = nil, counters: Bool = true,
    isCancelled: () -> Bool = { false }
  ) throws -> Measurement {
    try measure(
      prepared.problem, prepared.schedule, check: check, on: pool, probes: probes, ceilings: ceilings,
      samples: {
        var sides = [TimedSide(prepared, on: pool)]
        return try Sampler.sample(
          &sides, options: options, clock: .system(watching: [pool]), isCancelled: isCancelled
        ).summaries[0]
      },
      counters: {
        counters
          ? try CounterSession(threads: pool.threadIDs).measure { prepared.run(copy: 0, on: pool) }
          : CounterReading(state: .none, reason: "not asked for")
      })
  }

  /// As above, where something else takes the samples.
  ///
  /// - Parameters:
  ///   - pool: takes the ceilings, and is idle while samples are taken.
  ///   - samples: takes them; called again when the cores moved, or a neighbour was loud, meanwhile.
  package static func measure(
    _ problem: Problem, _ schedule: Schedule, check: CorrectnessCheck, on pool: ThreadPool, probes: CeilingProbes,
    ceilings: [String]? = nil, samples: () throws -> SampleSummary, counters: () throws -> CounterReading
  ) throws -> Measurement {
    let times = CPUTimes.current()
    let level = probes.levelRead(by: problem, threads: pool.workerCount)
    let names = (ceilings ?? ceilingNames(for: problem)).map { $0 == "read.dram" ? level : $0 } + ["handoff"]
    var before: [Ceiling] = []
    var after = names.compactMap { probes.measure($0, on: pool, samples: 3) }
    var summary: SampleSummary?
    // Samples from before and after the cores moved apart are of two machines: taken again, up to twice.
    for _ in 0..<3 {
      before = after
      summary = try patiently(samples)
      after = names.compactMap { probes.measure($0, on: pool, samples: 3) }
      if !coresMoved(between: before, and: after) { break }
    }
    // The better of the two: a ceiling is what the host can reach.
    let beside = zip(before, after).map { $0.isBetter(than: $1) ? $0 : $1 }
    return Measurement(
      problem: problem, schedule: schedule, check: check, samples: summary!, counters: try counters(),
      conditions: .current(since: times), ceilings: beside)
  }

  /// Whether the latency between cores changed by more than half.
  private static func coresMoved(between before: [Ceiling], and after: [Ceiling]) -> Bool {
    guard let a = before.first(where: { $0.name == "handoff" })?.value,
      let b = after.first(where: { $0.name == "handoff" })?.value
    else { return false }
    return max(a, b) > 1.5 * min(a, b)
  }

  /// A neighbour's burst passes: what was disturbed gets two more chances.
  package static func patiently<Value>(_ body: () throws -> Value) throws -> Value {
    for _ in 0..<2 {
      do {
        return try body()
      } catch let error as MeasureError where error.code == .tooManyDropped {
        usleep(300_000)
      }
    }
    return try body()
  }
}
