import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport
import WallclockThreads

/// Operators over executors: the same bits for any number of workers in any order, and errors for
/// what they cannot take.
@Suite struct OperatorTests {
  /// Writing activations anew, as warm and cold timing does before each run, changes none of them.
  @Test(arguments: [
    Problem.gemm(.f32, m: 37, n: 33, k: 29, epilogue: [.bias, .residual], state: .warm),
    .gemm(.w8a8, m: 9, n: 64, k: 64, state: .cold),
    .attention(batch: 2, tokens: 19, heads: 3, headDim: 8, state: .warm),
    .recurrence(.rwkv7, batch: 2, tokens: 11, heads: 3, headDim: 8, state: .cold),
    .rowwise(.layerNorm, rows: 21, channels: 13, state: .warm),
    .rowwise(.residual, rows: 21, channels: 13, state: .cold),
    .rowwise(.embedding, rows: 21, channels: 13, state: .warm),
    .rowwise(.meanPool, rows: 140, channels: 5, state: .warm),
    .mamba1(batch: 2, tokens: 7, channels: 37, state: 3, operands: .warm),
    .causalConv1d(batch: 2, tokens: 7, channels: 37, width: 4, state: .warm),
    .longConv(batch: 2, tokens: 70, channels: 37, state: .warm),
    .rwkv4(batch: 2, tokens: 7, channels: 37, operands: .warm), .s4d(batch: 2, tokens: 7, channels: 37, state: 6, operands: .warm),
  ])
  func rewrittenActivationsKeepTheirValues(_ problem: Problem) throws {
    let host = Machine.host.fingerprint
    let executor = ScramblingExecutor(workers: 3, seed: 1)
    let schedule = try ScheduleSpace.standard(for: problem, threads: 1, machine: host)
    let prepared = try problem.prepare(schedule, machine: host)
    for copy in [0, prepared.copies - 1] {
      prepared.rewriteActivations(copy: copy, on: executor)
      _ = try prepared.check(on: executor)
    }
  }

  /// Warm weights come from the last-level cache: more of them than the private caches hold, no more
  /// than half of it.
  @Test func warmWeightsOutgrowThePrivateCaches() {
    let caches = [(1, 48 << 10), (2, 1 << 20), (3, 32 << 20)].map { level, bytes in
      Cache(level: level, kind: level == 1 ? .data : .unified, bytes: bytes, lineBytes: 64, ways: 8, sharedBy: 1)
    }
    var host = machine([.scalar])
    host.caches = caches
    let small = Problem.gemm(.w8a8, m: 128, n: 384, k: 384, state: .warm)
    let bytes = Double(small.copiesForState(machine: host) * small.format.weightBytes(n: 384, k: 384))
    #expect(bytes > 2 * Double(1 << 20) && bytes <= Double(16 << 20))
    #expect(Problem.gemm(.f32, m: 1, n: 4096, k: 4096, state: .warm).copiesForState(machine: host) == 1)
    let cold = Problem.gemm(.w8a8, m: 128, n: 384, k: 384, state: .cold)
    #expect(cold.copiesForState(machine: host) * cold.format.weightBytes(n: 384, k: 384) > 64 << 20)
  }

  static let cpus = Machine.host.fingerprint.cpuset

  /// One worker, two, three on however many CPUs there are, and ranges handed out in random order.
  private static func executors() throws -> [(name: String, executor: any Executor)] {
    let second = cpus.count > 1 ? cpus[1] : cpus[0]
    return [
      ("1 worker", try ThreadPool(cpus: [cpus[0]])),
      ("2 workers", try ThreadPool(cpus: [cpus[0], second])),
      ("3 workers", try ThreadPool(cpus: [cpus[0], second, cpus[0]])),
      ("scrambled, 1 worker", ScramblingExecutor(workers: 1, seed: 1)),
      ("scrambled, 4 workers", ScramblingExecutor(workers: 4, seed: 2)),
    ]
  }

  private static func random(_ count: Int, seed: UInt64) -> AlignedBuffer<Float> {
    var random = TestRandom(seed: seed)
    return AlignedBuffer((0..<count).map { _ in Float(random.normal()) })
  }

  private static func bits(_ buffer: borrowing AlignedBuffer<Float>) -> [UInt32] {
    buffer.array().map(\.bitPattern)
  }

