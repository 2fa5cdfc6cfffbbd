import WallclockCore
import WallclockCounters
import WallclockKernels
import WallclockMachine
import WallclockThreads

/// Times one prepared Problem and records everything DESIGN's rules ask to stand beside the number.
public enum MeasuredRun {
  /// The ceilings a Problem's rate is shown beside.
  public static func ceilingNames(for problem: Problem) -> [String] {
    let compute: String? =
      switch problem.op {
      case .gemm:
        switch (problem.format.weights, problem.format.activations) {
        case (.int8, .int8): "int8"
        case (.int4, .int8): "int4"
        case (.bf16, _): "bf16"
        default: "f32"
        }
      case .attention, .gelu, .layerNorm: "f32"
      case .quantize, .residual, .embedding, .meanPool: nil
      }
    return [compute, "read.dram"].compactMap { $0 }
  }

  /// - Parameters:
  ///   - check: of the same prepared Problem; a kernel that was not checked has no speed.
  ///   - counters: whether to add a pass that reads counters.
  /// - Throws: `MeasureError`.
  public static func measure(
    _ prepared: any PreparedProblem, check: CorrectnessCheck, on pool: ThreadPool,
    options: SamplingOptions, probes: CeilingProbes, counters: Bool = true,
    isCancelled: () -> Bool = { false }
  ) throws -> Measurement {
    let times = CPUTimes.current()
    let names = ceilingNames(for: prepared.problem)
    let before = names.compactMap { probes.measure($0, on: pool, samples: 3) }
    var sides = [TimedSide { prepared.run(copy: $0 % prepared.copies, on: pool) }]
    let (summaries, _) = try Sampler.sample(&sides, options: options, isCancelled: isCancelled)
    let after = names.compactMap { probes.measure($0, on: pool, samples: 3) }
    // The better of the two: a ceiling is what the host can reach.
    let ceilings = zip(before, after).map { $0.value >= $1.value ? $0 : $1 }
    let reading =
      counters
      ? try CounterSession(threads: pool.threadIDs).measure { prepared.run(copy: 0, on: pool) }
      : CounterReading(state: .none, reason: "not asked for")
    return Measurement(
      problem: prepared.problem, schedule: prepared.schedule, check: check, samples: summaries[0],
      counters: reading, conditions: .current(since: times), ceilings: ceilings)
  }
}
