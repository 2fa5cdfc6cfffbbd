import Testing
import WallclockCore
@testable import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// A machine that is what a test says it is.
func machine(_ isa: [ISA], l1: Int = 32 << 10, l2: Int = 512 << 10) -> Fingerprint {
  Fingerprint(
    architecture: "x86_64", cpuVendor: "test", cpuModel: "test", microcode: "0", kernelRelease: "6",
    isa: isa,
    caches: [
      Cache(level: 1, kind: .data, bytes: l1, lineBytes: 64, ways: 8, sharedBy: 1),
      Cache(level: 2, kind: .unified, bytes: l2, lineBytes: 64, ways: 8, sharedBy: 1),
    ], sockets: 1, physicalCores: 2, logicalCPUs: 2, threadsPerCore: 1, nodes: [], cpuset: [0, 1],
    cpuQuota: nil, pageBytes: 4096)
}

/// A random Problem of any op, format and state.
func randomProblem(_ random: inout TestRandom, largest: Int) -> Problem {
  func size() -> Int {
    // Small sizes as likely as large ones.
    random.integer(1...Swift.max(1, largest >> random.integer(0...5)))
  }
  let state = OperandState.allCases.randomElement(using: &random)!
  switch random.integer(0...15) {
  case 0...5:
    let format = Format.all.randomElement(using: &random)!
    let group = format.groupSize ?? 1
    let k = (size() + group - 1) / group * group
    let epilogue = Epilogue.all.combinations.randomElement(using: &random)!
    let n = size()
    return .gemm(
      format, m: size(), n: epilogue.contains(.gated) ? n + n % 2 : n, k: k, epilogue: epilogue, state: state)
  case 11:
    return .mamba1(
      batch: random.integer(1...3), tokens: size(), channels: size(), state: random.integer(1...64), operands: state)
  case 15:
    return random.integer(0...1) == 0
      ? .rwkv4(batch: random.integer(1...3), tokens: size(), channels: size(), operands: state)
      : .s4d(batch: random.integer(1...3), tokens: size(), channels: size(), state: 2 * random.integer(1...40), operands: state)
  case 13:
    return .longConv(batch: random.integer(1...3), tokens: size(), channels: size(), state: state)
  case 12:
    return .causalConv1d(
      batch: random.integer(1...3), tokens: size(), channels: size(), width: random.integer(1...9), state: state)
  case 10:
    let format = Format.all.randomElement(using: &random)!
    let group = format.groupSize ?? 1
    func inner() -> Int { (size() + group - 1) / group * group }
    let experts = random.integer(1...9)
    return .moeGemm(
      format, tokens: random.integer(1...40), channels: inner(), hidden: inner(), experts: experts,
      topK: random.integer(1...experts),
      activation: [[], .silu, .gelu, .geluTanh, .relu].randomElement(using: &random)!, state: state)
  case 14:
    let keyHeads = random.integer(1...4)
    return .recurrence(
      Op.recurrences.randomElement(using: &random)!, batch: random.integer(1...3), tokens: size(),
      heads: keyHeads * random.integer(1...3), keyHeads: keyHeads, headDim: random.integer(1...200),
      stateRows: random.integer(1...80), state: state)
  case 6, 7:
    let kvHeads = random.integer(1...4)
    return .attention(
      Problem.attentionFormats.randomElement(using: &random)!, batch: random.integer(1...3), tokens: size(),
      context: random.integer(0...1) == 0 ? nil : size(), heads: kvHeads * random.integer(1...4), kvHeads: kvHeads,
      headDim: random.integer(1...80), mask: Mask.kinds.randomElement(using: &random)!)
  default:
    let ops = Op.allCases.filter { $0.kernelOp != .gemm && $0 != .attention && !$0.isRecurrence && !$0.isSequence }
    let op = ops.randomElement(using: &random)!
    if op.isRope {
      let half = random.integer(1...40)
      return .rope(
        op, batch: random.integer(1...3), tokens: size(), heads: random.integer(1...4), headDim: 2 * half + random.integer(0...1),
        rotary: 2 * random.integer(1...half), state: state)
    }
    if op == .topK || op == .sampling {
      let channels = size()
      return .selection(
        op, rows: size(), channels: channels, topK: op == .topK || random.integer(0...1) == 0 ? random.integer(1...min(256, channels)) : nil,
        state: state)
    }
    return .rowwise(op, rows: size(), channels: size())
  }
}

@Suite struct ScheduleSpaceTests {
  private static let machines = [
    machine([.scalar]), machine([.scalar, .avx2]), machine([.scalar], l1: 0, l2: 0),
    machine([.scalar, .avx2, .avx512, .avx512vnni, .avx512bf16], l1: 48 << 10, l2: 2 << 20),
  ]

