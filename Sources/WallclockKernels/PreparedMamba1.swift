import CWallclockKernels
import WallclockCore

/// Random sequences and parameters of a selective scan: Δ around softplus(−2), A as S4D-real has it, −1 … −states.
final class Mamba1Operands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  /// One a copy, since decoding streams them.
  let parameters: [Parameters]
  let u, delta, z, b, c, y, state: AlignedBuffer<Float>
  let stateSize: Int

  /// A reference, for arrays hold nothing that is not copyable.
  final class Parameters {
    let values: Mamba1Parameters
    init(_ values: consuming Mamba1Parameters) { self.values = values }
  }

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (rows, channels, states) = (copies * s[.batch] * s[.tokens], s[.channels], s[.state])
    var random = OperandGenerator(seed: seed)
    func filled(_ count: Int, scale: Float) -> AlignedBuffer<Float> {
      let buffer = AlignedBuffer<Float>(count: count)
      random.fill(buffer, scale: scale)
      return buffer
    }
    let skip = filled(channels, scale: 1).array()
    let bias = filled(channels, scale: 0.5).array().map { $0 - 2 }
    let a = (0..<channels * states).map { -Float($0 % states + 1) }
    var parameters: [Parameters] = []
    for _ in 0..<copies {
      parameters.append(Parameters(try Mamba1Parameters(a: a, states: states, skip: skip, deltaBias: bias)))
    }
    self.parameters = parameters
    u = filled(rows * channels, scale: 1)
    delta = filled(rows * channels, scale: 0.5)
    z = filled(rows * channels, scale: 1)
    b = filled(rows * states, scale: 1)
    c = filled(rows * states, scale: 1)
    y = AlignedBuffer(count: s[.batch] * s[.tokens] * channels)
    stateSize = s[.batch] * ChannelPanels.size(channels: channels, count: states)
    state = AlignedBuffer(count: copies * stateSize)
    let some = filled(channels * states, scale: 1).array()
    for copy in 0..<copies * s[.batch] {
      let panels = ChannelPanels.pack(some, channels: channels, count: states)
      unsafe (state.unsafePointer + copy * panels.count).update(from: panels.unsafePointer, count: panels.count)
    }
  }

  func rows(copy: Int) -> Mamba1Rows {
    let s = problem.shape
    let row = copy * s[.batch] * s[.tokens]
    let (c0, n) = (row * s[.channels], row * s[.state])
    return unsafe Mamba1Rows(
      u: u.unsafePointer + c0, delta: delta.unsafePointer + c0, z: z.unsafePointer + c0, b: b.unsafePointer + n,
      c: c.unsafePointer + n, y: y.unsafePointer, state: state.unsafePointer + copy * stateSize)
  }
}

/// A selective scan and one Schedule.
final class PreparedMamba1: PreparedProblem {
  let schedule: Schedule
  private let operands: Mamba1Operands
  private let scan: Mamba1Operator

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }

  init(_ operands: Mamba1Operands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    scan = try Mamba1Operator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedMamba1(operands, schedule)
  }

  func run(copy: Int, on executor: any Executor) {
    scan.run(
      batch: problem.shape[.batch], tokens: problem.shape[.tokens], parameters: operands.parameters[copy].values,
      rows: operands.rows(copy: copy), on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let s = problem.shape
    let rows = operands.rows(copy: copy)
    func activations(_ p: UnsafePointer<Float>, _ columns: Int) -> ActivationRows {
      unsafe ActivationRows(UnsafeMutablePointer(mutating: p), columns: columns)
    }
    var all = unsafe [ActivationRows(rows.y, columns: s[.channels])]
    unsafe all.append(activations(rows.u, s[.channels]))
    unsafe all.append(activations(rows.delta, s[.channels]))
    unsafe all.append(activations(rows.z!, s[.channels]))
    unsafe all.append(activations(rows.b, s[.state]))
    unsafe all.append(activations(rows.c, s[.state]))
    ActivationRows.rewrite(all, count: s[.batch] * s[.tokens], on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    let s = problem.shape
    let (tokens, channels, states) = (s[.tokens], s[.channels], s[.state])
    let before = operands.state.array()
    run(copy: 0, on: executor)
    var check = SequenceCheck()
    let perSequence = operands.stateSize / s[.batch]
    let start = AlignedBuffer(before)
    let rows = operands.rows(copy: 0)
    for sequence in Set([0, s[.batch] - 1]) {
      for range in SequenceCheck.panels(channels: channels) {
        let first = range.lowerBound
        let place = sequence * perSequence + first * states
        let y = AlignedBuffer<Double>(count: tokens * range.count)
        let state = AlignedBuffer<Double>(count: ChannelPanels.channels * states)
        var args = unsafe Mamba1Operator.arguments(
          rows, row: sequence * tokens, tokens: tokens, channels: channels, states: states,
          state: start.unsafePointer + place)
        unsafe args.channels = range.count
        unsafe args.u += first
        unsafe args.delta += first
        unsafe args.z += first
        let parameters = operands.parameters[0]
        unsafe args.a = UnsafePointer(parameters.values.a.unsafePointer + first * states)
        unsafe args.skip = UnsafePointer(parameters.values.skip.unsafePointer + first)
        unsafe args.delta_bias = UnsafePointer(parameters.values.deltaBias.unsafePointer + first)
        try unsafe WallclockKernels.check(
          wc_mamba1_reference(&args, y.unsafePointer, state.unsafePointer), "the oracle of mamba1")
        check.compare(count: y.count) { i in
          let (t, channel) = (i / range.count, first + i % range.count)
          return (operands.y[(sequence * tokens + t) * channels + channel], y[i])
        }
        check.compare(count: state.count) { (operands.state[place + $0], state[$0]) }
      }
    }
    return try check.result(schedule, problem)
  }
}
