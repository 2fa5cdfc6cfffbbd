import CWallclockKernels
import WallclockCore

/// `batch` random sequences of equal length, laid out as a fused QKV projection leaves them: rows
/// of 3 · heads · headDim.
final class AttentionOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let qkv: AlignedBuffer<Float>
  let o: AlignedBuffer<Float>
  /// One for all Schedules, which run one at a time: a Schedule is not faster for where its scratch lies.
  let workspace = AttentionWorkspace()

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let width = s[.heads] * s[.headDim]
    qkv = AlignedBuffer(count: copies * s[.batch] * s[.tokens] * 3 * width)
    var random = OperandGenerator(seed: seed)
    random.fill(qkv, scale: 1)
    o = AlignedBuffer(count: s[.batch] * s[.tokens] * width)
  }
}

/// Self-attention and one Schedule.
final class PreparedAttention: PreparedProblem {
  let schedule: Schedule
  private let operands: AttentionOperands
  private let attention: AttentionOperator
  private let starts: [Int]
  private let rowsPerCopy: Int

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: AttentionOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    attention = try AttentionOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
    let s = operands.problem.shape
    rowsPerCopy = s[.batch] * s[.tokens]
    starts = (0...s[.batch]).map { $0 * s[.tokens] }
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedAttention(operands, schedule)
  }

  private var scale: Float { 1 / Float(problem.shape[.headDim]).squareRoot() }

  func run(copy: Int, on executor: any Executor) {
    let s = problem.shape
    let width = s[.heads] * s[.headDim]
    unsafe starts.withUnsafeBufferPointer { starts in
      let base = unsafe UnsafePointer(operands.qkv.unsafePointer + copy * rowsPerCopy * 3 * width)
      unsafe attention.run(
        starts: Span(_unsafeElements: starts), heads: s[.heads], headDim: s[.headDim], q: base,
        k: base + width, v: base + 2 * width, stride: 3 * width, o: operands.o.unsafePointer, ldo: width,
        scale: scale, mask: problem.mask, workspace: operands.workspace, on: executor)
    }
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let width = problem.shape[.heads] * problem.shape[.headDim]
    unsafe ActivationRows.rewrite(
      [
        ActivationRows(operands.qkv.unsafePointer + copy * rowsPerCopy * 3 * width, columns: 3 * width),
        ActivationRows(operands.o.unsafePointer, columns: width),
      ], count: rowsPerCopy, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.o.poison()
    run(copy: 0, on: executor)
    let s = problem.shape
    let (tokens, d, heads) = (s[.tokens], s[.headDim], s[.heads])
    let width = heads * d
    let pairs = s[.batch] * heads
    let queries = min(tokens, 64)
    var worst = 0.0
    var checked = 0
    // Some heads, each with a window of its queries: first head, last head, and two between.
    for pair in Set([0, pairs / 3, pairs / 2, pairs - 1]).sorted() {
      let (batch, head) = (pair / heads, pair % heads)
      let firstQuery = pair == 0 ? 0 : tokens - queries
      let offset = batch * tokens * 3 * width + head * d
      let base = unsafe UnsafePointer(operands.qkv.unsafePointer + offset)
      var args = unsafe wc_attention_args()
      unsafe args.tq = queries
      unsafe args.tk = tokens
      unsafe args.d = d
      unsafe args.q_first = firstQuery
      unsafe args.tq_total = tokens
      unsafe args.q = base + firstQuery * 3 * width
      unsafe args.k = base + width
      unsafe args.v = base + 2 * width
      unsafe args.ldq = 3 * width
      unsafe args.ldk = 3 * width
      unsafe args.ldv = 3 * width
      unsafe args.scale = scale
      unsafe args.mask = UInt32(problem.mask == .causal ? WC_MASK_causal : WC_MASK_full)
      let expected = AlignedBuffer<Double>(count: queries * d)
      try unsafe WallclockKernels.check(
        wc_attention_reference(&args, expected.unsafePointer), "the oracle of attention")
      var difference = 0.0
      var norm = 0.0
      for q in 0..<queries {
        for j in 0..<d {
          let found = Double(operands.o[(batch * tokens + firstQuery + q) * width + head * d + j])
          let value = expected[q * d + j]
          difference += (found - value) * (found - value)
          norm += value * value
        }
      }
      checked += queries * d
      var error = excess(difference.squareRoot(), 0, allowed: Tolerance.attention(norm: norm.squareRoot(), magnitude: 0))
      if error > 1 {
        // Rarely, values cancel: what the outputs would be with |V| says how large the summands are.
        let absolute = AlignedBuffer<Float>(count: tokens * d)
        for j in 0..<tokens * d {
          unsafe absolute.unsafePointer[j] = abs(args.v[j / d * args.ldv + j % d])
        }
        unsafe args.v = UnsafePointer(absolute.unsafePointer)
        unsafe args.ldv = d
        try unsafe WallclockKernels.check(
          wc_attention_reference(&args, expected.unsafePointer), "the oracle of attention")
        let magnitude = expected.array().reduce(0) { $0 + $1 * $1 }.squareRoot()
        error = excess(
          difference.squareRoot(), 0, allowed: Tolerance.attention(norm: norm.squareRoot(), magnitude: magnitude))
      }
      if difference.isNaN || error > worst { worst = difference.isNaN ? .infinity : error }
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): the Frobenius error is \(worst)× the tolerance",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: checked)
  }
}
