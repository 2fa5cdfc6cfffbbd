import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// Random sequences and parameters of the WKV operator: decays from a token to some thousand.
final class RWKV4Operands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let parameters: RWKV4Parameters
  let k, v, y, state: AlignedBuffer<Float>
  let stateSize: Int

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (rows, channels) = (s[.batch] * s[.tokens], s[.channels])
    var random = OperandGenerator(seed: seed)
    func filled(_ count: Int, scale: Float) -> AlignedBuffer<Float> {
      let buffer = AlignedBuffer<Float>(count: count)
      random.fill(buffer, scale: scale)
      return buffer
    }
    let logarithms: [Float] = filled(channels, scale: 2).array()
    let decay: [Float] = logarithms.map { Float(exp(Double($0) - 3)) }
    parameters = try RWKV4Parameters(decay: decay, bonus: filled(channels, scale: 1).array())
    k = filled(copies * rows * channels, scale: 2)
    v = filled(copies * rows * channels, scale: 1)
    y = AlignedBuffer(count: rows * channels)
    stateSize = s[.batch] * ChannelPanels.size(channels: channels, count: RWKV4Parameters.state)
    state = AlignedBuffer(count: copies * stateSize)
    let sums: [Float] = filled(channels, scale: 1).array()
    let start: [Float] = sums.flatMap { [$0, 1.5, 2 * $0] as [Float] }
    let panels = ChannelPanels.pack(start, channels: channels, count: RWKV4Parameters.state)
    for copy in 0..<copies * s[.batch] {
      unsafe (state.unsafePointer + copy * panels.count).update(from: panels.unsafePointer, count: panels.count)
    }
  }
}

/// The WKV operator and one Schedule.
final class PreparedRWKV4: PreparedProblem {
  let schedule: Schedule
  private let operands: RWKV4Operands
  private let wkv: RWKV4Operator

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }
  private var rows: Int { problem.shape[.batch] * problem.shape[.tokens] }
  private var channels: Int { problem.shape[.channels] }

  init(_ operands: RWKV4Operands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    wkv = try RWKV4Operator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedRWKV4(operands, schedule)
  }

  private func rows(of sequences: borrowing AlignedBuffer<Float>, copy: Int) -> UnsafeMutablePointer<Float> {
    unsafe sequences.unsafePointer + copy * rows * channels
  }

  func run(copy: Int, on executor: any Executor) {
    unsafe wkv.run(
      batch: problem.shape[.batch], tokens: problem.shape[.tokens], parameters: operands.parameters,
      k: rows(of: operands.k, copy: copy), v: rows(of: operands.v, copy: copy), y: operands.y.unsafePointer,
      state: operands.state.unsafePointer + copy * operands.stateSize, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let all = unsafe [rows(of: operands.k, copy: copy), rows(of: operands.v, copy: copy), operands.y.unsafePointer]
    let activations = unsafe all.map { unsafe ActivationRows($0, columns: channels) }
    ActivationRows.rewrite(activations, count: rows, on: executor)
  }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    let s = problem.shape
    let (tokens, count) = (s[.tokens], RWKV4Parameters.state)
    let start = AlignedBuffer(operands.state.array())
    run(copy: 0, on: executor)
    var check = SequenceCheck()
    let perSequence = operands.stateSize / s[.batch]
    for sequence in Set([0, s[.batch] - 1]) {
      for range in SequenceCheck.panels(channels: channels) {
        let row = sequence * tokens * channels
        let all = unsafe RWKV4Operator.arguments(
          operands.parameters, tokens: tokens, k: rows(of: operands.k, copy: 0) + row,
          v: rows(of: operands.v, copy: 0) + row, y: operands.y.unsafePointer + row,
          state: start.unsafePointer + sequence * perSequence, bt: 1)
        var args = unsafe RWKV4Operator.part(all, range)
        let y = AlignedBuffer<Double>(count: tokens * range.count)
        let end = AlignedBuffer<Double>(count: ChannelPanels.channels * count)
        try unsafe WallclockKernels.check(
          wc_rwkv4_reference(&args, y.unsafePointer, end.unsafePointer), "the oracle of rwkv4")
        check.compare(count: y.count) { i in
          (operands.y[row + i / range.count * channels + range.lowerBound + i % range.count], y[i])
        }
        // Sums, in the units of the reference.
        let place = sequence * perSequence + range.lowerBound * count
        check.compare(count: 2 * range.count) { i in
          let (channel, sum) = (i / 2, i % 2)
          func at(_ index: Int) -> Int { ChannelPanels.place(channel: channel, index: index, count: count) }
          let unit = Double(operands.state[place + at(2)].rounded(.toNearestOrEven))
          let found = Double(operands.state[place + at(sum)]) * exp(unit * 0.693147180559945309 - end[at(2)])
          return (Float(found), end[at(sum)])
        }
      }
    }
    return try check.result(schedule, problem)
  }
}
