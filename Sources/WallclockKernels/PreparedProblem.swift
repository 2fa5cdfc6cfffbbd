import CWallclockKernels
import WallclockCore

/// A Problem with operands, ready to be checked and timed by one Schedule.
///
/// `copies` sets of weights (or of inputs, for ops without weights) are laid out one after the
/// other; timing warm or cold rotates over them, so that each run finds its weights where its Problem's
/// state says.
public protocol PreparedProblem: AnyObject {
  var problem: Problem { get }
  var schedule: Schedule { get }
  var copies: Int { get }

  /// The same operands under another Schedule, packed anew only where the layout differs.
  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem

  /// Runs once, on operand set `copy`.
  func run(copy: Int, on executor: any Executor)

  /// Writes what the run after it reads and writes beside weights, values unchanged, by all workers, rows
  /// in their shares: so the ops around it in a model leave its activations.
  func rewriteActivations(copy: Int, on executor: any Executor)

  /// Runs once and compares with the oracle. The output is filled with NaN first, so that what an
  /// earlier run left there passes for nobody's result.
  ///
  /// - Throws: `KernelError.wrongResult`, naming the worst element.
  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck
}

extension Problem {
  /// Bytes that one set of rotating operands takes.
  var rotatingBytes: Int {
    op.kernelOp == .gemm ? weightBytes : Int(min(bytes, 1e12))
  }

  /// Operand sets to rotate over. Cold: more than four times the last-level cache together, as the DRAM
  /// ceiling's probe reads, since a cache that does not evict strictly by age keeps some of twice its size. Warm: weights of
  /// four times the private caches together, but of no more than half of the last-level cache; ops without
  /// weights have one, which is written anew before each run.
  public func copiesForState(machine: Fingerprint) -> Int {
    switch state {
    case .hot: return 1
    case .warm:
      guard op.kernelOp == .gemm || op == .embedding else { return 1 }
      let privateBytes = machine.caches.filter { $0.kind != .instruction && $0.bytes < machine.lastLevelCacheBytes }
        .map(\.bytes).max() ?? 0
      let target = min(machine.lastLevelCacheBytes / 2, 4 * privateBytes * max(1, machine.physicalCores))
      return max(1, min(4096, target / max(1, rotatingBytes)))
    case .cold:
      let target = 4 * max(machine.lastLevelCacheBytes, 8 << 20)
      return max(2, min(4096, target / max(1, rotatingBytes) + 1))
    }
  }

  /// Allocates random operands for `schedule` and packs them.
  ///
  /// - Parameter copies: operand sets to rotate over; as many as the state asks for by default.
  /// - Throws: `KernelError` when the Schedule does not fit the Problem or the host.
  public func prepare(
    _ schedule: Schedule, machine: Fingerprint, seed: UInt64 = 1, copies: Int? = nil
  ) throws(KernelError) -> any PreparedProblem {
    let isas = Set(machine.isa)
    let copies = copies ?? copiesForState(machine: machine)
    return switch op {
    case .gemm:
      try PreparedGemm(GemmOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .moeGemm:
      try PreparedMoE(MoEOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .attention:
      try PreparedAttention(AttentionOperands(self, copies: copies, isas: isas, seed: seed), schedule)
    case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool:
      try PreparedRowwise(RowwiseOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      try PreparedRecurrence(RecurrenceOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .mamba1:
      try PreparedMamba1(Mamba1Operands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .longConv:
      try PreparedLongConv(LongConvOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .causalConv1d:
      try PreparedConv1d(Conv1dOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .rwkv4:
      try PreparedRWKV4(RWKV4Operands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .s4d:
      try S4DOperands(self, isas: isas, copies: copies, seed: seed).prepared(schedule)
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax:
      try PreparedRowwise(RowwiseOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .rope, .ropeInterleaved:
      try PreparedRope(RopeOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    case .argmax, .topK, .sampling:
      try PreparedSelection(SelectionOperands(self, isas: isas, copies: copies, seed: seed), schedule)
    }
  }

  /// The kernel of `schedule`, checked to compute this op on `isas`.
  func kernel(of schedule: Schedule, isas: Set<ISA>) throws(KernelError) -> KernelDescriptor {
    let kernel = try KernelTable.named(schedule.kernel)
    guard kernel.runs(on: isas) else {
      throw KernelError(.missingISA, "\(kernel.name) needs \(kernel.isa.rawValue), which this host lacks")
    }
    guard kernel.op == op.kernelOp else {
      throw KernelError(.unsupported, "\(kernel.name) computes \(kernel.op.rawValue), not \(op.rawValue)")
    }
    return kernel
  }
}

/// Rows of activations that a run reads or writes.
@safe struct ActivationRows {
  private let base: UnsafeMutableRawPointer
  private let bytesPerRow: Int

  init<Element>(_ base: UnsafeMutablePointer<Element>, columns: Int) {
    unsafe self.base = UnsafeMutableRawPointer(base)
    bytesPerRow = columns * MemoryLayout<Element>.stride
  }

  /// Writes every line of rows `0 ..< count` of each of `all`, values unchanged, rows in the workers' shares.
  static func rewrite(_ all: [ActivationRows], count: Int, on executor: any Executor) {
    executor.forEachRange(of: count, grain: GemmBlocking.quantizeRows) { range, _ in
      for rows in all where rows.bytesPerRow > 0 {
        unsafe wc_rewrite_lines(rows.base + range.lowerBound * rows.bytesPerRow, range.count * rows.bytesPerRow)
      }
    }
  }
}

/// Random operands: reproducible, cheap (SplitMix64, Steele et al. 2014), roughly normal.
package struct OperandGenerator {
  private var state: UInt64
  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Mean 0, deviation `scale`: the sum of four uniform numbers.
  package mutating func fill(_ buffer: borrowing AlignedBuffer<Float>, scale: Float) {
    let p = unsafe buffer.unsafePointer
    // Four uniform 16-bit numbers have deviation 2·65536/√12 = 37837.
    let factor = scale / 37837
    for i in 0..<buffer.count {
      let r = next()
      let sum = (r & 0xFFFF) + (r >> 16 & 0xFFFF) + (r >> 32 & 0xFFFF) + (r >> 48)
      unsafe p[i] = (Float(sum) - 131070) * factor
    }
  }
}

extension AlignedBuffer<Float> {
  /// Fills it with NaN: whatever is read before it is written shows.
  func poison() { unsafe unsafePointer.update(repeating: .nan, count: count) }
}

/// The error of one element as a fraction of what is allowed; a NaN where a number is due is infinite.
package func excess(_ found: Double, _ expected: Double, allowed: Double) -> Double {
  if expected.isNaN { return found.isNaN ? 0 : .infinity }
  if found == expected { return 0 }
  let ratio = abs(found - expected) / allowed
  return ratio.isNaN ? .infinity : ratio
}