  @Test func fewRowsAreLeftToVectors() throws {
    let server = machine([.scalar, .avx2, .avxvnni, .avx512, .avx512vnni, .avx512bf16, .amxint8, .amxbf16])
    for (format, tiled, vector) in [
      (Format.w8a8, ISA.amxint8, ISA.avx512vnni), (.bf16, .amxbf16, .avx512bf16),
    ] {
      for (m, isa) in [(1, vector), (3, vector), (4, tiled), (128, tiled)] {
        let schedule = try ScheduleSpace.standard(for: .gemm(format, m: m, n: 768, k: 768), threads: 1, machine: server)
        #expect(try KernelTable.named(schedule.kernel).isa == isa, "\(format), \(m) rows")
      }
    }
    let laptop = machine([.scalar, .avx2, .avxvnni])
    let schedule = try ScheduleSpace.standard(for: .gemm(.w8a8, m: 1, n: 768, k: 768), threads: 1, machine: laptop)
    #expect(try KernelTable.named(schedule.kernel).isa == .avxvnni)
  }

  /// Builds what the Schedule names, without running it.
  private func construct(_ schedule: Schedule, _ problem: Problem, _ isas: Set<ISA>) throws {
    let kernel = try KernelTable.named(schedule.kernel)
    let knobs = schedule.knobs
    switch problem.op {
    case .gemm:
      // A few rows and columns of weights do: knobs are checked against K and the kernel.
      let k = problem.shape[.k]
      let n = min(problem.shape[.n], 2)
      let weights = try PackedWeights(
        QuantizedWeights(AlignedBuffer<Float>(count: n * k), n: n, k: k, format: problem.format), for: kernel,
        gated: problem.epilogue.contains(.gated))
      _ = try GemmOperator(
        kernel: kernel, knobs: knobs, weights: weights,
        bias: AlignedBuffer(count: problem.epilogue.contains(.bias) ? n : 0), epilogue: problem.epilogue,
        isas: isas)
    case .moeGemm:
      // The fewest channels inside do.
      let (channels, hidden) = (problem.shape[.channels], problem.format.groupSize ?? 1)
      _ = try MoEOperator(
        kernel: kernel, knobs: knobs,
        gateUp: [PackedWeights(zeros(n: 2 * hidden, k: channels, problem.format), for: kernel, gated: true)],
        down: [PackedWeights(zeros(n: channels, k: hidden, problem.format), for: kernel)],
        activation: problem.epilogue.intersection(.activations), isas: isas)
    case .attention:
      _ = try AttentionOperator(kernel: kernel, knobs: knobs, isas: isas)
    case _ where problem.op.isRecurrence:
      _ = try RecurrenceOperator(kernel: kernel, knobs: knobs, isas: isas)
    case .mamba1: _ = try Mamba1Operator(kernel: kernel, knobs: knobs, isas: isas)
    case .causalConv1d: _ = try Conv1dOperator(kernel: kernel, knobs: knobs, isas: isas)
    case .rwkv4: _ = try RWKV4Operator(kernel: kernel, knobs: knobs, isas: isas)
    case .s4d where !kernel.isLongConvolution: _ = try S4DOperator(kernel: kernel, knobs: knobs, isas: isas)
    case .longConv, .s4d: _ = try LongConvOperator(kernel: kernel, knobs: knobs, isas: isas)
    default:
      _ = try RowwiseOperator(problem.op, kernel: kernel, knobs: knobs, isas: isas)
    }
  }

  private func zeros(n: Int, k: Int, _ format: Format) throws -> QuantizedWeights {
    try QuantizedWeights(AlignedBuffer<Float>(count: n * k), n: n, k: k, format: format)
  }

  @Test func everyScheduleIsOneAnOperatorTakes() throws {
    var random = TestRandom(seed: 21)
    var schedules = 0
    for turn in 0..<1000 {
      let problem = randomProblem(&random, largest: 4096)
      let machine = Self.machines[turn % Self.machines.count]
      let threads = random.integer(1...8)
      let grid = try ScheduleSpace.grid(for: problem, threads: threads, machine: machine)
      let standard = try ScheduleSpace.standard(for: problem, threads: threads, machine: machine)
      #expect(grid.first == standard, "\(problem)")
      #expect(Set(grid).count == grid.count, "\(problem)")
      #expect(grid.allSatisfy { $0.threads == threads })
      schedules += grid.count
      // The standard one and a few others of each grid.
      for index in Set([0, grid.count - 1, random.integer(0...grid.count - 1)]) {
        let schedule = grid[index]
        do { try construct(schedule, problem, Set(machine.isa)) } catch {
          Issue.record("\(schedule) on \(problem): \(error)")
        }
      }
    }
    print("schedule space: 1000 problems, \(schedules) schedules")
  }

