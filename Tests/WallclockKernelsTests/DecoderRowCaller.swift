import CWallclockKernels
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// One call of a row-wise kernel through the C ABI on operands that end at pages which may not be touched, with NaN
/// between rows.
@safe final class DecoderRowCaller {
  let kernel: KernelDescriptor
  var args = unsafe wc_rowwise_args()
  private var guarded: [GuardedMemory] = []
  private let gap: Int

  init(_ kernel: KernelDescriptor, _ rows: [[Float]], gap: Int = 0) {
    self.kernel = kernel
    self.gap = gap
    let columns = rows.first?.count ?? 0
    unsafe args.rows = rows.count
    unsafe args.columns = columns
    unsafe args.x = UnsafePointer(place(rows))
    unsafe args.ldx = columns + gap
    unsafe args.epsilon = 1e-5
  }

  /// Rows with the gap between them.
  func place<T: BitwiseCopyable>(_ rows: [[T]]) -> UnsafeMutablePointer<T> {
    let stride = (rows.first?.count ?? 0) + gap
    let p = unsafe room(rows.count, rows.first?.count ?? 0, of: T.self)
    for (i, row) in rows.enumerated() {
      for (c, value) in row.enumerated() { unsafe p[i * stride + c] = value }
    }
    return unsafe p
  }

  private func room<T: BitwiseCopyable>(_ rows: Int, _ columns: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
    let count = rows == 0 ? 0 : (rows - 1) * (columns + gap) + columns
    guarded.append(GuardedMemory(capacity: count * MemoryLayout<T>.stride + 4096))
    return unsafe guarded.last!.place(count, of: T.self)
  }

  func setResidual(_ rows: [[Float]]) {
    unsafe args.residual = UnsafePointer(place(rows))
    unsafe args.ldr = rows[0].count + gap
  }

  /// One row.
  func set(weight: [Float]) { unsafe args.weight = UnsafePointer(place([weight])) }

  enum Output { case apart, overX, overResidual }

  /// Where x + residual goes.
  func setSum(_ output: Output) {
    let columns = unsafe args.columns
    unsafe args.ld_sum = columns + gap
    switch output {
    case .apart: unsafe args.sum = room(args.rows, columns, of: Float.self)
    case .overX: unsafe args.sum = UnsafeMutablePointer(mutating: args.x)
    case .overResidual: unsafe args.sum = UnsafeMutablePointer(mutating: args.residual)
    }
  }

  /// The rows of y, or what went wrong.
  func run(_ output: Output = .apart) -> (rows: [[Float]], wrong: String?) {
    let (rows, columns) = unsafe (args.rows, args.columns)
    unsafe args.ldy = columns + gap
    switch output {
    case .apart: unsafe args.y = room(rows, columns, of: Float.self)
    case .overX: unsafe args.y = UnsafeMutablePointer(mutating: args.x)
    case .overResidual: unsafe args.y = UnsafeMutablePointer(mutating: args.residual)
    }
    if let wrong = call() { return ([], wrong) }
    return unsafe read(args.y, columns)
  }

  /// The rows of x + residual after a run.
  func sums() -> (rows: [[Float]], wrong: String?) { unsafe read(args.sum, args.columns) }

  /// The rows of indices, and of y where the kernel makes values, `count` each.
  func select(_ count: Int) -> (indices: [[Int32]], values: [[Float]], wrong: String?) {
    let rows = unsafe args.rows
    let indices = unsafe room(rows, count, of: Int32.self)
    unsafe args.indices = indices
    unsafe args.ld_indices = count + gap
    if kernel.op == .topK {
      unsafe args.k = count
      unsafe args.y = room(rows, count, of: Float.self)
      unsafe args.ldy = count + gap
    }
    if let wrong = call() { return ([], [], wrong) }
    let found = (0..<rows).map { i in unsafe Array(UnsafeBufferPointer(start: indices + i * (count + gap), count: count)) }
    guard kernel.op == .topK else { return (found, [], nil) }
    let values = unsafe read(args.y, count)
    return (found, values.rows, values.wrong)
  }

  private func call() -> String? {
    let status = unsafe kernel.row.pointee.rowwise!(&args)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    return guarded.allSatisfy(\.isIntact) ? nil : "wrote outside its output"
  }

  private func read(_ p: UnsafePointer<Float>, _ columns: Int) -> (rows: [[Float]], wrong: String?) {
    let rows = unsafe args.rows
    for i in 0..<max(0, rows - 1) {
      for c in columns..<columns + gap where unsafe p[i * (columns + gap) + c].bitPattern != 0xFFFF_FFFF {
        return ([], "wrote right of row \(i)")
      }
    }
    return ((0..<rows).map { i in unsafe Array(UnsafeBufferPointer(start: p + i * (columns + gap), count: columns)) }, nil)
  }

  /// The library's reference for these arguments.
  func reference(_ count: Int) -> [Double] {
    var out = [Double](repeating: .nan, count: count)
    return unsafe wc_rowwise_reference(kernel.op.c, &args, &out) == WC_OK ? out : []
  }
}
