import CWallclockKernels
import WallclockCore

/// Memory recurrences need beside their operands: scratch per worker, and normalisers as they were before.
package final class RecurrenceWorkspace {
  fileprivate var scratch = AlignedBuffer<UInt8>(count: 0)
  fileprivate var z = AlignedBuffer<Float>(count: 0)
  package init() {}
}

/// What a recurrence is run on: rows of tokens, one sequence after the other, heads side by side in a row.
@safe package struct RecurrenceCall {
  package var batch: Int
  package var tokens: Int
  package var heads: Int
  /// Heads of q and k, each shared by `heads / keyHeads` neighbours.
  package var keyHeads: Int
  /// The first head of the first sequence: sizes, strides, scale, epsilon, and pointers to operands in which other
  /// heads lie dk or dv further, rates and decays one further where a token has one a head; states dk·dv, z and
  /// bonus dk further.
  package var first: wc_recurrence_args
  /// A value a head: `log_decay` and `skip`, for the rules that have them.
  package var logDecays: UnsafePointer<Float>?
  package var skips: UnsafePointer<Float>?

  package init(
    batch: Int, tokens: Int, heads: Int, keyHeads: Int, first: wc_recurrence_args,
    logDecays: UnsafePointer<Float>? = nil, skips: UnsafePointer<Float>? = nil
  ) {
    self.batch = batch
    self.tokens = tokens
    self.heads = heads
    self.keyHeads = keyHeads
    unsafe self.first = first
    unsafe self.logDecays = logDecays
    unsafe self.skips = skips
  }

  /// The arguments of one head of one sequence, all columns.
  func arguments(sequence: Int, head: Int, of op: Op) -> wc_recurrence_args {
    var args = unsafe first
    let (dk, dv) = unsafe (first.dk, first.dv)
    let row = sequence * tokens
    let keys = head / (heads / keyHeads) * dk
    let state = sequence * heads + head
    unsafe args.tokens = tokens
    unsafe args.q = first.q.map { unsafe $0 + row * first.ldq + keys }
    unsafe args.k = first.k.map { unsafe $0 + row * first.ldk + keys }
    unsafe args.v = first.v.map { unsafe $0 + row * first.ldv + head * dv }
    unsafe args.a = first.a.map { unsafe $0 + row * first.lda + head * dk }
    unsafe args.b = first.b.map { unsafe $0 + row * first.ldb + head * dk }
    let decay = op.hasChannelDecays ? head * dk : head
    unsafe args.decay = first.decay.map { unsafe $0 + row * first.ld_decay + decay }
    unsafe args.rate = first.rate.map { unsafe $0 + row * first.ld_rate + head }
    unsafe args.bonus = first.bonus.map { unsafe $0 + head * dk }
    unsafe args.log_decay = logDecays.map { unsafe $0[head] } ?? 0
    unsafe args.skip = skips.map { unsafe $0[head] } ?? 0
    unsafe args.o = first.o.map { unsafe $0 + row * first.ldo + head * dv }
    unsafe args.state = first.state.map { unsafe $0 + state * dk * dv }
    unsafe args.z = first.z.map { unsafe $0 + state * dk }
    unsafe args.z_after = first.z_after.map { unsafe $0 + state * dk }
    return unsafe args
  }
}

/// One rule of the linear-attention family over a batch of sequences of equal length, state in and out.
public struct RecurrenceOperator: Sendable {
  public let kernel: KernelDescriptor
  private let chunk: Int
  private let columns: Int

  /// Tokens per pass over the state that kernels are compiled for.
  static let chunks = [1, 2, 4, 8]

  /// Columns of the state that a task may take: all, or parts of at least 16.
  static func columns(_ kernel: KernelDescriptor, _ problem: Problem) -> [Int] {
    let whole = (max(1, problem.shape[.headDim]) + kernel.nr - 1) / kernel.nr * kernel.nr
    return Set([1, 2, 4].map { (whole / $0 + kernel.nr - 1) / kernel.nr * kernel.nr }.filter { $0 == whole || $0 >= 16 })
      .sorted()
  }