  @Test func noPointsThatRunAlike() throws {
    // A knob left out is a default: leaving it out in one point and naming it in another is one point.
    for problem in [Problem.gemm(.f32, m: 128, n: 384, k: 384), .attention(batch: 1, tokens: 64, heads: 4, headDim: 32)] {
      let grid = try ScheduleSpace.grid(for: problem, threads: 1, machine: machine([.scalar, .avx2]))
      for schedule in grid {
        #expect(schedule.knobs.keys.sorted() == grid[0].knobs.keys.sorted(), "\(schedule)")
      }
    }
  }

  @Test func standardFollowsTheMachine() throws {
    let problem = Problem.gemm(.f32, m: 64, n: 512, k: 512)
    let scalar = try ScheduleSpace.standard(for: problem, threads: 1, machine: machine([.scalar]))
    #expect(scalar.kernel.contains("scalar"))
    let avx2 = try ScheduleSpace.standard(for: problem, threads: 1, machine: machine([.scalar, .avx2]))
    #expect(avx2.kernel.contains("avx2"))
    let small = try ScheduleSpace.standard(
      for: problem, threads: 1, machine: machine([.scalar, .avx2], l1: 4 << 10, l2: 32 << 10))
    #expect(small.knobs[.kc]! < avx2.knobs[.kc]!)
    #expect(throws: KernelError.self) {
      try ScheduleSpace.standard(for: problem, threads: 1, machine: machine([]))
    }
  }
}

@Suite struct KnobSpaceTests {
  private static let wide = machine(
    [.scalar, .avx2, .avx512, .avx512vnni, .avx512bf16], l1: 48 << 10, l2: 1 << 20)
  private static let problems: [Problem] = [
    .gemm(.f32, m: 128, n: 256, k: 256), .gemm(.w8a8, m: 128, n: 384, k: 384),
    .gemm(Format("w4a8-g32")!, m: 16, n: 384, k: 768), .gemm(.bf16, m: 64, n: 256, k: 384),
    .attention(batch: 1, tokens: 512, heads: 1, headDim: 64),
    .attention(.bf16, batch: 1, tokens: 1, context: 4096, heads: 32, kvHeads: 8, headDim: 128),
  ]

  @Test(arguments: problems)
  func aWideSpaceHasThousandsOfPointsEachOnce(problem: Problem) throws {
    let space = try KnobSpace(for: problem, threads: 1, machine: Self.wide)
    #expect(space.points.count >= 2000)
    #expect(Set(space.points).count == space.points.count)
    let schedules = Set(space.points.map(space.schedule(at:)))
    #expect(schedules.count == space.points.count)
    // One recommended point for each kernel, all of them legal; the standard kernel's first.
    #expect(Set(space.start).isSubset(of: space.points))
    #expect(Set(space.start.map { $0[0] }).count == space.start.count)
    let standard = try ScheduleSpace.standard(for: problem, threads: 1, machine: Self.wide)
    #expect(space.schedule(at: space.start[0]).kernel == standard.kernel)
  }

  /// Random Problems, whatever their sizes: every point is a Schedule that its operator takes.
  @Test func everyPointOfAnySpaceIsTaken() throws {
    var random = TestRandom(seed: 9)
    for _ in 0..<60 {
      let problem = randomProblem(&random, largest: 96)
      guard problem.op == .gemm || problem.op == .attention || problem.op.isRecurrence else { continue }
      let space = try KnobSpace(for: problem, threads: 2, machine: Self.wide)
      #expect(!space.points.isEmpty && !space.start.isEmpty)
      for _ in 0..<40 {
        let schedule = space.schedule(at: space.points.randomElement(using: &random)!)
        let kernel = try KernelTable.named(schedule.kernel)
        #expect(Set(schedule.knobs.keys).isSubset(of: kernel.knobs))
        if problem.op == .gemm {
          #expect(schedule.knobs[.mc]! % kernel.mr == 0 && schedule.knobs[.nc]! % kernel.nr == 0)
          _ = try GemmBlocking(kernel: kernel, n: problem.shape[.n], k: problem.shape[.k], knobs: schedule.knobs)
        } else if problem.op.isRecurrence {
          _ = try RecurrenceOperator(kernel: kernel, knobs: schedule.knobs, isas: Set(Self.wide.isa))
        } else {
          _ = try AttentionOperator(kernel: kernel, knobs: schedule.knobs, isas: Set(Self.wide.isa))
        }
      }
    }
  }
}
