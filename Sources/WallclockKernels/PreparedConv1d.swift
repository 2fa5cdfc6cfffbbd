import CWallclockKernels
import WallclockCore

/// Random sequences and filters of a short convolution.
final class Conv1dOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let parameters: Conv1dParameters
  let x, y, state: AlignedBuffer<Float>
  let stateSize: Int

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (rows, channels, width) = (s[.batch] * s[.tokens], s[.channels], s[.width])
    var random = OperandGenerator(seed: seed)
    func filled(_ count: Int, scale: Float) -> AlignedBuffer<Float> {
      let buffer = AlignedBuffer<Float>(count: count)
      random.fill(buffer, scale: scale)
      return buffer
    }
    parameters = try Conv1dParameters(
      weight: filled(channels * width, scale: 0.5).array(), width: width, bias: filled(channels, scale: 0.5).array())
    x = filled(copies * rows * channels, scale: 1)
    y = AlignedBuffer(count: rows * channels)
    stateSize = s[.batch] * ChannelPanels.size(channels: channels, count: width - 1)
    state = filled(copies * stateSize, scale: 1)
  }
}

/// A short convolution and one Schedule.
final class PreparedConv1d: PreparedProblem {
  let schedule: Schedule
  private let operands: Conv1dOperands
  private let convolution: Conv1dOperator

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }
  private var rows: Int { problem.shape[.batch] * problem.shape[.tokens] }
  private var silu: Bool { problem.epilogue.contains(.silu) }

  init(_ operands: Conv1dOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    convolution = try Conv1dOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedConv1d(operands, schedule)
  }

  private func x(copy: Int) -> UnsafeMutablePointer<Float> {
    unsafe operands.x.unsafePointer + copy * rows * problem.shape[.channels]
  }

  func run(copy: Int, on executor: any Executor) {
    unsafe convolution.run(
      batch: problem.shape[.batch], tokens: problem.shape[.tokens], parameters: operands.parameters, x: x(copy: copy),
      y: operands.y.unsafePointer, state: operands.state.unsafePointer + copy * operands.stateSize, silu: silu,
      on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let columns = problem.shape[.channels]
    unsafe ActivationRows.rewrite(
      [ActivationRows(x(copy: copy), columns: columns), ActivationRows(operands.y.unsafePointer, columns: columns)],
      count: rows, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    let s = problem.shape
    let (tokens, channels, width) = (s[.tokens], s[.channels], s[.width])
    let start = AlignedBuffer(operands.state.array())
    run(copy: 0, on: executor)
    var check = SequenceCheck()
    let perSequence = operands.stateSize / s[.batch]
    for sequence in Set([0, s[.batch] - 1]) {
      for range in SequenceCheck.panels(channels: channels) {
        let row = sequence * tokens * channels
        let all = unsafe Conv1dOperator.arguments(
          operands.parameters, tokens: tokens, x: x(copy: 0) + row, y: operands.y.unsafePointer + row,
          state: start.unsafePointer + sequence * perSequence, silu: silu)
        var args = unsafe Conv1dOperator.part(all, range)
        let y = AlignedBuffer<Double>(count: tokens * range.count)
        let state = AlignedBuffer<Double>(count: ChannelPanels.channels * (width - 1))
        try unsafe WallclockKernels.check(
          wc_conv1d_reference(&args, y.unsafePointer, state.unsafePointer), "the oracle of causal-conv1d")
        check.compare(count: y.count) { i in
          (operands.y[row + i / range.count * channels + range.lowerBound + i % range.count], y[i])
        }
        let place = sequence * perSequence + range.lowerBound * (width - 1)
        for channel in 0..<range.count {
          check.compare(count: width - 1) { i in
            let at = ChannelPanels.place(channel: channel, index: i, count: width - 1)
            return (operands.state[place + at], state[at])
          }
        }
      }
    }
    return try check.result(schedule, problem)
  }
}
