import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// Random sequences and the parameters of S4D-Lin: A = −½ + iπn, steps from 10⁻³ to 10⁻¹.
final class S4DOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  /// One a copy, since decoding streams them.
  let parameters: [Parameters]
  let u, y, state: AlignedBuffer<Float>
  let stateSize: Int
  /// One for all Schedules, which run one at a time.
  let workspace = LongConvWorkspace()
  /// Whether sequences begin with an empty state.
  var begins: Bool { problem.shape[.tokens] > 1 }

  /// A reference, for arrays hold nothing that is not copyable.
  final class Parameters {
    let values: S4DParameters
    init(_ values: consuming S4DParameters) { self.values = values }
  }

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (rows, channels, pairs) = (s[.batch] * s[.tokens], s[.channels], s[.state] / 2)
    var random = OperandGenerator(seed: seed)
    func filled(_ count: Int) -> AlignedBuffer<Float> {
      let buffer = AlignedBuffer<Float>(count: count)
      random.fill(buffer, scale: 1)
      return buffer
    }
    let delta: [Float] = (0..<channels).map { Float(0.001 * pow(100, Double($0) / Double(max(1, channels - 1)))) }
    let a: [Float] = (0..<channels * pairs).flatMap { [-0.5, Float.pi * Float($0 % pairs)] as [Float] }
    let c = filled(2 * channels * pairs).array()
    let skip = filled(channels).array()
    var parameters: [Parameters] = []
    // Decoding alone reads them often enough for their place to matter.
    for _ in 0..<(s[.tokens] == 1 ? copies : 1) {
      parameters.append(Parameters(try S4DParameters(delta: delta, a: a, c: c, pairs: pairs, skip: skip)))
    }
    self.parameters = parameters
    u = filled(copies * rows * channels)
    y = AlignedBuffer(count: rows * channels)
    stateSize = s[.batch] * ChannelPanels.size(channels: channels, count: 2 * pairs)
    state = AlignedBuffer(count: copies * stateSize)
    let some = ChannelPanels.pack(filled(channels * 2 * pairs).array(), channels: channels, count: 2 * pairs)
    for copy in 0..<copies * s[.batch] {
      unsafe (state.unsafePointer + copy * some.count).update(from: some.unsafePointer, count: some.count)
    }
  }

  func u(copy: Int) -> UnsafeMutablePointer<Float> {
    let s = problem.shape
    return unsafe u.unsafePointer + copy * s[.batch] * s[.tokens] * s[.channels]
  }

  func prepared(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    let kernel = try problem.kernel(of: schedule, isas: isas)
    guard kernel.isLongConvolution else { return try PreparedS4D(self, schedule, kernel, .scan) }
    guard begins else {
      throw KernelError(.unsupported, "\(kernel.name) convolves and keeps no state, so a step of decoding needs another kernel")
    }
    let s = problem.shape
    let filter = try LongConvFilter(
      taps: parameters[0].values.taps(length: s[.tokens]), length: s[.tokens], channels: s[.channels],
      skip: parameters[0].values.skip, for: kernel)
    return try PreparedS4D(self, schedule, kernel, .convolution(PreparedS4D.Filter(filter)))
  }
}

/// A diagonal state space and one Schedule.
final class PreparedS4D: PreparedProblem {
  /// A reference, for enumerations hold nothing that is not copyable.
  final class Filter {
    let value: LongConvFilter
    init(_ value: consuming LongConvFilter) { self.value = value }
  }
  enum Form {
    case scan
    case convolution(Filter)
  }
  private enum Runner {
    case scan(S4DOperator)
    case convolution(LongConvOperator, Filter)
  }

  let schedule: Schedule
  private let operands: S4DOperands
  private let kernel: KernelDescriptor
  private let form: Form
  private let runner: Runner

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }
  private var rows: Int { problem.shape[.batch] * problem.shape[.tokens] }
  private var channels: Int { problem.shape[.channels] }

  init(_ operands: S4DOperands, _ schedule: Schedule, _ kernel: KernelDescriptor, _ form: Form) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    self.kernel = kernel
    self.form = form
    runner =
      switch form {
      case .scan: .scan(try S4DOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas))
      case .convolution(let filter):
        .convolution(try LongConvOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas), filter)
      }
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    guard schedule.kernel == self.schedule.kernel else { return try operands.prepared(schedule) }
    return try PreparedS4D(operands, schedule, kernel, form)
  }

  private func parameters(copy: Int) -> S4DOperands.Parameters { operands.parameters[copy % operands.parameters.count] }

  func run(copy: Int, on executor: any Executor) {
    let (batch, tokens) = (problem.shape[.batch], problem.shape[.tokens])
    switch runner {
    case .scan(let scan):
      unsafe scan.run(
        batch: batch, tokens: tokens, parameters: parameters(copy: copy).values, u: operands.u(copy: copy),
        y: operands.y.unsafePointer, state: operands.state.unsafePointer + copy * operands.stateSize,
        begins: operands.begins, on: executor)
    case .convolution(let convolution, let filter):
      unsafe convolution.run(
        batch: batch, tokens: tokens, filter: filter.value, x: operands.u(copy: copy), y: operands.y.unsafePointer,
        workspace: operands.workspace, on: executor)
    }
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    unsafe ActivationRows.rewrite(
      [
        ActivationRows(operands.u(copy: copy), columns: channels),
        ActivationRows(operands.y.unsafePointer, columns: channels),
      ], count: rows, on: executor)
  }

  /// Outputs, and the state where there is one.
  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    let s = problem.shape
    let (tokens, count) = (s[.tokens], s[.state])
    let start = AlignedBuffer(operands.state.array())
    run(copy: 0, on: executor)
    var check = SequenceCheck()
    let perSequence = operands.stateSize / s[.batch]
    for sequence in Set([0, s[.batch] - 1]) {
      for range in SequenceCheck.panels(channels: channels) {
        let row = sequence * tokens * channels
        let all = unsafe S4DOperator.arguments(
          parameters(copy: 0).values, tokens: tokens, u: operands.u(copy: 0) + row, y: operands.y.unsafePointer + row,
          state: start.unsafePointer + sequence * perSequence, begins: operands.begins, bt: 1)
        var args = unsafe S4DOperator.part(all, range)
        let y = AlignedBuffer<Double>(count: tokens * range.count)
        let end = AlignedBuffer<Double>(count: ChannelPanels.channels * count)
        try unsafe WallclockKernels.check(
          wc_s4d_reference(&args, y.unsafePointer, end.unsafePointer), "the oracle of s4d")
        check.compare(count: y.count) { i in
          (operands.y[row + i / range.count * channels + range.lowerBound + i % range.count], y[i])
        }
        guard case .scan = runner else { continue }
        let place = sequence * perSequence + range.lowerBound * count
        check.compare(count: end.count) { (operands.state[place + $0], end[$0]) }
      }
    }
    return try check.result(schedule, problem)
  }
}
