import CWallclockKernels
import WallclockCore

/// A GEMM Problem as a plug-in library runs it, by threads of its own; the executors it is given are not asked.
@safe package final class PreparedBackendGemm: PreparedProblem {
  package let schedule: Schedule
  /// Nanoseconds the library took to prepare one copy of the weights: the fastest of them.
  package let preparationNanoseconds: Double
  /// The first failure that a run reported. What ran after it means nothing.
  package private(set) var failure: BackendError?

  private let library: BackendLibrary
  private let operands: GemmOperands
  private let row: BackendProblem
  /// One for each copy of the weights.
  private let prepared: [UnsafeMutableRawPointer?]

  package var problem: Problem { operands.problem }
  package var copies: Int { unsafe prepared.count }

  /// - Parameters:
  ///   - machine: sizes the operand sets.
  ///   - now: nanoseconds of a monotonic clock.
  /// - Throws: `BackendError` when the library does not take the problem, or fails; `KernelError` when the operands
  ///   cannot be made.
  package init(
    _ library: BackendLibrary, _ problem: Problem, threads: Int, machine: Fingerprint, seed: UInt64 = 1,
    now: () -> UInt64
  ) throws {
    guard let row = library.description.row(for: problem) else {
      let taken = library.description.problems.map(\.description).joined(separator: ", ")
      throw BackendError(.unsupported, "\(library.description.name) does not take \(problem); it takes \(taken)")
    }
    self.library = library
    self.row = row
    schedule = Schedule(
      kernel: library.description.name, backend: .plugin(library.description.name), threads: threads)
    operands = try GemmOperands(
      problem, isas: Set(machine.isa), copies: problem.copiesForState(machine: machine), seed: seed)
    let gemm = unsafe Self.gemm(operands, row, threads: threads)
    var prepared = unsafe [UnsafeMutableRawPointer?]()
    var fastest = Double.infinity
    do {
      for _ in 0..<max(1, operands.copies) {
        let start = now()
        try unsafe prepared.append(library.prepare(gemm, of: problem))
        fastest = min(fastest, Double(now() - start))
      }
    } catch {
      unsafe prepared.forEach { unsafe library.release($0) }
      throw error
    }
    unsafe self.prepared = prepared
    preparationNanoseconds = fastest
  }

  deinit { unsafe prepared.forEach { unsafe library.release($0) } }

  private static func gemm(_ operands: GemmOperands, _ row: BackendProblem, threads: Int) -> wallclock_gemm {
    let shape = operands.problem.shape
    let types = row.row
    var gemm = unsafe wallclock_gemm()
    unsafe gemm.size = UInt32(MemoryLayout<wallclock_gemm>.size)
    unsafe gemm.op = types.op
    unsafe gemm.activations = types.activations
    unsafe gemm.weights = types.weights
    unsafe gemm.group = types.group
    unsafe gemm.epilogue = UInt32(operands.problem.epilogue.rawValue)
    unsafe gemm.threads = UInt32(threads)
    unsafe gemm.m = Int64(shape[.m])
    unsafe gemm.n = Int64(shape[.n])
    unsafe gemm.k = Int64(shape[.k])
    unsafe gemm.lda = gemm.k
    unsafe gemm.ldc = gemm.n
    unsafe gemm.ldr = gemm.n
    unsafe gemm.w = UnsafeRawPointer(operands.quantized.codes.unsafePointer)
    if operands.quantized.scales.count > 0 { unsafe gemm.w_scale = UnsafePointer(operands.quantized.scales.unsafePointer) }
    if operands.bias.count > 0 { unsafe gemm.bias = UnsafePointer(operands.bias.unsafePointer) }
    return unsafe gemm
  }

  package func rescheduled(_ schedule: Schedule) throws(KernelError) -> any PreparedProblem {
    throw KernelError(.unsupported, "\(self.schedule.kernel) has no schedules to choose from")
  }

  package func run(copy: Int, on executor: any Executor) {
    var call = unsafe wallclock_gemm_operands()
    unsafe call.size = UInt32(MemoryLayout<wallclock_gemm_operands>.size)
    unsafe call.a = UnsafePointer(operands.a.unsafePointer)
    // Version 1 knows no conversions: C is f32.
    unsafe call.c = UnsafeMutableRawPointer(operands.c.unsafePointer + copy % operands.outputs * operands.outputBytes)
      .assumingMemoryBound(to: Float.self)
    if operands.residual.count > 0 { unsafe call.residual = UnsafePointer(operands.residual.unsafePointer) }
    var message = wallclock_message()
    let status = unsafe library.run(prepared[copy], &call, &message)
    if status != WALLCLOCK_OK, failure == nil {
      failure = library.failure(status, message, in: "run", of: "\(problem)")
    }
  }

  package func rewriteActivations(copy: Int, on executor: any Executor) {
    if let parallel = unsafe library.parallel {
      operands.rewriteActivations(on: unsafe BackendThreads(parallel, prepared[copy], count: schedule.threads))
    } else {
      operands.rewriteActivations(on: SerialExecutor())
    }
  }

  /// Compares with the oracle, which multiplies the activations that the library's table promises.
  package func check(on executor: any Executor) throws(KernelError) -> CorrectnessCheck {
    operands.poisonOutput()
    run(copy: 0, on: executor)
    if let failure { throw KernelError(.rejected, failure.message) }
    var types = unsafe wc_kernel()
    unsafe types.op = WC_OP_gemm
    unsafe types.a = (row.activations == .bf16 ? ElementType.bf16 : .f32).c
    unsafe types.b = row.format.weightType.c
    unsafe types.nr = 1
    unsafe types.kr = 1
    unsafe types.layout = row.format.groupSize == nil ? WC_LAYOUT_panel : WC_LAYOUT_q4_panel
    return try unsafe compare(types)
  }

  private func compare(_ types: wc_kernel) throws(KernelError) -> CorrectnessCheck {
    let k = problem.shape[.k]
    let bf16 = row.activations == .bf16 ? try operands.oracleActivations(for: KernelTable.named("gemm_bf16bf16_scalar_1x8")) : nil
    var activations = unsafe bf16?.arguments() ?? wc_gemm_args()
    if bf16 == nil {
      unsafe activations.a = UnsafeRawPointer(operands.a.unsafePointer)
      unsafe activations.lda = k
    }
    let a: ElementType = bf16 == nil ? .f32 : .bf16
    return try unsafe withUnsafePointer(to: types) { row throws(KernelError) in
      try unsafe operands.compareOutput(with: row, activations, named: schedule) {
        Tolerance.gemm(
          a: a, b: problem.format.weightType, k: k, epilogue: problem.epilogue, $0.element, rounding: rounding(row: $0.row, column: $0.column))
      }
    }
  }

  /// What 8-bit activations may move an element by.
  private func rounding(row m: Int, column n: Int) -> Double {
    guard row.activations == .s8 else { return 0 }
    let k = problem.shape[.k]
    var greatest: Float = 0
    for i in 0..<k { greatest = max(greatest, abs(operands.a[m * k + i])) }
    var (absolute, squares) = (0.0, 0.0)
    for weight in operands.quantized.column(n) {
      absolute += abs(Double(weight))
      squares += Double(weight) * Double(weight)
    }
    return Tolerance.rounding(step: Double(greatest) / 127, absolute: absolute, squares: squares)
  }
}

