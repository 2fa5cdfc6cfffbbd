import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport
import WallclockThreads

#if canImport(Glibc)
  import Glibc
#endif

/// Mixtures of experts against a plain loop in f64, and the same bits on any threads.
@Suite struct MoETests {
  /// A mixture's operands. Some experts may have no token.
  private struct Mixture {
    let format: Format
    let tokens, channels, hidden, experts, topK: Int
    let activation: Epilogue
    var choices: [Int32] = []
    var weights: [Float] = []
    let x: [Float]
    var gateUp: [QuantizedWeights] = []
    var down: [QuantizedWeights] = []

    /// - Parameter reach: tokens go to the first so many experts only.
    init(
      _ format: Format, tokens: Int, channels: Int, hidden: Int, experts: Int, topK: Int, reach: Int,
      activation: Epilogue = .silu, seed: UInt64 = 1
    ) throws {
      self.format = format
      (self.tokens, self.channels, self.hidden) = (tokens, channels, hidden)
      (self.experts, self.topK, self.activation) = (experts, topK, activation)
      var random = TestRandom(seed: seed)
      x = (0..<tokens * channels).map { _ in random.signed() }
      for _ in 0..<tokens {
        choices += (0..<Int32(reach)).shuffled(using: &random).prefix(topK)
        weights += (0..<topK).map { _ in random.signed() }
      }
      for _ in 0..<experts {
        let up = AlignedBuffer((0..<2 * hidden * channels).map { _ in random.signed() * 0.2 })
        gateUp.append(try QuantizedWeights(up, n: 2 * hidden, k: channels, format: format))
        let down = AlignedBuffer((0..<channels * hidden).map { _ in random.signed() * 0.2 })
        self.down.append(try QuantizedWeights(down, n: channels, k: hidden, format: format))
      }
    }

    var routing: ExpertRouting {
      get throws {
        try ExpertRouting(choices: choices, weights: weights, tokens: tokens, topK: topK, experts: experts)
      }
    }

    /// Y by plain loops.
    func expected() throws -> [Double] {
      let ups = try gateUp.map { try $0.dequantized().array() }
      let downs = try down.map { try $0.dequantized().array() }
      var y = [Double](repeating: 0, count: tokens * channels)
      for token in 0..<tokens {
        let own = x[token * channels..<(token + 1) * channels].map(Double.init)
        for choice in token * topK..<(token + 1) * topK {
          let e = Int(choices[choice])
          func product(_ row: Int) -> Double {
            (0..<channels).reduce(0) { $0 + own[$1] * Double(ups[e][row * channels + $1]) }
          }
          let h = (0..<hidden).map { exactActivation(activation, product($0)) * product(hidden + $0) }
          for c in 0..<channels {
            let part = (0..<hidden).reduce(0.0) { $0 + h[$1] * Double(downs[e][c * hidden + $1]) }
            y[token * channels + c] += Double(weights[choice]) * part
          }
        }
      }
      return y
    }

    func run(_ kernel: KernelDescriptor, knobs: [Knob: Int], on executor: any Executor) throws -> [Float] {
      let moe = try MoEOperator(
        kernel: kernel, knobs: knobs, gateUp: gateUp.map { try PackedWeights($0, for: kernel, gated: true) },
        down: down.map { try PackedWeights($0, for: kernel) }, activation: activation, isas: testedISAs)
      let input = AlignedBuffer(x)
      let y = AlignedBuffer<Float>(count: tokens * channels)
      let routes = try self.routing
      unsafe moe.run(
        routes, x: input.unsafePointer, ldx: channels, y: y.unsafePointer, ldy: channels, workspace: MoEWorkspace(),
        on: executor)
      return y.array()
    }
  }

  /// Relative to the norm: what 8-bit and bf16 activations, of X and of H, leave of a sum of random terms.
  private static func allowance(_ kernel: KernelDescriptor) -> Double {
    switch kernel.a! {
    case .f32: 1e-5
    case .bf16: 1e-2
    default: 2e-2
    }
  }

