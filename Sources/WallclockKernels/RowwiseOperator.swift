import CWallclockKernels
import WallclockCore

/// Hands the rows of a row-wise call to an executor in ranges of `grain`.
///
/// `args` describes row 0; its `rows` is ignored. `elementBytes` is the size of an element of `q`.
package func runRows(
  _ kernel: KernelDescriptor, _ args: wc_rowwise_args, count: Int, grain: Int,
  elementBytes: Int = 4, on executor: any Executor
) {
  let function = unsafe kernel.row.pointee.rowwise!
  let all = unsafe args
  executor.forEachRange(of: count, grain: grain) { range, _ in
    var part = unsafe all
    let r = range.lowerBound
    unsafe part.rows = range.count
    if kernel.op == .meanPool {
      unsafe part.starts = all.starts + r
    } else {
      unsafe part.x = all.x.map { unsafe $0 + r * all.ldx }
    }
    unsafe part.y = all.y.map { unsafe $0 + r * all.ldy }
    unsafe part.residual = all.residual.map { unsafe $0 + r * all.ldr }
    unsafe part.q = all.q.map { unsafe $0 + r * all.ldq * elementBytes }
    unsafe part.scale = all.scale.map { unsafe $0 + r * max(1, all.ld_scale) }
    unsafe part.offset = all.offset.map { unsafe $0 + r }
    unsafe part.sums = all.sums.map { unsafe $0 + r * all.ld_sums }
    unsafe part.ids.0 = all.ids.0.map { unsafe $0 + r }
    unsafe part.ids.1 = all.ids.1.map { unsafe $0 + r }
    unsafe part.ids.2 = all.ids.2.map { unsafe $0 + r }
    unsafe part.sum = all.sum.map { unsafe $0 + r * all.ld_sum }
    unsafe part.indices = all.indices.map { unsafe $0 + r * all.ld_indices }
    unsafe part.uniform = all.uniform.map { unsafe $0 + r }
    // Every field was set by the operators here, within what the header allows.
    _ = unsafe function(&part)
  }
}

/// A row-wise kernel and how its rows are shared out.
public struct RowwiseOperator: Sendable {
  public let kernel: KernelDescriptor
  let grain: Int

  /// - Throws: `KernelError` when the kernel computes another op, the host lacks its ISA, or a knob
  ///   is not one it has.
  public init(_ op: Op, kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    guard kernel.op == op else {
      throw KernelError(.unsupported, "\(kernel.name) computes \(kernel.op.rawValue), not \(op.rawValue)")
    }
    guard kernel.runs(on: isas) else {
      throw KernelError(.missingISA, "\(kernel.name) needs \(kernel.isa.rawValue), which this host lacks")
    }
    for (knob, value) in knobs {
      guard kernel.knobs.contains(knob), value >= 1, value <= 1 << 20 else {
        throw KernelError(.badKnob, "\(kernel.name): \(knob.rawValue)=\(value) is not a knob value it takes")
      }
    }
    self.kernel = kernel
    grain = knobs[.rows] ?? 16
  }

  /// `x ← (x − mean)/√(variance + epsilon) · weight + bias`, row by row, in place.
  ///
  /// - Parameters:
  ///   - x: `rows×columns`, row-major without gaps.
  ///   - weight: `columns`; so is `bias`.
  package func layerNorm(
    _ x: UnsafeMutablePointer<Float>, rows: Int, columns: Int, weight: borrowing AlignedBuffer<Float>,
    bias: borrowing AlignedBuffer<Float>, epsilon: Float, on executor: any Executor
  ) {
    var args = unsafe wc_rowwise_args()
    unsafe args.columns = columns
    unsafe args.x = UnsafePointer(x)
    unsafe args.ldx = columns
    unsafe args.y = x
    unsafe args.ldy = columns
    unsafe args.weight = UnsafePointer(weight.unsafePointer)
    unsafe args.bias = UnsafePointer(bias.unsafePointer)
    unsafe args.epsilon = epsilon
    unsafe runRows(kernel, args, count: rows, grain: grain, on: executor)
  }

  /// `y[r] = Σ tables[t][ids[t][r]]` over three tables of `columns` each; the caller checked the ids.
  package func embedding(
    _ y: UnsafeMutablePointer<Float>, rows: Int, columns: Int,
    tables: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>),
    ids: (UnsafePointer<Int32>, UnsafePointer<Int32>, UnsafePointer<Int32>), on executor: any Executor
  ) {
    var args = unsafe wc_rowwise_args()
    unsafe args.columns = columns
    unsafe args.y = y
    unsafe args.ldy = columns
    unsafe args.tables = (tables.0, tables.1, tables.2)
    unsafe args.ids = (ids.0, ids.1, ids.2)
    unsafe args.table_count = 3
    unsafe runRows(kernel, args, count: rows, grain: grain, on: executor)
  }

  /// `y[s]` = the mean of rows `starts[s] ..< starts[s + 1]` of x, divided by its L2 norm if asked.
  package func meanPool(
    _ x: UnsafePointer<Float>, starts: Span<Int64>, columns: Int, y: UnsafeMutablePointer<Float>,
    normalize: Bool, on executor: any Executor
  ) {
    unsafe starts.withUnsafeBufferPointer { starts in
      var args = unsafe wc_rowwise_args()
      unsafe args.columns = columns
      unsafe args.x = x
      unsafe args.ldx = columns
      unsafe args.y = y
      unsafe args.ldy = columns
      unsafe args.starts = starts.baseAddress
      unsafe args.normalize = normalize ? 1 : 0
      unsafe runRows(kernel, args, count: starts.count - 1, grain: 1, on: executor)
    }
  }
}