/// The threads of a library, as far as it lends them.
@safe private final class BackendThreads: Executor, @unchecked Sendable {
  // Sendable: used by the one thread that made it, for the length of a call.
  private let parallel: wallclock_parallel_fn
  private let prepared: UnsafeMutableRawPointer?
  let workerCount: Int

  init(_ parallel: wallclock_parallel_fn, _ prepared: UnsafeMutableRawPointer?, count: Int) {
    unsafe self.parallel = parallel
    unsafe self.prepared = prepared
    workerCount = count
  }

  private final class Region {
    let count: Int
    let body: (Range<Int>, Int) -> Void
    init(count: Int, body: @escaping (Range<Int>, Int) -> Void) {
      self.count = count
      self.body = body
    }
  }

  func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      let region = Region(count: count, body: body)
      withExtendedLifetime(region) {
        // A library that lends no threads after all leaves the activations where they are.
        _ = unsafe parallel(
          prepared,
          { context, thread, threads in
            let region = unsafe Unmanaged<Region>.fromOpaque(context!).takeUnretainedValue()
            let (i, n) = (Int(thread), Int(max(1, threads)))
            guard i < n else { return }
            region.body(region.count * i / n..<region.count * (i + 1) / n, i)
          }, Unmanaged.passUnretained(region).toOpaque())
      }
    }
  }
}
