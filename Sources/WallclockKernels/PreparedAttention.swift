import CWallclockKernels
import WallclockCore

/// Attention, to itself or to a cache, and one Schedule.
final class PreparedAttention: PreparedProblem {
  let schedule: Schedule
  private let operands: AttentionOperands
  private let attention: AttentionOperator
  private let starts: [Int]
  private let caches: [KVCache]

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: AttentionOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    guard kernel.serves(operands.problem.format) else {
      throw KernelError(.unsupported, "\(kernel.name) has no cache of format \(operands.problem.format)")
    }
    attention = try AttentionOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
    let s = operands.problem.shape
    starts = (0...s[.batch]).map { $0 * s[.tokens] }
    caches = try operands.caches(for: kernel)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedAttention(operands, schedule)
  }

  private var scale: Float { 1 / Float(problem.shape[.headDim]).squareRoot() }

  func run(copy: Int, on executor: any Executor) {
    let s = problem.shape
    let width = operands.queryColumns
    unsafe starts.withUnsafeBufferPointer { starts in
      let starts = unsafe Span(_unsafeElements: starts)
      let q = unsafe operands.queries(copy: copy)
      if problem.usesCache {
        unsafe attention.run(
          starts: starts, cache: caches[copy], heads: s[.heads], q: q, ldq: operands.queryStride,
          o: operands.o.unsafePointer, ldo: width, scale: scale, mask: problem.mask, workspace: operands.workspace,
          on: executor)
      } else {
        unsafe attention.run(
          starts: starts, heads: s[.heads], kvHeads: problem.kvHeads, headDim: s[.headDim], q: q, k: q + width,
          v: q + width + operands.pairColumns / 2, stride: operands.queryStride, o: operands.o.unsafePointer, ldo: width,
          scale: scale, mask: problem.mask, workspace: operands.workspace, on: executor)
      }
    }
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let rows = problem.shape[.batch] * problem.shape[.tokens]
    unsafe ActivationRows.rewrite(
      [
        ActivationRows(
          UnsafeMutablePointer(mutating: operands.queries(copy: copy)), columns: operands.queryStride),
        ActivationRows(operands.o.unsafePointer, columns: operands.queryColumns),
      ], count: rows, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.o.poison()
    run(copy: 0, on: executor)
    let s = problem.shape
    let pairs = s[.batch] * s[.heads]
    let queries = min(s[.tokens], 64)
    var worst = 0.0
    var checked = 0
    // Some heads, each with a window of its queries: first head, last head, and two between.
    for pair in Set([0, pairs / 3, pairs / 2, pairs - 1]).sorted() {
      let error = try error(
        sequence: pair / s[.heads], head: pair % s[.heads], firstQuery: pair == 0 ? 0 : s[.tokens] - queries, queries)
      checked += queries * s[.headDim]
      if error.isNaN || error > worst { worst = error.isNaN ? .infinity : error }
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): the Frobenius error is \(worst)× the tolerance",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: checked)
  }

  /// What a kernel makes of `rows` rows of `type`, `stride` apart.
  private func kept(_ type: ElementType, _ x: UnsafePointer<Float>, rows: Int, stride: Int) throws(KernelError) -> AlignedBuffer<Float> {
    let d = problem.shape[.headDim]
    let result = AlignedBuffer<Float>(count: rows * d)
    try unsafe WallclockKernels.check(
      wc_attention_kept(type.c, rows, d, x, stride, result.unsafePointer), "rows of \(type.rawValue)")
    return result
  }

  /// The Frobenius error of some queries of one head, over what is allowed.
  private func error(sequence: Int, head: Int, firstQuery: Int, _ queries: Int) throws(KernelError) -> Double {
    let s = problem.shape
    let (tokens, d, keys) = (s[.tokens], s[.headDim], problem.keys)
    let kernel = attention.kernel
    let kvHead = head / (s[.heads] / problem.kvHeads)
    let firstRow = sequence * tokens + firstQuery
    let source = unsafe operands.keys + sequence * keys * operands.keyStride + kvHead * d
    let q = try unsafe kept(
      kernel.a!, operands.queries(copy: 0) + firstRow * operands.queryStride + head * d, rows: queries,
      stride: operands.queryStride)
    let k = try unsafe kept(kernel.b!, source, rows: keys, stride: operands.keyStride)
    let v = try unsafe kept(kernel.b!, source + operands.pairColumns / 2, rows: keys, stride: operands.keyStride)
    let slopes = AlignedBuffer(problem.mask.alibi ? [Mask.alibiSlopes(heads: s[.heads])[head]] : [])
    var args = unsafe attention.arguments(heads: 1, group: 1, headDim: d, scale: scale, mask: problem.mask)
    unsafe args.slopes = slopes.count > 0 ? UnsafePointer(slopes.unsafePointer) : nil
    unsafe args.tq = queries
    unsafe args.tk = keys
    unsafe args.q_first = firstQuery
    unsafe args.tq_total = tokens
    unsafe args.q = UnsafePointer(q.unsafePointer)
    unsafe args.k = UnsafePointer(k.unsafePointer)
    unsafe args.v = UnsafePointer(v.unsafePointer)
    unsafe args.ldq = d
    unsafe args.ldk = d
    unsafe args.ldv = d
    let expected = AlignedBuffer<Double>(count: queries * d)
    func reference() throws(KernelError) {
      try unsafe WallclockKernels.check(
        wc_attention_reference(&args, expected.unsafePointer), "the oracle of attention")
    }
    try reference()
    var difference = 0.0
    var norm = 0.0
    for i in 0..<queries {
      for c in 0..<d {
        let found = Double(operands.o[(firstRow + i) * operands.queryColumns + head * d + c])
        let value = expected[i * d + c]
        difference += (found - value) * (found - value)
        norm += value * value
      }
    }
    func over(_ magnitude: Double) -> Double {
      excess(
        difference.squareRoot(), 0,
        allowed: Tolerance.attention(norm: norm.squareRoot(), magnitude: magnitude, narrow: kernel.a == .bf16))
    }
    guard over(0) > 1, !difference.isNaN else { return difference.isNaN ? .nan : over(0) }
    // Rarely, values cancel: what the outputs would be with |V| says how large the summands are.
    for j in 0..<keys * d { unsafe v.unsafePointer[j] = abs(v.unsafePointer[j]) }
    try reference()
    return over(expected.array().reduce(0) { $0 + $1 * $1 }.squareRoot())
  }
}
