import CWallclockKernels
import WallclockCore

/// The Schedules a Problem can be run by on a machine: where tuning starts, and what it tries.
public enum ScheduleSpace {
  /// The Schedule an untuned host uses: the highest ISA's first kernel, blocked by the cache model
  /// of Low et al., "Analytical Modeling Is Enough for High-Performance BLIS" (TOMS 2016), one level
  /// further out: tiles as wide as these read little enough of B for each product that a panel may
  /// stream from L2, and K is split only when a panel takes more than half of that. The block of A has
  /// the other half, but 128 rows at least.
  ///
  /// - Throws: `KernelError.unsupported` when no kernel of this build serves the Problem on `isas`.
  public static func standard(
    for problem: Problem, threads: Int, machine: Fingerprint
  ) throws(KernelError) -> Schedule {
    guard let kernel = KernelTable.serving(problem, isas: Set(machine.isa)).first else {
      throw KernelError(
        .unsupported,
        "no kernel of this build computes \(problem) on \(machine.isa.map(\.rawValue).joined(separator: ", "))")
    }
    return Schedule(
      kernel: kernel.name, knobs: standardKnobs(kernel, problem, threads: threads, machine: machine),
      threads: threads)
  }

  /// All points of the grid: every kernel that serves the Problem × its knob values. The standard
  /// Schedule comes first; duplicates are removed.
  public static func grid(
    for problem: Problem, threads: Int, machine: Fingerprint
  ) throws(KernelError) -> [Schedule] {
    var result = [try standard(for: problem, threads: threads, machine: machine)]
    var seen = Set(result)
    for kernel in KernelTable.serving(problem, isas: Set(machine.isa)) {
      let base = standardKnobs(kernel, problem, threads: threads, machine: machine)
      for knobs in variations(kernel, problem, base: base, threads: threads, machine: machine) {
        let schedule = Schedule(kernel: kernel.name, knobs: knobs, threads: threads)
        if seen.insert(schedule).inserted { result.append(schedule) }
      }
    }
    return result
  }

  static func standardKnobs(
    _ kernel: KernelDescriptor, _ problem: Problem, threads: Int, machine: Fingerprint
  ) -> [Knob: Int] {
    let s = problem.kernelShape
    let l1 = machine.cacheBytes(level: 1) ?? 32 << 10
    let l2 = machine.cacheBytes(level: 2) ?? 512 << 10
    var knobs: [Knob: Int] = [:]
    switch problem.op {
    case .gemm, .moeGemm:
      let bBytes = (kernel.b?.bitsPerValue ?? 32) / 8
      let aBytes = (kernel.a?.bitsPerValue ?? 32) / 8
      let step = GemmBlocking.kStep(of: kernel)
      // Panels that a kernel expands are written first: they stay in L1.
      let expands = unsafe kernel.row.pointee.gemm_scratch_bytes(step) > 0
      let panelBytes = expands && kernel.a == .f32 ? 4 : expands && kernel.a == .bf16 ? 2 : bBytes
      let room = expands ? Double(l1) * 0.75 : Double(l2) / 2
      let longest = max(step, Int(room / (Double(kernel.nr) * panelBytes)))
      let kc = evenPart(of: s[.k], atMost: longest, multipleOf: step)
      // Fewer rows would read all of B too often: A had better come from the last level then.
      let rows = max(128, Int(Double(l2) / 2 / (Double(kc) * aBytes)))
      let mc = evenPart(of: s[.m], atMost: min(rows, 512), multipleOf: kernel.mr)
      knobs[.kc] = kc
      knobs[.mc] = mc
      let mBlocks = (s[.m] + mc - 1) / mc
      let weightBytes = Int(Double(s[.n] * s[.k]) * bBytes)
      // Ranges even out what neighbours disturb: four a thread, twelve where those are long. A range of fewer
      // bytes of weights costs more to hand over, and to begin and end its panels, than that gains; a single strip
      // of rows has little to do but read them.
      let few = s[.m] <= kernel.mr ? threads : min(4 * threads, max(threads, weightBytes / 131_072))
      let ranges = max(few, min(12 * threads, weightBytes / 524_288))
      let parts = max(1, (threads > 1 ? ranges : 1) / mBlocks)
      knobs[.nc] = evenPart(
        of: s[.n], atMost: max(kernel.nr, (s[.n] + parts - 1) / parts), multipleOf: kernel.nr)
      knobs[.prefetch] = problem.state == .hot && weightBytes <= l2 ? 0 : 4096
    case .attention:
      // A block of keys and values has half of the second level; with few rows there is nothing to keep it for.
      let keyBytes = 2 * Double(s[.headDim]) * (kernel.b?.bitsPerValue ?? 32) / 8
      let group = s[.heads] / max(1, problem.kvHeads)
      let few = s[.tokens] * group <= kernel.mr
      // From memory a block of one panel is one stream through its keys, then one through its values.
      let streams = few && s[.tokens] * group <= 8 && problem.state != .hot
      let longest = streams ? kernel.nr : few ? 128 : max(128, min(512, Int(Double(l2) / 2 / keyBytes)))
      knobs[.bk] = min(longest / kernel.nr * kernel.nr, max(kernel.nr, problem.keys))
      knobs[.bq] = kernel.mr * 8
      if problem.usesCache {
        let blocks = s[.batch] * problem.kvHeads * ((s[.tokens] * group + kernel.mr * 8 - 1) / (kernel.mr * 8))
        let parts = threads > 1 ? max(1, 4 * threads / max(1, blocks)) : 1
        knobs[.split] = parts == 1 ? 0 : evenPart(of: problem.keys, atMost: max(512, problem.keys / parts), multipleOf: kernel.nr)
        knobs[.prefetch] = streams ? 1 : 0
      }
    case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool:
      let bytes = 8 * max(1, s[.channels])
      knobs[.rows] = max(1, min(64, l1 / bytes))
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      knobs = RecurrenceOperator.standardKnobs(kernel, problem, threads: threads)
    case .mamba1, .causalConv1d, .longConv, .rwkv4, .s4d:
      knobs = sequenceKnobs(kernel, problem, threads: threads)
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling:
      knobs[.rows] = max(1, min(64, l1 / (8 * max(1, problem.decoderColumns)), (problem.decoderRows + threads - 1) / threads))
    }
    return knobs.filter { kernel.knobs.contains($0.key) }
  }

