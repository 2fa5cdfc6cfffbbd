import CWallclockKernels
import WallclockCore

/// Random activations and weights of a GEMM Problem, shared by its Schedules.
final class GemmOperands {
  let problem: Problem
  let isas: Set<ISA>
  let copies: Int
  let a: AlignedBuffer<Float>
  /// `outputs` times m × the columns of C, of the epilogue's output type, one after the other.
  let c: AlignedBuffer<UInt8>
  /// Columns of C.
  let columns: Int
  /// What a code counts in each row, when the epilogue makes codes.
  let codeScales: AlignedBuffer<Float>
  /// Runs write to these in turn. Inside a model an output is not where the last run of the op left it: it
  /// comes from the last-level cache, unless it is the sum with a residual, which is taken in place.
  let outputs: Int
  /// Of one C.
  let outputBytes: Int
  let residual: AlignedBuffer<Float>
  let bias: AlignedBuffer<Float>
  let quantized: QuantizedWeights
  /// One for all Schedules, which run one at a time: a Schedule is not faster for where its scratch lies.
  let workspace = GemmWorkspace()
  private var packed: [PackedLayout: [PackedWeights]] = [:]
  private var oracles: [ElementType: OracleActivations] = [:]

  init(_ problem: Problem, isas: Set<ISA>, copies: Int, seed: UInt64) throws(KernelError) {
    self.problem = problem
    self.isas = isas
    self.copies = copies
    let s = problem.shape
    let (m, n, k) = (s[.m], s[.n], s[.k])
    var random = OperandGenerator(seed: seed)
    let w = AlignedBuffer<Float>(count: n * k)
    random.fill(w, scale: 1 / Float(max(1, k)).squareRoot())
    quantized = try QuantizedWeights(w, n: n, k: k, format: problem.format)
    a = AlignedBuffer(count: m * k)
    random.fill(a, scale: 1)
    let spread = problem.state == .hot || problem.epilogue.contains(.residual) ? 0 : Self.spreadBytes
    columns = problem.epilogue.outputs(n: n)
    outputBytes = m * columns * Int(problem.epilogue.outputType.bitsPerValue) / 8
    outputs = max(1, min(copies, spread / max(1, outputBytes)))
    c = AlignedBuffer(count: outputs * outputBytes)
    // Outputs are about 1 in size: most fit, some saturate.
    let makesCodes = problem.epilogue.contains(.s8) || problem.epilogue.contains(.u8)
    codeScales = AlignedBuffer((0..<(makesCodes ? m : 0)).map { 0.01 + Float($0 % 7) * 0.003 })
    residual = AlignedBuffer(count: problem.epilogue.contains(.residual) ? m * columns : 0)
    random.fill(residual, scale: 1)
    bias = AlignedBuffer<Float>(count: problem.epilogue.contains(.bias) ? n : 0)
    random.fill(bias, scale: 0.1)
  }

  /// More than a core's private caches hold beside the rest.
  private static let spreadBytes = 4 << 20

  /// Weights packed for `kernel`, `copies` times; the layouts of the last two kinds stay.
  func weights(for kernel: KernelDescriptor) throws(KernelError) -> [PackedWeights] {
    let layout = PackedLayout(kernel)
    if let found = packed[layout] { return found }
    if packed.count > 1 { packed.removeAll() }
    let first = try PackedWeights(quantized, for: kernel, gated: problem.epilogue.contains(.gated))
    let all = [first] + (1..<max(1, copies)).map { _ in PackedWeights(copying: first) }
    packed[layout] = all
    return all
  }

  /// The activations as `kernel` takes them, made by the scalar quantiser.
  func oracleActivations(for kernel: KernelDescriptor) throws(KernelError) -> OracleActivations {
    if let found = oracles[kernel.a!], found.serves(kernel) { return found }
    let made = try OracleActivations(kernel: kernel, a, m: problem.shape[.m], k: problem.shape[.k])
    oracles[kernel.a!] = made
    return made
  }
}

extension GemmOperands {
  /// Writes what a run reads and writes beside weights, values unchanged, by all workers.
  func rewriteActivations(on executor: any Executor) {
    let s = problem.shape
    var rows = unsafe [ActivationRows(a.unsafePointer, columns: s[.k])]
    if problem.epilogue.contains(.residual) {
      unsafe rows.append(ActivationRows(residual.unsafePointer, columns: columns))
      unsafe rows.append(ActivationRows(c.unsafePointer, columns: outputBytes / max(1, s[.m])))
    }
    ActivationRows.rewrite(rows, count: s[.m], on: executor)
  }
}

/// A GEMM Problem and one Schedule.
final class PreparedGemm: PreparedProblem {
  let schedule: Schedule
  private let operands: GemmOperands
  private let operators: [GemmOperator]

