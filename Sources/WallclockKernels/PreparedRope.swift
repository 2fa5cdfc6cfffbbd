import CWallclockKernels
import WallclockCore

/// Random heads of queries or keys and the angles of their positions.
final class RopeOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let x, y: AlignedBuffer<Float>
  let positions: AlignedBuffer<Int32>
  let angles: RotaryAngles

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    var random = OperandGenerator(seed: seed)
    let count = problem.decoderRows * problem.decoderColumns
    x = AlignedBuffer(count: copies * count)
    random.fill(x, scale: 1)
    y = AlignedBuffer(count: count)
    positions = AlignedBuffer(count: problem.decoderRows)
    for i in 0..<positions.count { unsafe positions.unsafePointer[i] = Int32(i % problem.shape[.tokens]) }
    angles = try RotaryAngles(problem.op, positions: problem.shape[.tokens], rotary: problem.rotary)
  }
}

/// A rotary embedding and one Schedule.
final class PreparedRope: PreparedProblem {
  let schedule: Schedule
  private let operands: RopeOperands
  private let rows: RowwiseOperator

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: RopeOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    rows = try RowwiseOperator(operands.problem.op, kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedRope(operands, schedule)
  }

  private func arguments(copy: Int) -> wc_rowwise_args {
    var args = unsafe RowwiseOperator.arguments(
      of: operands.angles, rows: problem.decoderRows, heads: problem.shape[.heads], headDim: problem.shape[.headDim],
      positions: UnsafePointer(operands.positions.unsafePointer))
    unsafe args.x = UnsafePointer(operands.x.unsafePointer + copy * problem.decoderRows * problem.decoderColumns)
    unsafe args.y = operands.y.unsafePointer
    return unsafe args
  }

  func run(copy: Int, on executor: any Executor) {
    unsafe runRows(rows.kernel, arguments(copy: copy), count: problem.decoderRows, grain: rows.grain, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let columns = problem.decoderColumns
    unsafe ActivationRows.rewrite(
      [
        ActivationRows(operands.x.unsafePointer + copy * problem.decoderRows * columns, columns: columns),
        ActivationRows(operands.y.unsafePointer, columns: columns),
      ], count: problem.decoderRows, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    run(copy: 0, on: executor)
    let count = problem.decoderRows * problem.decoderColumns
    let expected = AlignedBuffer<Double>(count: count)
    var args = unsafe arguments(copy: 0)
    try unsafe WallclockKernels.check(
      wc_rowwise_reference(problem.op.c, &args, expected.unsafePointer), "the oracle of \(problem.op.rawValue)")
    var worst = 0.0
    let size = problem.shape[.headDim]
    for head in 0..<count / size {
      let range = head * size..<(head + 1) * size
      // Either of a pair may be small, where the other's rounding shows.
      let scale = range.reduce(0.0) { max($0, abs(Double(operands.x[$1]))) } * 2.0.squareRoot()
      for i in range {
        let allowed = Tolerance.rowwise(problem.op, channels: size, value: expected[i], rowScale: scale)
        worst = max(worst, excess(Double(operands.y[i]), expected[i], allowed: allowed))
      }
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): an element is \(worst)× the tolerance from the oracle",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: count)
  }
}
