import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// Random operands of a recurrence that stays bounded however often it is run on its own state.
final class RecurrenceOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  /// One for all Schedules, which run one at a time.
  let workspace = RecurrenceWorkspace()
  let rows: Int
  // Of all copies, one after the other; empty where the rule has none.
  let q, k, v, a, b, decay, rate, state, z: AlignedBuffer<Float>
  let o, bonus, logDecays, skips: AlignedBuffer<Float>

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let op = problem.op
    let (heads, dk, dv) = (s[.heads], s[.state], s[.headDim])
    rows = s[.batch] * s[.tokens]
    var random = OperandGenerator(seed: seed)
    func values(_ count: Int, scale: Float, _ change: ((Float) -> Float)? = nil) -> AlignedBuffer<Float> {
      let buffer = AlignedBuffer<Float>(count: count)
      random.fill(buffer, scale: scale)
      if let change {
        let p = unsafe buffer.unsafePointer
        for i in 0..<count { unsafe p[i] = change(p[i]) }
      }
      return buffer
    }
    func onlyIf(_ has: Bool, _ count: Int) -> Int { has ? copies * count : 0 }
    let unit = 1 / Float(max(1, dk)).squareRoot()
    q = values(copies * rows * s[.kvHeads] * dk, scale: 1)
    k = values(copies * rows * s[.kvHeads] * dk, scale: op == .linearAttention ? 1 : unit)
    v = values(copies * rows * heads * dv, scale: 1)
    // a = −κ and b = κ·η of RWKV-7: what is there along κ is replaced in part.
    a = values(onlyIf(op == .rwkv7, rows * heads * dk), scale: unit) { -$0 }
    b = AlignedBuffer(count: a.count)
    for i in 0..<a.count { unsafe b.unsafePointer[i] = -0.5 * a.unsafePointer[i] }
    decay = values(
      onlyIf(op.hasChannelDecays || op == .gatedDeltaNet, rows * heads * (op.hasChannelDecays ? dk : 1)), scale: 0.2
    ) { -min(0.6, abs($0)) }
    rate = values(onlyIf(op.hasRates, rows * heads), scale: op == .mamba2 ? 0.05 : 0.5) { min(1, abs($0)) }
    state = values(copies * s[.batch] * heads * dk * dv, scale: 0.5)
    z = values(onlyIf(op == .linearAttention, s[.batch] * heads * dk), scale: 1) { abs($0) }
    o = AlignedBuffer(count: rows * heads * dv)
    bonus = values(op == .rwkv6 ? heads * dk : 0, scale: 0.5)
    // RetNet's γ = 1 − 2^(−5−h) and Mamba-2's A = −1 … −16.
    logDecays = AlignedBuffer<Float>(
      (0..<heads).map { op == .mamba2 ? -Float(1 + $0 % 16) : log1p(-exp2(Float(-5 - $0 % 8))) })
    skips = values(heads, scale: 1)
  }

  /// A call on operand set `copy`.
  func call(copy: Int) -> RecurrenceCall {
    let s = problem.shape
    let op = problem.op
    let (heads, keyHeads, dk, dv) = (s[.heads], s[.kvHeads], s[.state], s[.headDim])
    let states = s[.batch] * heads
    func set(_ buffer: borrowing AlignedBuffer<Float>, _ row: Int) -> UnsafePointer<Float>? {
      buffer.count == 0 ? nil : unsafe UnsafePointer(buffer.unsafePointer + copy * row)
    }
    var args = unsafe wc_recurrence_args()
    unsafe args.dk = dk
    unsafe args.dv = dv
    unsafe args.ldq = keyHeads * dk
    unsafe args.ldk = keyHeads * dk
    unsafe args.ldv = heads * dv
    unsafe args.lda = heads * dk
    unsafe args.ldb = heads * dk
    unsafe args.ld_decay = op.hasChannelDecays ? heads * dk : heads
    unsafe args.ld_rate = heads
    unsafe args.ldo = heads * dv
    unsafe args.ld_state = dv
    unsafe args.q = set(q, rows * keyHeads * dk)
    unsafe args.k = set(k, rows * keyHeads * dk)
    unsafe args.v = set(v, rows * heads * dv)
    unsafe args.a = set(a, rows * heads * dk)
    unsafe args.b = set(b, rows * heads * dk)
    unsafe args.decay = set(decay, rows * args.ld_decay)
    unsafe args.rate = set(rate, rows * heads)
    unsafe args.bonus = bonus.count == 0 ? nil : UnsafePointer(bonus.unsafePointer)
    unsafe args.scale = op == .linearAttention || op == .mamba2 || op == .rwkv6 || op == .rwkv7
      ? 1 : 1 / Float(max(1, dk)).squareRoot()
    unsafe args.epsilon = 1e-6
    unsafe args.o = o.unsafePointer
    unsafe args.state = state.unsafePointer + copy * states * dk * dv
    unsafe args.z = set(z, states * dk)
    unsafe args.z_after = z.count == 0 ? nil : z.unsafePointer + copy * states * dk
    return unsafe RecurrenceCall(
      batch: s[.batch], tokens: s[.tokens], heads: heads, keyHeads: keyHeads, first: args,
      logDecays: UnsafePointer(logDecays.unsafePointer), skips: UnsafePointer(skips.unsafePointer))
  }
}

