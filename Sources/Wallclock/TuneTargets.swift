/// What to tune for a model.
public enum TuneTargets {
  /// The workloads of a quick tune: 16, 128 and 512 tokens at batch 1 and 16, as far as the model takes them.
  public static func quickWorkloads(_ graph: ModelGraph) -> [Workload] {
    [1, 16].flatMap { batch in
      [16, 128, 512].map { Workload(batch: batch, tokens: min($0, graph.maximumTokens)) }
    }
  }

  /// Formats of a quick tune.
  public static let quickFormats: [Format] = [.f32, .bf16, .w8a8, .w4a8g32]

  /// The forward passes of `graph` under `workloads`, with all weights in one of `formats`, at each thread
  /// count; those of the workloads named first come first. Each format's weights are measured in the state
  /// they are in when the whole model has that format: warm, or cold when it outgrows the last-level cache.
  ///
  /// - Parameter model: the graph's name in reports.
  public static func passes(
    of graph: ModelGraph, named model: String, workloads: [Workload], formats: [Format], threadCounts: [Int],
    machine: Fingerprint
  ) -> [ForwardPass] {
    var result: [ForwardPass] = []
    // Of small encoders the middle size is what people ask for first.
    let ordered = workloads.sorted { abs($0.batch * $0.tokens - 128) < abs($1.batch * $1.tokens - 128) }
    for workload in ordered {
      for threads in threadCounts {
        for format in formats {
          let outgrowsCache = graph.weightBytes { _ in format } > machine.lastLevelCacheBytes * 7 / 8
          let parts = graph.nodes.compactMap { node -> ForwardPass.Part? in
            if case .gemm(_, let k, _) = node.work, !format.admits(k: k) { return nil }
            let problem = node.problem(
              workload, format: node.hasWeights ? format : .f32, state: node.hasWeights && outgrowsCache ? .cold : .warm)
            return ForwardPass.Part(TuneTarget(problem, threads: threads), count: node.count)
          }
          result.append(
            ForwardPass(model: model, workload: "\(workload)", format: format, threads: threads, parts: parts))
        }
      }
    }
    return result
  }

  /// 1 thread, and one per physical core; beyond four cores also the powers of two between.
  public static func threadCounts(machine: Fingerprint) -> [Int] {
    let all = max(1, min(machine.physicalCores, machine.cpuset.count))
    var counts: Set<Int> = [1, all]
    if all > 4 { counts.formUnion(sequence(first: 4) { $0 * 2 < all ? $0 * 2 : nil }) }
    return counts.sorted()
  }
}
