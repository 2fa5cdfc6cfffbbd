import CWallclockKernels
import WallclockCore

/// Random tokens, their routing, and the experts' weights of a mixture, shared by its Schedules.
final class MoEOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let x: AlignedBuffer<Float>
  let y: AlignedBuffer<Float>
  let routing: ExpertRouting
  /// Of each expert.
  let gateUp: [QuantizedWeights]
  let down: [QuantizedWeights]
  let workspace = MoEWorkspace()

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (tokens, channels, hidden, experts, topK) = (s[.tokens], s[.channels], s[.hidden], s[.experts], s[.topK])
    var random = OperandGenerator(seed: seed)
    x = AlignedBuffer(count: tokens * channels)
    random.fill(x, scale: 1)
    y = AlignedBuffer(count: tokens * channels)
    var gateUp: [QuantizedWeights] = []
    var down: [QuantizedWeights] = []
    for _ in 0..<experts {
      let up = AlignedBuffer<Float>(count: 2 * hidden * channels)
      random.fill(up, scale: 1 / Float(channels).squareRoot())
      gateUp.append(try QuantizedWeights(up, n: 2 * hidden, k: channels, format: problem.format))
      random.fill(up, scale: 1 / Float(hidden).squareRoot())
      down.append(try unsafe QuantizedWeights(up.unsafePointer, n: channels, k: hidden, format: problem.format))
    }
    self.gateUp = gateUp
    self.down = down
    // Every expert as likely as the next: the first topK of a shuffle.
    var choices: [Int32] = []
    for _ in 0..<tokens {
      var all = (0..<Int32(experts)).map { $0 }
      for place in 0..<topK { all.swapAt(place, place + Int(random.next() % UInt64(experts - place))) }
      choices += all.prefix(topK)
    }
    let weights = choices.map { _ in Float(random.next() >> 40) * 0x1p-24 / Float(topK) }
    routing = try ExpertRouting(choices: choices, weights: weights, tokens: tokens, topK: topK, experts: experts)
  }
}

/// A mixture of experts and one Schedule.
final class PreparedMoE: PreparedProblem {
  let schedule: Schedule
  private let operands: MoEOperands
  private let operators: [MoEOperator]

  var problem: Problem { operands.problem }
  var copies: Int { operators.count }

  init(_ operands: MoEOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    func packed(_ all: [QuantizedWeights], gated: Bool) throws(KernelError) -> [PackedWeights] {
      var made: [PackedWeights] = []
      for weights in all { made.append(try PackedWeights(weights, for: kernel, gated: gated)) }
      return made
    }
    var operators: [MoEOperator] = []
    for _ in 0..<max(1, operands.copies) {
      operators.append(
        try MoEOperator(
          kernel: kernel, knobs: schedule.knobs, gateUp: packed(operands.gateUp, gated: true),
          down: packed(operands.down, gated: false),
          activation: operands.problem.epilogue.intersection(.activations), isas: operands.isas))
    }
    self.operators = operators
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedMoE(operands, schedule)
  }