/// A recurrence and one Schedule.
final class PreparedRecurrence: PreparedProblem {
  let schedule: Schedule
  private let operands: RecurrenceOperands
  private let recurrence: RecurrenceOperator

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: RecurrenceOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    recurrence = try RecurrenceOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedRecurrence(operands, schedule)
  }

  func run(copy: Int, on executor: any Executor) {
    recurrence.run(operands.call(copy: copy), workspace: operands.workspace, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let s = problem.shape
    let keys = s[.kvHeads] * s[.state]
    let values = s[.heads] * s[.headDim]
    let rows = operands.rows
    unsafe ActivationRows.rewrite(
      [
        ActivationRows(operands.q.unsafePointer + copy * rows * keys, columns: keys),
        ActivationRows(operands.k.unsafePointer + copy * rows * keys, columns: keys),
        ActivationRows(operands.v.unsafePointer + copy * rows * values, columns: values),
        ActivationRows(operands.o.unsafePointer, columns: values),
      ], count: rows, on: executor)
  }

  /// Columns are independent, so that some of a head's say what all do.
  private static let checkedColumns = 8

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.o.poison()
    let call = operands.call(copy: 0)
    let s = problem.shape
    let (heads, dk, dv) = (s[.heads], s[.state], s[.headDim])
    let states = s[.batch] * heads
    // Some heads, the first and the last columns of each.
    let columns = min(dv, Self.checkedColumns)
    var pieces: [RecurrencePiece] = []
    for state in Set([0, states / 3, states / 2, states - 1]).sorted() {
      for column in Set([0, dv - columns]) {
        var args = unsafe call.arguments(sequence: state / heads, head: state % heads, of: problem.op)
        unsafe args.v += column
        unsafe args.o += column
        unsafe args.state += column
        unsafe args.dv = columns
        try pieces.append(unsafe RecurrencePiece(problem.op, args))
      }
    }
    run(copy: 0, on: executor)
    var worst = 0.0
    var checked = 0
    for piece in pieces {
      worst = max(worst, piece.errorOverTolerance)
      checked += (s[.tokens] + dk) * columns
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): the Frobenius error is \(worst)× the tolerance",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: checked)
  }
}

/// Some columns of a head, and what the oracle makes of its state as it is when this is made.
@safe private final class RecurrencePiece {
  private let args: wc_recurrence_args
  private let o, oSize, state, stateSize, z: AlignedBuffer<Double>

  init(_ op: Op, _ args: wc_recurrence_args) throws(KernelError) {
    unsafe self.args = args
    let (tokens, dk, dv) = unsafe (args.tokens, args.dk, args.dv)
    o = AlignedBuffer(count: tokens * dv)
    oSize = AlignedBuffer(count: tokens * dv)
    state = AlignedBuffer(count: dk * dv)
    stateSize = AlignedBuffer(count: dk * dv)
    z = AlignedBuffer(count: dk)
    var given = unsafe args
    var result = unsafe wc_recurrence_result(
      o: o.unsafePointer, state: state.unsafePointer, z: z.unsafePointer, o_size: oSize.unsafePointer,
      state_size: stateSize.unsafePointer)
    try unsafe WallclockKernels.check(wc_recurrence_reference(op.c, &given, &result), "the oracle of \(op.rawValue)")
  }

  /// The larger of that of o and that of the state as they are now; z is part of the state.
  var errorOverTolerance: Double {
    let (tokens, dk, dv) = unsafe (args.tokens, args.dk, args.dv)
    var outputs = RecurrenceError()
    for t in 0..<tokens {
      for j in 0..<dv {
        unsafe outputs.add(Double(args.o[t * args.ldo + j]), o[t * dv + j], size: oSize[t * dv + j])
      }
    }
    var states = RecurrenceError()
    for i in 0..<dk {
      for j in 0..<dv {
        unsafe states.add(Double(args.state[i * args.ld_state + j]), state[i * dv + j], size: stateSize[i * dv + j])
      }
      if let after = unsafe args.z_after { unsafe states.add(Double(after[i]), z[i], size: abs(z[i])) }
    }
    return max(outputs.overTolerance, states.overTolerance)
  }
}

/// Sums of squares of differences, values and sizes.
package struct RecurrenceError {
  private var difference = 0.0
  private var norm = 0.0
  private var size = 0.0
  package init() {}

  package mutating func add(_ found: Double, _ expected: Double, size: Double) {
    difference += (found - expected) * (found - expected)
    norm += expected * expected
    self.size += size * size
  }

  /// The Frobenius error over what is allowed; infinite where a number is missing.
  package var overTolerance: Double {
    excess(
      difference.squareRoot(), 0, allowed: Tolerance.recurrence(norm: norm.squareRoot(), size: size.squareRoot()))
  }
}
