import CWallclockKernels
import WallclockCore

/// A row-wise op over random rows.
final class PreparedRowwise: PreparedProblem {
  let problem: Problem
  let schedule: Schedule
  let copies: Int
  private let kernel: KernelDescriptor
  private let x: AlignedBuffer<Float>
  private let y: AlignedBuffer<Float>
  private let residual: AlignedBuffer<Float>
  private let weight: AlignedBuffer<Float>
  private let bias: AlignedBuffer<Float>
  private let q: AlignedBuffer<UInt8>
  private let scales: AlignedBuffer<Float>
  private let ids: AlignedBuffer<Int32>
  private let starts: AlignedBuffer<Int64>
  private let rows: Int
  private let channels: Int

  init(
    _ problem: Problem, _ schedule: Schedule, _ kernel: KernelDescriptor, copies: Int, seed: UInt64
  ) throws(KernelError) {
    for (knob, value) in schedule.knobs {
      guard kernel.knobs.contains(knob), value >= 1, value <= 1 << 20 else {
        throw KernelError(.badKnob, "\(kernel.name): \(knob.rawValue)=\(value) is not a knob value it takes")
      }
    }
    self.problem = problem
    self.schedule = schedule
    self.copies = copies
    self.kernel = kernel
    rows = problem.shape[.rows]
    channels = problem.shape[.channels]
    var random = OperandGenerator(seed: seed)
    x = AlignedBuffer(count: copies * rows * channels)
    random.fill(x, scale: 1.5)
    y = AlignedBuffer(count: rows * channels)
    residual = AlignedBuffer(count: problem.op == .residual ? rows * channels : 0)
    random.fill(residual, scale: 1)
    weight = AlignedBuffer(count: channels)
    random.fill(weight, scale: 1)
    bias = AlignedBuffer(count: channels)
    random.fill(bias, scale: 1)
    q = AlignedBuffer(count: problem.op == .quantize ? rows * channels * 4 : 0)
    scales = AlignedBuffer(count: rows)
    // Rows of x serve as the embedding table.
    ids = AlignedBuffer(count: rows)
    for i in 0..<rows { unsafe ids.unsafePointer[i] = Int32(truncatingIfNeeded: random.next() % UInt64(max(1, rows))) }
    // One sequence per 128 rows.
    let sequences = max(1, rows / 128)
    starts = AlignedBuffer(count: sequences + 1)
    for s in 0...sequences { unsafe starts.unsafePointer[s] = Int64(rows * s / sequences) }
  }

  private func arguments(copy: Int) -> wc_rowwise_args {
    let c = channels
    let source = unsafe UnsafePointer(x.unsafePointer + copy * rows * c)
    var args = unsafe wc_rowwise_args()
    unsafe args.rows = rows
    unsafe args.columns = c
    unsafe args.x = source
    unsafe args.ldx = c
    unsafe args.y = y.unsafePointer
    unsafe args.ldy = c
    unsafe args.epsilon = 1e-12
    switch problem.op {
    case .layerNorm:
      unsafe args.weight = UnsafePointer(weight.unsafePointer)
      unsafe args.bias = UnsafePointer(bias.unsafePointer)
    case .residual:
      unsafe args.residual = UnsafePointer(residual.unsafePointer)
      unsafe args.ldr = c
    case .embedding:
      unsafe args.tables.0 = source
      unsafe args.ids.0 = UnsafePointer(ids.unsafePointer)
      unsafe args.table_count = 1
    case .meanPool:
      unsafe args.rows = starts.count - 1
      unsafe args.starts = UnsafePointer(starts.unsafePointer)
      unsafe args.normalize = 1
    case .quantize:
      unsafe args.y = nil
      unsafe args.q = UnsafeMutableRawPointer(q.unsafePointer)
      unsafe args.ldq = c
      unsafe args.scale = scales.unsafePointer
    case .gemm, .attention, .gelu:
      break
    }
    return unsafe args
  }

  func run(copy: Int, on executor: any Executor) {
    let args = unsafe arguments(copy: copy)
    let grain = problem.op == .meanPool ? 1 : schedule.knobs[.rows] ?? 16
    let elementBytes = Int(kernel.c?.bitsPerValue ?? 32) / 8
    unsafe runRows(
      kernel, args, count: args.rows, grain: grain, elementBytes: elementBytes, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    run(copy: 0, on: executor)
    var args = unsafe arguments(copy: 0)
    let outRows = unsafe args.rows
    if problem.op == .quantize { return try checkQuantized() }
    let expected = AlignedBuffer<Double>(count: outRows * channels)
    try unsafe WallclockKernels.check(
      wc_rowwise_reference(problem.op.c, &args, expected.unsafePointer), "the oracle of \(problem.op.rawValue)")
    var worst = 0.0
    for row in 0..<outRows {
      var scale = 0.0
      for j in 0..<channels { scale = max(scale, abs(expected[row * channels + j])) }
      for j in 0..<channels {
        let i = row * channels + j
        let allowed = Tolerance.rowwise(problem.op, channels: channels, value: expected[i], rowScale: scale)
        worst = max(worst, excess(Double(y[i]), expected[i], allowed: allowed))
      }
    }
    guard worst <= 1 else {
      throw KernelError(.wrongResult, "\(schedule) on \(problem): an element is \(worst)× the tolerance from the oracle")
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: outRows * channels)
  }

  /// Quantised rows must have the scalar kernel's bits.
  private func checkQuantized() throws(KernelError) -> CorrectnessCheck {
    let bytes = rows * channels * Int(kernel.c?.bitsPerValue ?? 32) / 8
    let found = AlignedBuffer<UInt8>(count: bytes)
    unsafe found.unsafePointer.update(from: q.unsafePointer, count: bytes)
    let foundScales = scales.array()
    let scalar = try KernelTable.quantizer(to: kernel.c!, isas: [.scalar])
    var args = unsafe arguments(copy: 0)
    try unsafe WallclockKernels.check(scalar.row.pointee.rowwise!(&args), scalar.name)
    let differs = (0..<bytes).first { found[$0] != q[$0] }
    guard differs == nil, foundScales == scales.array() else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): byte \(differs ?? 0) of the quantised rows differs from the scalar kernel's")
    }
    return CorrectnessCheck(worstErrorOverTolerance: 0, elementsChecked: rows * channels)
  }
}