  /// Knob values one tries beside the standard ones, in all combinations.
  static func variations(
    _ kernel: KernelDescriptor, _ problem: Problem, base: [Knob: Int], threads: Int,
    machine: Fingerprint
  ) -> [[Knob: Int]] {
    var axes: [(Knob, [Int])] = []
    for (knob, value) in base.sorted(by: { $0.key < $1.key }) {
      axes.append((knob, values(of: knob, around: value, kernel, problem)))
    }
    return axes.reduce([[:]]) { points, axis in
      points.flatMap { point in
        axis.1.map { value in point.merging([axis.0: value]) { $1 } }
      }
    }
  }

  private static func values(
    of knob: Knob, around value: Int, _ kernel: KernelDescriptor, _ problem: Problem
  ) -> [Int] {
    let s = problem.kernelShape
    var found: Set<Int> = [value]
    switch knob {
    case .kc:
      let step = GemmBlocking.kStep(of: kernel)
      for limit in [value / 2, value * 2, s[.k]] where limit >= step {
        found.insert(evenPart(of: s[.k], atMost: limit, multipleOf: step))
      }
    case .mc:
      for limit in [value / 2, value * 2] where limit >= kernel.mr {
        found.insert(evenPart(of: s[.m], atMost: limit, multipleOf: kernel.mr))
      }
    case .nc where problem.op.isRecurrence:
      found = Set(RecurrenceOperator.columns(kernel, problem))
    case .nc:
      for limit in [value / 2, value * 2] where limit >= kernel.nr {
        found.insert(evenPart(of: s[.n], atMost: limit, multipleOf: kernel.nr))
      }
    case .prefetch where problem.op == .attention:
      found.formUnion([0, 1])
    case .prefetch:
      if problem.state != .hot || value > 0 { found.formUnion([0, 2048, 8192]) }
    case .split:
      found.formUnion([0, 512, 1024, 4096].filter { $0 < problem.keys })
    case .bq:
      found.formUnion([kernel.mr * 4, kernel.mr * 16])
    case .bk:
      found.formUnion([kernel.nr, 64, 128, 512].filter { $0 <= max(64, problem.keys) })
    case .chunk:
      found = Set(RecurrenceOperator.chunks)
    case .rows:
      found.formUnion([max(1, value / 4), max(1, min(s[.rows], value * 4))])
    case .bt, .bc:
      found.formUnion(sequenceValues(of: knob, around: value, problem))
    }
    return found.sorted()
  }

  /// Splits `size` into equal parts of at most `limit`, each a multiple of `step`.
  static func evenPart(of size: Int, atMost limit: Int, multipleOf step: Int) -> Int {
    let limit = max(step, limit / step * step)
    let parts = max(1, (size + limit - 1) / limit)
    let part = (size + parts - 1) / parts
    return max(step, (part + step - 1) / step * step)
  }
}
