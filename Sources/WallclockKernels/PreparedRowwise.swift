import CWallclockKernels
import WallclockCore

/// Random rows and parameters of a row-wise op.
final class RowwiseOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let x: AlignedBuffer<Float>
  let y: AlignedBuffer<Float>
  let residual: AlignedBuffer<Float>
  let weight: AlignedBuffer<Float>
  let bias: AlignedBuffer<Float>
  let q: AlignedBuffer<UInt8>
  let scales: AlignedBuffer<Float>
  let ids: AlignedBuffer<Int32>
  let positions: AlignedBuffer<Int32>
  let types: AlignedBuffer<Int32>
  let starts: AlignedBuffer<Int64>

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let (rows, channels) = (problem.shape[.rows], problem.shape[.channels])
    var random = OperandGenerator(seed: seed)
    x = AlignedBuffer(count: copies * rows * channels)
    random.fill(x, scale: 1.5)
    y = AlignedBuffer(count: rows * channels)
    residual = AlignedBuffer(count: problem.op == .residual || problem.op == .swiglu ? rows * channels : 0)
    random.fill(residual, scale: 1)
    weight = AlignedBuffer(count: channels)
    random.fill(weight, scale: 1)
    bias = AlignedBuffer(count: channels)
    random.fill(bias, scale: 1)
    q = AlignedBuffer(count: problem.op == .quantize ? rows * channels * 4 : 0)
    scales = AlignedBuffer(count: rows)
    // Rows of x serve as the embedding table.
    ids = AlignedBuffer(count: rows)
    for i in 0..<rows {
      unsafe ids.unsafePointer[i] = Int32(truncatingIfNeeded: random.next() % UInt64(max(1, rows)))
    }
    positions = AlignedBuffer(count: rows)
    for i in 0..<rows { unsafe positions.unsafePointer[i] = Int32(truncatingIfNeeded: i) }
    types = AlignedBuffer(count: rows)
    // One sequence per 128 rows.
    let sequences = max(1, rows / 128)
    starts = AlignedBuffer(count: sequences + 1)
    for s in 0...sequences { unsafe starts.unsafePointer[s] = Int64(rows * s / sequences) }
  }
}

/// A row-wise op and one Schedule.
final class PreparedRowwise: PreparedProblem {
  let schedule: Schedule
  private let operands: RowwiseOperands
  private let kernel: KernelDescriptor
  private let rows: Int
  private let channels: Int

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: RowwiseOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    for (knob, value) in schedule.knobs {
      guard kernel.knobs.contains(knob), value >= 1, value <= 1 << 20 else {
        throw KernelError(.badKnob, "\(kernel.name): \(knob.rawValue)=\(value) is not a knob value it takes")
      }
    }
    rows = operands.problem.shape[.rows]
    channels = operands.problem.shape[.channels]
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedRowwise(operands, schedule)
  }

  private func arguments(copy: Int) -> wc_rowwise_args {
    let c = channels
    let source = unsafe UnsafePointer(operands.x.unsafePointer + copy * rows * c)
    var args = unsafe wc_rowwise_args()
    unsafe args.rows = rows
    unsafe args.columns = c
    unsafe args.x = source
    unsafe args.ldx = c
    unsafe args.y = operands.y.unsafePointer
    unsafe args.ldy = c
    unsafe args.epsilon = 1e-12
    switch problem.op {
    case .layerNorm:
      unsafe args.weight = UnsafePointer(operands.weight.unsafePointer)
      unsafe args.bias = UnsafePointer(operands.bias.unsafePointer)
    case .rmsNorm:
      unsafe args.weight = UnsafePointer(operands.weight.unsafePointer)
    case .residual, .swiglu:
      unsafe args.residual = UnsafePointer(operands.residual.unsafePointer)
      unsafe args.ldr = c
    case .embedding:
      // Words anywhere, positions in order, one type: the three tables of a BERT encoder.
      unsafe args.tables = (source, source, source)
      unsafe args.ids = (
        UnsafePointer(operands.ids.unsafePointer), UnsafePointer(operands.positions.unsafePointer),
        UnsafePointer(operands.types.unsafePointer)
      )
      unsafe args.table_count = 3
    case .meanPool:
      unsafe args.rows = operands.starts.count - 1
      unsafe args.starts = UnsafePointer(operands.starts.unsafePointer)
      unsafe args.normalize = 1
    case .quantize:
      unsafe args.y = nil
      unsafe args.q = UnsafeMutableRawPointer(operands.q.unsafePointer)
      unsafe args.ldq = c
      unsafe args.scale = operands.scales.unsafePointer
    default:
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

  func rewriteActivations(copy: Int, on executor: any Executor) {
    var activations = unsafe [ActivationRows(operands.y.unsafePointer, columns: channels)]
    // The rows of an embedding are weights.
    if problem.op != .embedding {
      unsafe activations.append(
        ActivationRows(operands.x.unsafePointer + copy * rows * channels, columns: channels))
    }
    if operands.residual.count > 0 {
      unsafe activations.append(ActivationRows(operands.residual.unsafePointer, columns: channels))
    }
    ActivationRows.rewrite(activations, count: rows, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    operands.scales.poison()
    unsafe operands.q.unsafePointer.update(repeating: 0xA5, count: operands.q.count)
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
      for j in 0..<channels {
        let bias = problem.op == .layerNorm ? Double(operands.bias[j]) : 0
        let size = problem.op == .embedding ? embeddedMagnitude(row, j) : abs(expected[row * channels + j])
        scale = max(scale, size + 2 * abs(bias))
      }
      for j in 0..<channels {
        let i = row * channels + j
        let allowed = Tolerance.rowwise(
          problem.op, channels: channels, value: expected[i], rowScale: scale, x: Double(operands.x[i]))
        worst = max(worst, excess(Double(operands.y[i]), expected[i], allowed: allowed))
      }
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): an element is \(worst)× the tolerance from the oracle",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: outRows * channels)
  }

  /// The sum of the absolute values that one element of an embedding is the sum of: they may cancel.
  private func embeddedMagnitude(_ row: Int, _ column: Int) -> Double {
    [operands.ids[row], operands.positions[row], operands.types[row]].reduce(0) {
      $0 + Double(abs(operands.x[Int($1) * channels + column]))
    }
  }

  /// Quantised rows must have the scalar kernel's bits.
  private func checkQuantized() throws(KernelError) -> CorrectnessCheck {
    let bytes = rows * channels * Int(kernel.c?.bitsPerValue ?? 32) / 8
    let found = AlignedBuffer<UInt8>(count: bytes)
    unsafe found.unsafePointer.update(from: operands.q.unsafePointer, count: bytes)
    // As bits: a type without scales leaves them as they were, NaN.
    let foundScales = operands.scales.array().map(\.bitPattern)
    let scalar = try KernelTable.quantizer(to: kernel.c!, isas: [.scalar])
    var args = unsafe arguments(copy: 0)
    try unsafe WallclockKernels.check(scalar.row.pointee.rowwise!(&args), scalar.name)
    let differs = (0..<bytes).first { found[$0] != operands.q[$0] }
    guard differs == nil, foundScales == operands.scales.array().map(\.bitPattern) else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): byte \(differs ?? 0) of the quantised rows differs from the scalar kernel's",
        worstErrorOverTolerance: .infinity)
    }
    return CorrectnessCheck(worstErrorOverTolerance: 0, elementsChecked: rows * channels)
  }
}