  @Test(arguments: KernelTable.all.filter { $0.op == .gemm })
  func gemmHasTheSameBitsForAnyWorkers(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let (m, n, k) = (3 * kernel.mr + 1, 5 * kernel.nr + 4, 384)
    let format = try #require(Format.all.first { kernel.serves($0) })
    // Pools block signals, by which instructions are modelled.
    let executors = try Self.executors().filter { !(kernel.runs(on: modelledISAs) && $0.1 is ThreadPool) }
    for ends in [[.bias, .gelu, .residual], [.bias, .silu, .gated, .bf16], [.geluTanh, .gated, .u8]] as [Epilogue] {
      let weights = try PackedWeights(
        QuantizedWeights(Self.random(n * k, seed: 1), n: n, k: k, format: format), for: kernel,
        gated: ends.contains(.gated))
      let knobs: [Knob: Int] = [.mc: kernel.mr + 1, .nc: 2 * kernel.nr, .kc: 128, .prefetch: 256]
      let gemm = try GemmOperator(
        kernel: kernel, knobs: knobs, weights: weights,
        bias: ends.contains(.bias) ? Self.random(n, seed: 2) : AlignedBuffer(count: 0), epilogue: ends, isas: testedISAs)
      let outputs = ends.outputs(n: n)
      let codeScales = AlignedBuffer<Float>([0.05])
      let a = Self.random(m * k, seed: 3)
      let residual = Self.random(m * n, seed: 4)

      func run(_ executor: any Executor) -> [UInt32] {
        let c = AlignedBuffer<Float>(count: m * outputs)
        unsafe gemm.run(
          m: m, a: a.unsafePointer, lda: k, c: c.unsafePointer, ldc: outputs, residual: residual.unsafePointer,
          ldr: outputs, codeScales: codeScales.unsafePointer, codeScaleStep: 0, workspace: GemmWorkspace(), on: executor)
        return Self.bits(c)
      }
      let serial = run(SerialExecutor())
      #expect(!serial.allSatisfy { $0 == 0 })
      for (name, executor) in executors {
        #expect((run(executor) == serial) as Bool, "\(kernel.name), \(ends), \(name)")
      }
    }
    report(kernel, "\(m)×\(n)×\(k) on \(executors.count) executors")
  }

  @Test(arguments: KernelTable.all.filter { $0.op == .attention })
  func attentionHasTheSameBitsForAnyWorkers(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    for (starts, heads) in [([0, 37], 1), ([0, 1, 30, 30, 77], 3)] {
      let headDim = 32
      let width = heads * headDim
      let rows = starts.last!
      let qkv = Self.random(rows * 3 * width, seed: 5)
      let attention = try AttentionOperator(kernel: kernel, knobs: [.bq: 8, .bk: 16], isas: testedISAs)
      func run(_ executor: any Executor, _ mask: Mask) -> [UInt32] {
        let o = AlignedBuffer<Float>(count: rows * width)
        let base = unsafe UnsafePointer(qkv.unsafePointer)
        unsafe attention.run(
          starts: starts.span, heads: heads, headDim: headDim, q: base, k: base + width,
          v: base + 2 * width, stride: 3 * width, o: o.unsafePointer, ldo: width, scale: 0.2, mask: mask,
          workspace: AttentionWorkspace(), on: executor)
        return Self.bits(o)
      }
      for mask in Mask.kinds {
        let serial = run(SerialExecutor(), mask)
        #expect(!serial.allSatisfy { $0 == 0 })
        for (name, executor) in try Self.executors() {
          #expect((run(executor, mask) == serial) as Bool, "\(kernel.name), \(name), \(heads) heads, \(mask)")
        }
      }
    }
    report(kernel, "2 batches on 5 executors")
  }

  @Test func oneWorkspaceServesOperatorsInTurn() throws {
    // A small call after a large one must not read what the large one left behind.
    let workspace = GemmWorkspace()
    for format in Format.all + Format.all.reversed() {
      for (m, n, k) in [(40, 96, 512), (3, 17, 128)] {
        let problem = Problem.gemm(format, m: m, n: n, k: k)
        let kernel = try #require(KernelTable.serving(problem, isas: hostISAs).first)
        let weights = try PackedWeights(
          QuantizedWeights(Self.random(n * k, seed: 6), n: n, k: k, format: format), for: kernel)
        let gemm = try GemmOperator(
          kernel: kernel, knobs: [.kc: 128], weights: weights, bias: AlignedBuffer(count: 0), epilogue: [],
          isas: hostISAs)
        let a = Self.random(m * k, seed: 7)
        func run(_ workspace: GemmWorkspace) -> [UInt32] {
          let c = AlignedBuffer<Float>(count: m * n)
          unsafe gemm.run(
            m: m, a: a.unsafePointer, lda: k, c: c.unsafePointer, ldc: n, workspace: workspace,
            on: SerialExecutor())
          return Self.bits(c)
        }
        #expect(run(workspace) == run(GemmWorkspace()), "\(format) \(m)×\(n)×\(k)")
      }
    }
  }