  func run(copy: Int, on executor: any Executor) {
    let channels = problem.shape[.channels]
    unsafe operators[copy].run(
      operands.routing, x: operands.x.unsafePointer, ldx: channels, y: operands.y.unsafePointer, ldy: channels,
      workspace: operands.workspace, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) {
    let channels = problem.shape[.channels]
    ActivationRows.rewrite(
      unsafe [
        ActivationRows(operands.x.unsafePointer, columns: channels),
        ActivationRows(operands.y.unsafePointer, columns: channels),
      ], count: problem.shape[.tokens], on: executor)
  }

  /// Each step against the oracle, from what the step before it left: the gated products of a sample of rows, their
  /// products by the down matrices, and the sums of every token.
  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    let s = problem.shape
    let routing = operands.routing
    let workspace = operands.workspace
    workspace.h.poison()
    workspace.parts.poison()
    operands.y.poison()
    run(copy: 0, on: executor)
    let kernel = operators[0].gateUp[0].kernel
    let step = StepOracle(kernel: kernel, problem: problem, schedule: schedule, routing: routing)
    var worst = 0.0
    var checked = 0
    func take(_ result: (worst: Double, checked: Int)) {
      worst = max(worst, result.worst)
      checked += result.checked
    }
    take(
      try step.compare(
        "H", workspace.h, columns: s[.hidden], inputs: operands.x, k: s[.channels], weights: operands.gateUp,
        epilogue: problem.epilogue, inputRow: { routing.tokenOfRow[$0] }))
    take(
      try step.compare(
        "parts", workspace.parts, columns: s[.channels], inputs: workspace.h, k: s[.hidden], weights: operands.down,
        epilogue: [], inputRow: { $0 }))
    take(try sums())
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: checked)
  }

  private func sums() throws(KernelError) -> (worst: Double, checked: Int) {
    let routing = operands.routing
    let channels = problem.shape[.channels]
    var worst = 0.0
    for at in 0..<routing.tokens * channels {
      let (token, c) = (at / channels, at % channels)
      var value = 0.0
      var magnitude = 0.0
      for choice in token * routing.topK..<(token + 1) * routing.topK {
        let term = Double(routing.weights[choice]) * Double(operands.workspace.parts[routing.rowOfChoice[choice] * channels + c])
        value += term
        magnitude += abs(term)
      }
      let error = excess(Double(operands.y[at]), value, allowed: Double(routing.topK) * 2 * Tolerance.u * magnitude + 1e-40)
      guard error <= 1 else {
        throw KernelError(
          .wrongResult, "\(schedule) on \(problem): Y[\(token), \(c)] is \(operands.y[at]), its parts sum to \(value)",
          worstErrorOverTolerance: error)
      }
      worst = max(worst, error)
    }
    return (worst, routing.tokens * channels)
  }
}

/// One product of a mixture against the GEMM's oracle.
private struct StepOracle {
  let kernel: KernelDescriptor
  let problem: Problem
  let schedule: Schedule
  let routing: ExpertRouting

  /// Compares a sample of `found`, rows×columns.
  func compare(
    _ name: String, _ found: borrowing AlignedBuffer<Float>, columns: Int, inputs: borrowing AlignedBuffer<Float>, k: Int,
    weights: [QuantizedWeights], epilogue: Epilogue, inputRow: (Int) -> Int
  ) throws(KernelError) -> (worst: Double, checked: Int) {
    let samples = min(routing.rows * columns, 512)
    var random = OperandGenerator(seed: UInt64(columns &* 31 &+ routing.rows))
    var worst = 0.0
    for sample in 0..<samples {
      let index =
        samples == routing.rows * columns ? sample : Int(random.next() % UInt64(routing.rows * columns))
      let (row, column) = (index / columns, index % columns)
      let expert = (0..<routing.experts).first { row < routing.starts[$0 + 1] }!
      let own = AlignedBuffer<Float>(count: k)
      unsafe own.unsafePointer.update(from: inputs.unsafePointer + inputRow(row) * k, count: k)
      let activations = try OracleActivations(kernel: kernel, own, m: 1, k: k)
      var args = unsafe activations.arguments()
      unsafe args.epilogue = UInt32(epilogue.rawValue)
      var made = wc_gemm_element()
      try unsafe WallclockKernels.check(
        wc_gemm_reference(
          kernel.row, 1, weights[expert].n, k, &args, weights[expert].codes.unsafePointer,
          weights[expert].scales.unsafePointer, 0, column, &made), "the oracle of \(schedule.kernel)")
      let allowed = Tolerance.gemm(kernel, k: k, epilogue: epilogue, GemmElement(made))
      let error = excess(Double(found[index]), made.value, allowed: allowed)
      guard error <= 1 else {
        throw KernelError(
          .wrongResult,
          "\(schedule) on \(problem): \(name)[\(row), \(column)] of expert \(expert) is \(found[index]), the oracle says \(made.value): \(error)× the tolerance",
          worstErrorOverTolerance: error)
      }
      worst = max(worst, error)
    }
    return (worst, samples)
  }
}
