import CWallclockKernels
import WallclockCore

/// Random sequences and filters, which fade along their length as Hyena's do.
final class LongConvOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let taps, x, y: AlignedBuffer<Float>
  let skip: [Float]
  /// One for all Schedules, which run one at a time.
  let workspace = LongConvWorkspace()

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (tokens, channels) = (s[.tokens], s[.channels])
    var random = OperandGenerator(seed: seed)
    taps = AlignedBuffer(count: tokens * channels)
    random.fill(taps, scale: 1)
    for i in 0..<taps.count {
      unsafe taps.unsafePointer[i] *= 1 - 0.9 * Float(i / channels) / Float(tokens)
    }
    x = AlignedBuffer(count: copies * s[.batch] * tokens * channels)
    random.fill(x, scale: 1)
    y = AlignedBuffer(count: s[.batch] * tokens * channels)
    let some = AlignedBuffer<Float>(count: channels)
    random.fill(some, scale: 1)
    skip = some.array()
  }
}

/// A long convolution and one Schedule. Filters rotate with the sequences: they are its weights.
final class PreparedLongConv: PreparedProblem {
  let schedule: Schedule
  private let operands: LongConvOperands
  private let convolution: LongConvOperator
  private let filters: [Filter]

  /// A reference, for arrays hold nothing that is not copyable.
  private final class Filter {
    let value: LongConvFilter
    init(_ value: consuming LongConvFilter) { self.value = value }
  }

  var problem: Problem { operands.problem }
  var copies: Int { operands.copies }
  private var rows: Int { problem.shape[.batch] * problem.shape[.tokens] }
  private var channels: Int { problem.shape[.channels] }

  convenience init(_ operands: LongConvOperands, _ schedule: Schedule) throws(KernelError) {
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    let s = operands.problem.shape
    var filters: [Filter] = []
    for _ in 0..<operands.copies {
      filters.append(
        Filter(
          try LongConvFilter(
            taps: operands.taps, length: s[.tokens], channels: s[.channels], skip: operands.skip, for: kernel)))
    }
    try self.init(operands, schedule, kernel, filters)
  }

  private init(
    _ operands: LongConvOperands, _ schedule: Schedule, _ kernel: KernelDescriptor, _ filters: [Filter]
  ) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    self.filters = filters
    convolution = try LongConvOperator(kernel: kernel, knobs: schedule.knobs, isas: operands.isas)
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    guard schedule.kernel == self.schedule.kernel else { return try PreparedLongConv(operands, schedule) }
    return try PreparedLongConv(operands, schedule, convolution.kernel, filters)
  }

  private func x(copy: Int) -> UnsafeMutablePointer<Float> {
    unsafe operands.x.unsafePointer + copy * rows * channels
  }

  func run(copy: Int, on executor: any Executor) {
    unsafe convolution.run(
      batch: problem.shape[.batch], tokens: problem.shape[.tokens], filter: filters[copy].value, x: x(copy: copy),
      y: operands.y.unsafePointer, workspace: operands.workspace, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    unsafe ActivationRows.rewrite(
      [ActivationRows(x(copy: copy), columns: channels), ActivationRows(operands.y.unsafePointer, columns: channels)],
      count: rows, on: executor)
  }

  /// Some channels, and of long sequences some tokens, since each is a sum over all before it.
  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.y.poison()
    run(copy: 0, on: executor)
    let tokens = problem.shape[.tokens]
    var worst = 0.0
    var elements = 0
    let step = max(1, tokens / 200)
    for sequence in Set([0, problem.shape[.batch] - 1]) {
      let row = sequence * tokens
      for channel in Set([0, channels / 3, channels / 2, channels - 1]) {
        var (sizeOfX, sizeOfTaps) = (0.0, 0.0)
        for t in 0..<tokens {
          sizeOfX += pow2(Double(operands.x[(row + t) * channels + channel]))
          sizeOfTaps += pow2(Double(operands.taps[t * channels + channel]))
        }
        for t in Set(stride(from: 0, to: tokens, by: step)).union([tokens - 1]) {
          let own = Double(operands.skip[channel]) * Double(operands.x[(row + t) * channels + channel])
          let expected = unsafe own + wc_long_conv_reference(
            t, x(copy: 0) + row * channels + channel, channels, operands.taps.unsafePointer + channel, channels)
          let allowed = Tolerance.longConv(
            length: tokens, x: sizeOfX.squareRoot(), filter: sizeOfTaps.squareRoot(), skip: abs(own))
          worst = max(worst, excess(Double(operands.y[(row + t) * channels + channel]), expected, allowed: allowed))
          elements += 1
        }
      }
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): an element is \(worst)× the tolerance from the oracle",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: elements)
  }

  private func pow2(_ x: Double) -> Double { x * x }
}