  private func compare(_ mixture: Mixture, _ kernel: KernelDescriptor) throws {
    let knobs: [Knob: Int] = [.mc: kernel.mr + 1, .nc: 2 * kernel.nr, .kc: 128]
    let found = try mixture.run(kernel, knobs: knobs, on: SerialExecutor())
    let expected = try mixture.expected()
    var error = 0.0
    var norm = 0.0
    for (y, exact) in zip(found, expected) {
      error += (Double(y) - exact) * (Double(y) - exact)
      norm += exact * exact
    }
    let relative = (error / max(norm, 1e-300)).squareRoot()
    #expect(
      norm > 0 && relative <= Self.allowance(kernel),
      "\(kernel.name), \(mixture.tokens) tokens, top \(mixture.topK) of \(mixture.experts): \(relative) off")
    for executor in [ScramblingExecutor(workers: 1, seed: 1), ScramblingExecutor(workers: 3, seed: 2)] {
      let again = try mixture.run(kernel, knobs: knobs, on: executor)
      #expect(again.map(\.bitPattern) == found.map(\.bitPattern), "\(kernel.name) on \(executor.workerCount) workers")
    }
  }

  @Test(arguments: KernelTable.all.filter { $0.op == .gemm })
  func matchesAPlainLoop(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let format = try #require(Format.all.first { kernel.serves($0) })
    let group = format.groupSize
    let (channels, hidden) = group.map { (2 * $0, $0) } ?? (67, 45)
    func check(_ tokens: Int, _ experts: Int, _ topK: Int, reach: Int, _ activation: Epilogue) throws {
      try compare(
        Mixture(
          format, tokens: tokens, channels: channels, hidden: hidden, experts: experts, topK: topK, reach: reach,
          activation: activation), kernel)
    }
    try check(1, 4, 1, reach: 4, .silu)
    // Experts without tokens; and all tokens with one expert, then with all.
    try check(9, 8, 2, reach: 3, .gelu)
    try check(2 * kernel.mr + 3, 4, 1, reach: 1, .geluTanh)
    try check(13, 4, 4, reach: 4, .silu)
    report(kernel, "4 mixtures on 3 executors")
  }

  @Test(arguments: Format.all) func manyExperts(_ format: Format) throws {
    let kernel = try #require(KernelTable.serving(.gemm(format, m: 1, n: 128, k: 128), isas: testedISAs).first)
    try compare(
      Mixture(format, tokens: 7, channels: 128, hidden: 128, experts: 64, topK: 8, reach: 64), kernel)
  }

  @Test(arguments: Format.all) func sameBitsOnThreads(_ format: Format) throws {
    let kernel = try #require(KernelTable.serving(.gemm(format, m: 1, n: 128, k: 128), isas: testedISAs).first)
    let mixture = try Mixture(format, tokens: 19, channels: 256, hidden: 128, experts: 6, topK: 2, reach: 5)
    let serial = try mixture.run(kernel, knobs: [.nc: kernel.nr], on: SerialExecutor()).map(\.bitPattern)
    let cpus = Machine.host.fingerprint.cpuset
    for count in 1...3 {
      let pool = try ThreadPool(cpus: (0..<count).map { cpus[$0 % cpus.count] })
      let found = try mixture.run(kernel, knobs: [.nc: kernel.nr], on: pool).map(\.bitPattern)
      #expect(found == serial, "\(format), \(count) threads")
    }
  }

  @Test func routingRefusesWhatIsNone() throws {
    func code(_ choices: [Int32], weights: Int? = nil, tokens: Int, topK: Int, experts: Int) -> KernelError.Code? {
      do {
        _ = try ExpertRouting(
          choices: choices, weights: [Float](repeating: 1, count: weights ?? choices.count), tokens: tokens, topK: topK,
          experts: experts)
        return nil
      } catch {
        #expect(!error.message.isEmpty)
        return error.code
      }
    }
    #expect(code([0, 1, 2, 0], tokens: 2, topK: 2, experts: 3) == nil)
    #expect(code([], tokens: 0, topK: 1, experts: 3) == nil)
    #expect(code([0, 1, 2], tokens: 2, topK: 2, experts: 3) == .shapeMismatch)
    #expect(code([0, 1], weights: 1, tokens: 1, topK: 2, experts: 3) == .shapeMismatch)
    #expect(code([0, 3], tokens: 1, topK: 2, experts: 3) == .shapeMismatch)
    #expect(code([-1, 0], tokens: 1, topK: 2, experts: 3) == .shapeMismatch)
    #expect(code([1, 1], tokens: 1, topK: 2, experts: 3) == .shapeMismatch, "an expert twice")
    #expect(code([0, 1], tokens: 1, topK: 2, experts: 1) == .shapeMismatch)
    #expect(code([], tokens: 1, topK: 0, experts: 1) == .shapeMismatch)
  }

  @Test func expertsAreAlike() throws {
    let kernel = try KernelTable.named("gemm_f32f32_scalar_1x8")
    func packed(_ n: Int, _ k: Int, gated: Bool) throws -> PackedWeights {
      try PackedWeights(
        QuantizedWeights(AlignedBuffer<Float>(count: n * k), n: n, k: k, format: .f32), for: kernel, gated: gated)
    }
    func code(_ up: [PackedWeights], _ down: [PackedWeights]) -> KernelError.Code? {
      do {
        _ = try MoEOperator(kernel: kernel, knobs: [:], gateUp: up, down: down, activation: .silu, isas: testedISAs)
        return nil
      } catch { return error.code }
    }
    let up = try packed(8, 6, gated: true)
    let down = try packed(6, 4, gated: false)
    let wide = try packed(10, 6, gated: true)
    let short = try packed(6, 5, gated: false)
    let plain = try packed(8, 6, gated: false)
    #expect(code([up, up], [down, down]) == nil)
    #expect(code([], []) == .shapeMismatch)
    #expect(code([up, up], [down]) == .shapeMismatch)
    #expect(code([up, wide], [down, down]) == .shapeMismatch)
    #expect(code([up], [short]) == .shapeMismatch)
    #expect(code([plain], [down]) == .shapeMismatch, "packed without its gates")
  }
}