  var problem: Problem { operands.problem }
  var copies: Int { operators.count }

  init(_ operands: GemmOperands, _ schedule: Schedule) throws(KernelError) {
    self.schedule = schedule
    self.operands = operands
    let kernel = try operands.problem.kernel(of: schedule, isas: operands.isas)
    var operators: [GemmOperator] = []
    for weights in try operands.weights(for: kernel) {
      operators.append(
        try GemmOperator(
          kernel: kernel, knobs: schedule.knobs, weights: weights,
          bias: AlignedBuffer(operands.bias.array()), epilogue: operands.problem.epilogue,
          isas: operands.isas))
    }
    self.operators = operators
  }

  func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    try PreparedGemm(operands, schedule)
  }

  func run(copy: Int, on executor: any Executor) {
    let s = problem.shape
    unsafe operators[copy].run(
      m: s[.m], a: operands.a.unsafePointer, lda: s[.k],
      c: operands.c.unsafePointer + copy % operands.outputs * operands.outputBytes, ldc: operands.columns,
      residual: operands.residual.unsafePointer, ldr: operands.columns, codeScales: operands.codeScales.unsafePointer,
      workspace: operands.workspace, on: executor)
  }

  func rewriteActivations(copy: Int, on executor: any Executor) { operands.rewriteActivations(on: executor) }

  func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    let kernel = operators[0].kernel
    operands.poisonOutput()
    run(copy: 0, on: executor)
    // The oracle starts from the activations as the kernel sees them, made by the scalar quantiser.
    let activations = try operands.oracleActivations(for: kernel)
    return try unsafe operands.compareOutput(with: kernel.row, activations.arguments(), named: schedule) {
      Tolerance.gemm(
        kernel, k: operands.problem.shape[.k], epilogue: problem.epilogue, $0.element, scale: $0.codeScale)
    }
  }
}

/// One element of C as the oracle makes it.
struct OracleElement {
  var row: Int
  var column: Int
  var element: GemmElement
  /// What a code counts in its row.
  var codeScale: Double
}

extension GemmOperands {
  /// Fills C with what no run leaves there: NaN, or a code that is none.
  func poisonOutput() {
    let byte: UInt8 =
      switch problem.epilogue.outputType {
      case .s8: 0x80
      case .u8: 0
      default: 0xFF
      }
    unsafe c.unsafePointer.update(repeating: byte, count: c.count)
  }

  /// Element `index` of the first output, codes without the 128 of u8; NaN for a code that is none.
  private func output(_ index: Int) -> Double {
    let p = unsafe UnsafeRawPointer(c.unsafePointer)
    return switch problem.epilogue.outputType {
    case .bf16:
      unsafe Double(Float(bitPattern: UInt32(p.load(fromByteOffset: 2 * index, as: UInt16.self)) << 16))
    case .s8: unsafe Self.code(Double(p.load(fromByteOffset: index, as: Int8.self)))
    case .u8: unsafe Self.code(Double(p.load(fromByteOffset: index, as: UInt8.self)) - 128)
    default: unsafe Double(p.load(fromByteOffset: 4 * index, as: Float.self))
    }
  }

  private static func code(_ value: Double) -> Double { value == -128 ? .nan : value }

  /// Compares what a run left in the first output with the oracle: everything when it is small, else the
  /// corners and a sample.
  ///
  /// - Parameters:
  ///   - row: the types of A and B that the oracle multiplies, and the panels that a gate's bias follows.
  ///   - activations: the A side of a call.
  ///   - allowed: how far the output may be from an element.
  /// - Throws: `KernelError.wrongResult`, naming the worst element.
  func compareOutput(
    with row: UnsafePointer<wc_kernel>, _ activations: wc_gemm_args, named schedule: Schedule,
    allowed: (OracleElement) -> Double
  ) throws(KernelError) -> CorrectnessCheck {
    let s = problem.shape
    let (m, n, k) = (s[.m], s[.n], s[.k])
    let isGated = problem.epilogue.contains(.gated)
    let packedBias = unsafe isGated ? GatedOrder(KernelDescriptor(row: row), n: n).arranged(bias) : AlignedBuffer(count: 0)
    var args = unsafe activations
    unsafe args.bias =
      problem.epilogue.contains(.bias) ? UnsafePointer(isGated ? packedBias.unsafePointer : bias.unsafePointer) : nil
    unsafe args.residual = problem.epilogue.contains(.residual) ? UnsafePointer(residual.unsafePointer) : nil
    unsafe args.ldr = columns
    unsafe args.c_scale = UnsafePointer(codeScales.unsafePointer)
    unsafe args.c_scale_step = 1
    unsafe args.epilogue = UInt32(problem.epilogue.rawValue)
    var random = OperandGenerator(seed: UInt64(m &* 31 &+ n))
    let samples = min(m * columns, 512)
    var worst = 0.0
    var worstAt = (row: 0, column: 0, found: 0.0, expected: 0.0)
    for sample in 0..<samples {
      let index =
        samples == m * columns
        ? sample
        : sample < 4
          ? (sample & 1) * (columns - 1) + (sample >> 1) * (m - 1) * columns
          : Int(random.next() % UInt64(m * columns))
      let (i, j) = (index / columns, index % columns)
      var made = wc_gemm_element()
      try unsafe WallclockKernels.check(
        wc_gemm_reference(
          row, m, n, k, &args, quantized.codes.unsafePointer, quantized.scales.unsafePointer, i, j, &made),
        "the oracle of \(schedule.kernel)")
      let element = OracleElement(
        row: i, column: j, element: GemmElement(made), codeScale: codeScales.count > 0 ? Double(codeScales[i]) : 1)
      let found = output(index)
      let error = excess(found, made.value, allowed: allowed(element))
      if error > worst {
        worst = error
        worstAt = (i, j, found, made.value)
      }
    }
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult,
        "\(schedule) on \(problem): C[\(worstAt.row), \(worstAt.column)] is \(worstAt.found), the oracle says \(worstAt.expected): \(worst)× the tolerance",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: samples)
  }
}

