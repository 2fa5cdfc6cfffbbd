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
    unsafe part.scale = all.scale.map { unsafe $0 + r }
    unsafe part.sums = all.sums.map { unsafe $0 + r * all.ld_sums }
    unsafe part.ids.0 = all.ids.0.map { unsafe $0 + r }
    unsafe part.ids.1 = all.ids.1.map { unsafe $0 + r }
    unsafe part.ids.2 = all.ids.2.map { unsafe $0 + r }
    // Every field was set by the operators here, within what the header allows.
    _ = unsafe function(&part)
  }
}