  // MARK: - Errors

  private static func weights(
    _ format: Format, for kernel: String, n: Int = 16, k: Int = 128
  ) throws -> PackedWeights {
    try PackedWeights(
      QuantizedWeights(random(n * k, seed: 8), n: n, k: k, format: format), for: KernelTable.named(kernel))
  }

  private func codeOfGemm(
    _ name: String = "gemm_f32f32_scalar_1x8", weights: PackedWeights? = nil, knobs: [Knob: Int] = [:],
    bias: Int = 0, epilogue: Epilogue = [], isas: Set<ISA> = [.scalar]
  ) throws -> KernelError.Code? {
    let weights = try weights ?? Self.weights(.f32, for: "gemm_f32f32_scalar_1x8")
    do {
      _ = try GemmOperator(
        kernel: KernelTable.named(name), knobs: knobs, weights: weights, bias: AlignedBuffer(count: bias),
        epilogue: epilogue, isas: isas)
      return nil
    } catch {
      #expect(!error.message.isEmpty)
      return error.code
    }
  }

  @Test func gemmRefusesWhatItCannotTake() throws {
    #expect(try codeOfGemm() == nil)
    #expect(try codeOfGemm(isas: []) == .missingISA)
    #expect(try codeOfGemm(bias: 16, epilogue: .bias) == nil)
    #expect(try codeOfGemm(bias: 15, epilogue: .bias) == .shapeMismatch)
    #expect(try codeOfGemm(bias: 16) == .shapeMismatch)
    #expect(try codeOfGemm(epilogue: Epilogue(rawValue: 1 << 20)) == .unsupported)
    #expect(try codeOfGemm(epilogue: [.silu, .relu]) == .unsupported)
    #expect(try codeOfGemm(epilogue: [.silu, .gated]) == .shapeMismatch, "packed without its gates")
    for knob in [Knob.bq, .bk, .rows] { #expect(try codeOfGemm(knobs: [knob: 8]) == .badKnob) }
    for knob in [Knob.mc, .nc, .kc] {
      for value in [0, -1, Int.min, Int.max] { #expect(try codeOfGemm(knobs: [knob: value]) == .badKnob) }
    }
    #expect(try codeOfGemm(knobs: [.nc: 12]) == .badKnob, "no multiple of nr")
    #expect(try codeOfGemm(knobs: [.kc: 6]) == .badKnob, "no multiple of the step")
    #expect(try codeOfGemm(knobs: [.prefetch: -1]) == .badKnob)
    #expect(try codeOfGemm(knobs: [.prefetch: 0]) == nil)
    #expect(try codeOfGemm("gelu_f32_scalar") == .unsupported)
    let int8 = try Self.weights(.w8a8, for: "gemm_s8s8_scalar_1x8")
    #expect(try codeOfGemm(weights: int8) == .shapeMismatch, "packed for another type")
    let int4 = try Self.weights(.w4a8g64, for: "gemm_s8q4g64_scalar_1x8")
    #expect(try codeOfGemm("gemm_s8q4g64_scalar_1x8", weights: int4) == nil)
    #expect(try codeOfGemm("gemm_f32q4g64_scalar_1x8", weights: int4) == nil, "equal layouts are shared")
    #expect(try codeOfGemm("gemm_s8q4g64_scalar_1x8", weights: int4, knobs: [.kc: 32]) == .badKnob)
  }

  @Test func weightsRefuseWhatTheyCannotHold() throws {
    let kernel = try KernelTable.named("gemm_f32f32_scalar_1x8")
    func code(_ count: Int, n: Int, k: Int, _ format: Format) -> KernelError.Code? {
      do {
        _ = try QuantizedWeights(AlignedBuffer<Float>(count: count), n: n, k: k, format: format)
        return nil
      } catch { return error.code }
    }
    #expect(code(12, n: 3, k: 4, .f32) == nil)
    #expect(code(11, n: 3, k: 4, .f32) == .shapeMismatch)
    #expect(code(3 * 96, n: 3, k: 96, .w4a8g32) == nil)
    #expect(code(3 * 96, n: 3, k: 96, .w4a8g64) == .shapeMismatch, "64 does not divide 96")
    let weights = try QuantizedWeights(AlignedBuffer<Float>(count: 12), n: 3, k: 4, format: .w8a8)
    #expect(throws: KernelError.self) { _ = try PackedWeights(weights, for: kernel) }
    var notFinite = [Float](repeating: 1, count: 64)
    notFinite[5] = .nan
    for format in [Format.w8a8, .w4a8g32] {
      #expect(throws: KernelError.self, "\(format)") {
        _ = try QuantizedWeights(AlignedBuffer(notFinite), n: 2, k: 32, format: format)
      }
    }
  }

  @Test func otherOperatorsRefuseWhatTheyCannotTake() throws {
    let attention = try KernelTable.named("attention_f32f32_scalar_4x4")
    let gelu = try KernelTable.named("gelu_f32_scalar")
    func code(_ body: () throws(KernelError) -> Void) -> KernelError.Code? {
      do { try body() } catch { return error.code }
      return nil
    }
    func codeOfAttention(
      _ kernel: KernelDescriptor, _ knobs: [Knob: Int], _ isas: Set<ISA>
    ) -> KernelError.Code? {
      code { () throws(KernelError) in _ = try AttentionOperator(kernel: kernel, knobs: knobs, isas: isas) }
    }
    #expect(codeOfAttention(attention, [:], [.scalar]) == nil)
    #expect(codeOfAttention(attention, [:], [.avx2]) == .missingISA)
    #expect(codeOfAttention(gelu, [:], [.scalar]) == .unsupported)
    #expect(codeOfAttention(attention, [.kc: 8], [.scalar]) == .badKnob)
    #expect(codeOfAttention(attention, [.bq: 0], [.scalar]) == .badKnob)
    #expect(codeOfAttention(attention, [.bk: Int.max], [.scalar]) == .badKnob)

    func codeOfRows(_ op: Op, _ knobs: [Knob: Int], _ isas: Set<ISA>) -> KernelError.Code? {
      code { () throws(KernelError) in _ = try RowwiseOperator(op, kernel: gelu, knobs: knobs, isas: isas) }
    }
    #expect(codeOfRows(.gelu, [:], [.scalar]) == nil)
    #expect(codeOfRows(.gelu, [:], [.avx512]) == .missingISA)
    #expect(codeOfRows(.residual, [:], [.scalar]) == .unsupported)
    #expect(codeOfRows(.gelu, [.rows: 0], [.scalar]) == .badKnob)
    #expect(codeOfRows(.gelu, [.mc: 4], [.scalar]) == .badKnob)
  }

  @Test func dispatchTakesTheHighestISAItIsTold() throws {
    let problem = Problem.gemm(.w8a8, m: 4, n: 16, k: 32)
    #expect(KernelTable.serving(problem, isas: []).isEmpty)
    let scalar = KernelTable.serving(problem, isas: [.scalar])
    #expect(scalar.map(\.name) == ["gemm_s8s8_scalar_1x8"])
    for isas in [[ISA.scalar], [.scalar, .avx2], [.scalar, .avx2, .avx512], ISA.allCases] {
      for op in Op.allCases {
        let rows = KernelTable.rows(op, isas: Set(isas))
        #expect(rows.allSatisfy { isas.contains($0.isa) })
        let order = rows.map(\.isa)
        #expect(order == order.sorted(by: >), "\(op) on \(isas)")
      }
      for type in [ElementType.s8, .u8, .s16, .bf16] {
        let kernel = try KernelTable.quantizer(to: type, isas: Set(isas))
        let best = KernelTable.all.filter { $0.op == .quantize && $0.c == type && isas.contains($0.isa) }
          .map(\.isa).max()
        #expect(kernel.c == type && kernel.isa == best)
      }
    }
    #expect(throws: KernelError.self) { try KernelTable.quantizer(to: .s8, isas: []) }
    #expect(throws: KernelError.self) { try KernelTable.named("gemm_f32f32_scalar_1x9") }
  }

  @Test func tableIsSound() {
    #expect(Set(KernelTable.all.map(\.name)).count == KernelTable.all.count)
    for kernel in KernelTable.all {
      let row = kernel.name.split(separator: "_").map(String.init)
      #expect(row.contains(kernel.isa.rawValue), "\(kernel.name) names another ISA than its row")
      if kernel.op == .gemm || kernel.op == .attention {
        #expect(row.last == "\(kernel.mr)x\(kernel.nr)", "\(kernel.name) names another tile than its row")
        #expect(row[1] == "\(kernel.a!.rawValue)\(kernel.b!.rawValue)", "\(kernel.name) names other types")
      }
      if kernel.op == .gemm {
        #expect(Format.all.contains { kernel.serves($0) }, "\(kernel.name) serves no format")
      }
    }
    // Every format and op runs on a host with nothing but plain code.
    for format in Format.all {
      #expect(!KernelTable.serving(.gemm(format, m: 1, n: 1, k: 128), isas: [.scalar]).isEmpty, "\(format)")
    }
    for op in Op.allCases { #expect(!KernelTable.rows(op, isas: [.scalar]).isEmpty, "\(op)") }
  }
}