/// Activations as a GEMM kernel takes them, made by the scalar quantiser: the oracle's A operand.
package final class OracleActivations {
  private let kernel: KernelDescriptor
  private let values: AlignedBuffer<UInt8>
  private let scales: AlignedBuffer<Float>
  private let offsets: AlignedBuffer<Float>
  private let sums: AlignedBuffer<Int32>
  private let stride: Int
  private let groups: Int
  /// Of scales, where rows have several.
  private let scaleStride: Int

  /// - Parameter a: `m×k` f32, row-major.
  package init(
    kernel: KernelDescriptor, _ a: borrowing AlignedBuffer<Float>, m: Int, k: Int
  ) throws(KernelError) {
    self.kernel = kernel
    let type = kernel.a!
    let group = kernel.b?.groupSize ?? 0
    groups = group > 0 ? (k + group - 1) / group : 0
    stride = (k + kernel.kr - 1) / kernel.kr * kernel.kr
    let elementBytes = Int(type.bitsPerValue) / 8
    values = AlignedBuffer(count: m * stride * elementBytes)
    scaleStride = kernel.b == .s8g32 ? groups : 0
    scales = AlignedBuffer(count: m * max(1, scaleStride))
    offsets = AlignedBuffer(count: kernel.centresActivations ? m : 0)
    sums = AlignedBuffer(count: m * groups)
    if type == .f32 {
      let out = unsafe UnsafeMutableRawPointer(values.unsafePointer).assumingMemoryBound(to: Float.self)
      for row in 0..<m { unsafe (out + row * stride).update(from: a.unsafePointer + row * k, count: k) }
      return
    }
    var args = unsafe wc_rowwise_args()
    unsafe args.rows = m
    unsafe args.columns = k
    unsafe args.x = UnsafePointer(a.unsafePointer)
    unsafe args.ldx = k
    unsafe args.q = UnsafeMutableRawPointer(values.unsafePointer)
    unsafe args.ldq = stride
    unsafe args.scale = scales.unsafePointer
    unsafe args.ld_scale = scaleStride
    unsafe args.offset = offsets.count > 0 ? offsets.unsafePointer : nil
    unsafe args.sums = groups > 0 ? sums.unsafePointer : nil
    unsafe args.ld_sums = groups
    unsafe args.group = group
    let quantizer = try KernelTable.quantizer(to: type, isas: [.scalar])
    try unsafe WallclockKernels.check(quantizer.row.pointee.rowwise!(&args), quantizer.name)
  }

  func serves(_ other: KernelDescriptor) -> Bool {
    kernel.a == other.a && kernel.kr == other.kr && kernel.b?.groupSize == other.b?.groupSize
      && (kernel.b == .s8g32) == (other.b == .s8g32)
  }

  /// The A side of a GEMM call; valid while this object lives.
  package func arguments() -> wc_gemm_args {
    var args = unsafe wc_gemm_args()
    unsafe args.a = UnsafeRawPointer(values.unsafePointer)
    unsafe args.lda = stride
    unsafe args.a_scale = UnsafePointer(scales.unsafePointer)
    unsafe args.lda_scale = scaleStride
    unsafe args.a_offset = offsets.count > 0 ? UnsafePointer(offsets.unsafePointer) : nil
    unsafe args.a_sum = groups > 0 ? UnsafePointer(sums.unsafePointer) : nil
    unsafe args.lda_sum = groups
    return unsafe args
  }
}
