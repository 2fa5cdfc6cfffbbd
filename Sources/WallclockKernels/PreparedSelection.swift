import CWallclockKernels
import WallclockCore

/// Random logits and, for each row, a uniform number.
final class SelectionOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let x, y: AlignedBuffer<Float>
  let indices: AlignedBuffer<Int32>
  let uniform: AlignedBuffer<Double>
  let sampling: TokenSampling

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let (rows, columns, k) = (problem.shape[.rows], problem.shape[.channels], problem.shape[.topK])
    var random = OperandGenerator(seed: seed)
    x = AlignedBuffer(count: copies * rows * columns)
    // The spread of a language model's logits, by order of magnitude.
    random.fill(x, scale: 3)
    y = AlignedBuffer(count: problem.op == .topK ? rows * k : 0)
    indices = AlignedBuffer(count: problem.op == .topK ? rows * k : rows)
    uniform = AlignedBuffer(count: rows)
    for i in 0..<rows { unsafe uniform.unsafePointer[i] = Double(random.next() >> 11) * 0x1p-53 }
    sampling = try TokenSampling(temperature: 0.8, topK: problem.op == .sampling ? problem.shape.sizes[.topK] : nil, topP: 0.95)
  }
}

/// argmax, top-k or sampling and one Schedule.
final class PreparedSelection: PreparedProblem {
  let schedule: Schedule
  private let operands: SelectionOperands
  private let rows: RowwiseOperator

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: SelectionOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    rows = try RowwiseOperator(operands.problem.op, kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedSelection(operands, schedule)
  }

  private func arguments(copy: Int) -> wc_rowwise_args {
    let (rows, columns, k) = (problem.shape[.rows], problem.shape[.channels], problem.shape[.topK])
    var args = unsafe wc_rowwise_args()
    unsafe args.rows = rows
    unsafe args.columns = columns
    unsafe args.x = UnsafePointer(operands.x.unsafePointer + copy * rows * columns)
    unsafe args.ldx = columns
    unsafe args.indices = operands.indices.unsafePointer
    unsafe args.ld_indices = problem.op == .topK ? k : 1
    switch problem.op {
    case .topK:
      unsafe args.y = operands.y.unsafePointer
      unsafe args.ldy = k
      unsafe args.k = k
    case .sampling:
      unsafe operands.sampling.apply(to: &args)
      unsafe args.uniform = UnsafePointer(operands.uniform.unsafePointer)
    default: break
    }
    return unsafe args
  }

  func run(copy: Int, on executor: any Executor) {
    unsafe runRows(rows.kernel, arguments(copy: copy), count: problem.shape[.rows], grain: rows.grain, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let (rows, columns) = (problem.shape[.rows], problem.shape[.channels])
    unsafe ActivationRows.rewrite(
      [ActivationRows(operands.x.unsafePointer + copy * rows * columns, columns: columns)], count: rows, on: executor)
  }

  /// Indices must be the oracle's; a draw must be one that the uniform number allows, up to rounding of its weights.
  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    unsafe operands.indices.unsafePointer.update(repeating: .min, count: operands.indices.count)
    run(copy: 0, on: executor)
    let count = operands.indices.count
    let expected = AlignedBuffer<Double>(count: problem.op == .sampling ? 2 * count : count)
    var args = unsafe arguments(copy: 0)
    try unsafe WallclockKernels.check(
      wc_rowwise_reference(problem.op.c, &args, expected.unsafePointer), "the oracle of \(problem.op.rawValue)")
    for i in 0..<count {
      let found = operands.indices[i]
      let right: Bool
      if problem.op == .sampling {
        right = TokenSampling.admits(operands.uniform[i], before: expected[2 * i], with: expected[2 * i + 1])
      } else {
        let row = i / (count / problem.shape[.rows]) * problem.shape[.channels]
        right = Double(found) == expected[i] && (problem.op != .topK || operands.y[i] == operands.x[row + Int(found)])
      }
      guard right else {
        throw KernelError(
          .wrongResult, "\(schedule) on \(problem): answer \(i) is \(found), which the oracle does not give",
          worstErrorOverTolerance: .infinity)
      }
    }
    return CorrectnessCheck(worstErrorOverTolerance: 0, elementsChecked: count)
  }
}

extension TokenSampling {
  /// Whether `uniform` may draw what has `before` … `with` of all weight: weights are rounded, by 2⁻¹⁷ of all at most.
  package static func admits(_ uniform: Double, before: Double, with: Double) -> Bool {
    before >= 0 && before - 0x1p-17 <= uniform && uniform <= with + 0x1p-17
  }
}