  /// Four tokens a pass, as many as accumulate in registers, and all of a head's columns in a task, unless that
  /// leaves threads without one.
  static func standardKnobs(_ kernel: KernelDescriptor, _ problem: Problem, threads: Int) -> [Knob: Int] {
    let heads = problem.shape[.batch] * problem.shape[.heads]
    let columns = columns(kernel, problem)
    let enough = columns.last { heads * (columns.last! / $0) >= threads } ?? columns[0]
    return [.chunk: problem.shape[.tokens] == 1 ? 1 : 4, .nc: enough]
  }

  /// - Throws: `KernelError` when the kernel is of another kind, the host lacks its ISA, or a knob is not one it has.
  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    guard kernel.op.isRecurrence else { throw KernelError(.unsupported, "\(kernel.name) is no recurrence") }
    guard kernel.runs(on: isas) else {
      throw KernelError(.missingISA, "\(kernel.name) needs \(kernel.isa.rawValue), which this host lacks")
    }
    for (knob, value) in knobs {
      switch knob {
      case .chunk where Self.chunks.contains(value): break
      case .nc where value >= 1 && value <= 1 << 24 && value % kernel.nr == 0: break
      case .chunk:
        throw KernelError(.badKnob, "\(kernel.name): chunk=\(value), expected 1, 2, 4 or 8")
      case .nc:
        throw KernelError(.badKnob, "\(kernel.name): nc=\(value), expected a multiple of \(kernel.nr) up to 2²⁴")
      default: throw KernelError(.badKnob, "\(kernel.name) has no knob \(knob.rawValue)")
      }
    }
    self.kernel = kernel
    chunk = knobs[.chunk] ?? 4
    columns = knobs[.nc] ?? Int.max
  }

  /// Runs every head of every sequence: writes o, and leaves the state, and z, as they are after the last token.
  /// The same bits for any number of workers.
  package func run(_ call: RecurrenceCall, workspace: RecurrenceWorkspace, on executor: any Executor) {
    let (dk, dv) = unsafe (call.first.dk, call.first.dv)
    guard call.batch > 0, call.heads > 0, dk > 0, dv > 0 else { return }
    let scratchBytes = unsafe (kernel.row.pointee.recurrence_scratch_bytes(call.tokens, dk, min(columns, dv)) + 63) / 64 * 64
    if workspace.scratch.count < scratchBytes * executor.workerCount {
      workspace.scratch = AlignedBuffer(count: scratchBytes * executor.workerCount)
    }
    let states = call.batch * call.heads
    let parts = (dv - 1) / columns + 1
    // Tasks of one head all read z as it was before; the first writes it.
    let splitsNormaliser = unsafe parts > 1 && call.first.z != nil
    if splitsNormaliser {
      if workspace.z.count < states * dk { workspace.z = AlignedBuffer(count: states * dk) }
      unsafe workspace.z.unsafePointer.update(from: call.first.z, count: states * dk)
    }
    let scratch = unsafe UnsafeMutableRawPointer(workspace.scratch.unsafePointer)
    let before = unsafe workspace.z.unsafePointer
    let function = unsafe kernel.row.pointee.recurrence!
    executor.forEachRange(of: states * parts, grain: 1) { range, worker in
      for task in range {
        let state = task / parts
        let column = task % parts * columns
        var args = unsafe call.arguments(sequence: state / call.heads, head: state % call.heads, of: kernel.op)
        unsafe args.dv = min(columns, dv - column)
        unsafe args.v += column
        unsafe args.o += column
        unsafe args.state += column
        if splitsNormaliser {
          unsafe args.z = UnsafePointer(before + state * dk)
          if column > 0 { unsafe args.z_after = nil }
        }
        unsafe args.scratch = scratch + worker * scratchBytes
        unsafe args.chunk = chunk
        // Every field was set by the caller, within what the header allows.
        _ = unsafe function(&args)
      }
    }
  }
}
