import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// Every kernel of an op on sequences against a sequential f64 oracle, its final state too.
@Suite struct SequenceKernelTests {
  static let scans = KernelTable.all.filter { $0.op == .mamba1 }
  static let convolutions = KernelTable.all.filter { $0.op == .causalConv1d }

  @Test(arguments: scans) func scanMatchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = SequenceCaller()
    var turn = 0
    for tokens in [0, 1, 2, 3, 5, 16, 17, 33, 70] {
      for channels in [1, 15, 16, 33, 150] {
        for states in [1, 3, 8, 13, 16] {
          turn += 1
          let pattern = Mamba1Oracle.Pattern.allCases[turn % 4]
          let oracle = Mamba1Oracle(tokens: tokens, channels: channels, states: states, pattern: pattern, seed: UInt64(turn))
          let bt = [1, 7, 16, 32, 64][turn % 5]
          let (result, wrong) = caller.mamba1(
            kernel, oracle, 0..<tokens, state: oracle.start, bt: bt, gap: turn % 3)
          let what = "\(kernel.name): \(tokens)×\(channels), \(states) states, bt=\(bt), \(pattern)"
          try #require(wrong == nil, "\(what): \(wrong!)")
          #expect(sequenceExcess(result.y, oracle.y) <= 1, "\(what)")
          #expect(sequenceExcess(result.state, oracle.end) <= 1, "\(what): state")
        }
      }
    }
    report(kernel, "\(turn) shapes")
  }

  @Test(arguments: convolutions) func convolutionMatchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = SequenceCaller()
    var turn = 0
    for width in [1, 2, 3, 4, 5, 9] {
      for tokens in [0, 1, 2, 3, 4, 7, 8, 21] {
        for channels in [1, 15, 16, 17, 50] {
          turn += 1
          let oracle = Conv1dOracle(
            tokens: tokens, channels: channels, width: width, silu: turn % 2 == 0, seed: UInt64(turn))
          let (result, wrong) = caller.conv1d(kernel, oracle, 0..<tokens, state: oracle.start, gap: turn % 3)
          let what = "\(kernel.name): \(tokens)×\(channels), \(width) taps"
          try #require(wrong == nil, "\(what): \(wrong!)")
          #expect(sequenceExcess(result.y, oracle.y) <= 1, "\(what)")
          #expect(result.state.map(Double.init) == oracle.end, "\(what): state")
        }
      }
    }
    report(kernel, "\(turn) shapes")
  }

  /// Cut anywhere, with the state carried over, the bits are those of one call: however blocks of tokens fall.
  @Test(arguments: scans + convolutions) func aSequenceMayBeCut(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = SequenceCaller()
    let tokens = 41
    let scan = Mamba1Oracle(tokens: tokens, channels: 35, states: 9, pattern: .random, seed: 3)
    let convolution = Conv1dOracle(tokens: tokens, channels: 35, width: 4, silu: true, seed: 3)
    func run(_ range: Range<Int>, _ state: [Float], bt: Int) throws -> SequenceCaller.Result {
      let (result, wrong) =
        kernel.op == .mamba1
        ? caller.mamba1(kernel, scan, range, state: state, bt: bt)
        : caller.conv1d(kernel, convolution, range, state: state)
      try #require(wrong == nil, "\(wrong!)")
      return result
    }
    let start = kernel.op == .mamba1 ? scan.start : convolution.start
    let whole = try run(0..<tokens, start, bt: 32)
    for cuts in [[1], [2, 3], [16, 17], [40], Array(1..<tokens)] {
      var state = start
      var y: [Float] = []
      for (first, last) in zip([0] + cuts, cuts + [tokens]) {
        let part = try run(first..<last, state, bt: 7)
        y += part.y
        state = part.state
      }
      #expect((SequenceCaller.Result(y: y, state: state) == whole) as Bool, "\(kernel.name) cut at \(cuts)")
    }
  }

  @Test(arguments: scans) func denormalsCountAgainAfterwards(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let oracle = Mamba1Oracle(tokens: 3, channels: 16, states: 4, pattern: .fading, seed: 1)
    _ = SequenceCaller().mamba1(kernel, oracle, 0..<3, state: oracle.start, bt: 2)
    // Sizes that are not known beforehand, so that the product is made here.
    let half = Float(oracle.tokens) / 6
    #expect(Float.leastNormalMagnitude * half > 0 && Float.leastNonzeroMagnitude * Float(oracle.states) > 0)
  }

  @Test(arguments: scans) func aBlockThatIsNoneIsRefused(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let oracle = Mamba1Oracle(tokens: 2, channels: 3, states: 2, pattern: .random, seed: 1)
    for bt in [0, Int(WC_LARGEST_BT) + 1] {
      #expect(SequenceCaller().mamba1(kernel, oracle, 0..<2, state: oracle.start, bt: bt).wrong != nil)
    }
  }

  /// A NaN stays in its channel, and leaves no token before it.
  @Test(arguments: scans + convolutions) func notANumberStaysInItsChannel(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let (tokens, channels, bad) = (9, 37, 20)
    let y = AlignedBuffer<Float>(count: tokens * channels)
    let x = AlignedBuffer<Float>(count: tokens * channels)
    for i in 0..<x.count { unsafe x.unsafePointer[i] = i == 3 * channels + bad ? .nan : Float(i % 7) - 3 }
    let knobs: [Knob: Int] = [.bc: 16]
    if kernel.op == .mamba1 {
      let parameters = try Mamba1Parameters(a: (0..<channels * 5).map { -Float($0 % 5 + 1) }, states: 5)
      let bc = AlignedBuffer<Float>((0..<tokens * 5).map { Float($0 % 3) + 1 })
      let state = AlignedBuffer<Float>(count: ChannelPanels.size(channels: channels, count: 5))
      try unsafe Mamba1Operator(kernel: kernel, knobs: knobs, isas: hostISAs).run(
        batch: 1, tokens: tokens, parameters: parameters,
        rows: Mamba1Rows(
          u: x.unsafePointer, delta: x.unsafePointer, z: nil, b: bc.unsafePointer, c: bc.unsafePointer,
          y: y.unsafePointer, state: state.unsafePointer), on: SerialExecutor())
    } else {
      let parameters = try Conv1dParameters(weight: [Float](repeating: 1, count: channels * 4), width: 4)
      let state = AlignedBuffer<Float>(count: ChannelPanels.size(channels: channels, count: 3))
      try unsafe Conv1dOperator(kernel: kernel, knobs: knobs, isas: hostISAs).run(
        batch: 1, tokens: tokens, parameters: parameters, x: x.unsafePointer, y: y.unsafePointer,
        state: state.unsafePointer, silu: true, on: SerialExecutor())
    }
    for i in 0..<y.count {
      let (token, channel) = (i / channels, i % channels)
      let due = channel == bad && token >= 3 && (kernel.op == .mamba1 || token < 7)
      #expect(y[i].isNaN == due, "\(kernel.name): token \(token), channel \(channel)")
    }
  }
}

/// Operators and Problems of ops on sequences.
@Suite struct SequenceOperatorTests {
  static let problems: [Problem] = [
    .mamba1(batch: 3, tokens: 19, channels: 70, state: 5), .mamba1(tokens: 1, channels: 100, state: 16),
    .causalConv1d(batch: 2, tokens: 13, channels: 70, width: 4), .causalConv1d(tokens: 1, channels: 33, width: 1, epilogue: []),
    .longConv(batch: 2, tokens: 75, channels: 100), .longConv(tokens: 33, channels: 20),
    .rwkv4(batch: 3, tokens: 19, channels: 70), .rwkv4(tokens: 1, channels: 100),
    .s4d(batch: 2, tokens: 75, channels: 70, state: 6), .s4d(batch: 3, tokens: 1, channels: 40, state: 10),
  ]

  @Test(arguments: problems) func everyScheduleOfTheGridIsRight(_ problem: Problem) throws {
    let executor = ScramblingExecutor(workers: 3, seed: 5)
    for threads in [1, 2, 4] {
      for schedule in try ScheduleSpace.grid(for: problem, threads: threads, machine: Machine.host.fingerprint) {
        #expect(try problem.prepare(schedule, machine: Machine.host.fingerprint).check(on: executor).passed, "\(schedule)")
      }
    }
  }

  @Test func hostileParametersAreRefused() {
    func refused(_ body: () throws(KernelError) -> Void) -> Bool {
      do { try body() } catch { return error.code == .shapeMismatch }
      return false
    }
    #expect(refused { () throws(KernelError) in _ = try Mamba1Parameters(a: [], states: 4) })
    #expect(refused { () throws(KernelError) in _ = try Mamba1Parameters(a: [-1, -2, -3], states: 2) })
    #expect(refused { () throws(KernelError) in _ = try Mamba1Parameters(a: [-1, 0.5], states: 2) })
    #expect(refused { () throws(KernelError) in _ = try Mamba1Parameters(a: [-1, .nan], states: 2) })
    #expect(refused { () throws(KernelError) in _ = try Mamba1Parameters(a: [-1, -2], states: 2, skip: [1, 2]) })
    #expect(refused { () throws(KernelError) in _ = try Conv1dParameters(weight: [1, 2, 3], width: 2) })
    #expect(refused { () throws(KernelError) in _ = try Conv1dParameters(weight: [1, 2], width: 0) })
    #expect(refused { () throws(KernelError) in _ = try Conv1dParameters(weight: [1, 2], width: 2, bias: [1, 2]) })
    #expect(!refused { () throws(KernelError) in _ = try Conv1dParameters(weight: [1, 2], width: 2, bias: [1]) })
  }

  @Test func panelsHoldWhatTheyAreGiven() {
    let rows = (0..<37 * 3).map { Float($0) + 1 }
    let panels = ChannelPanels.pack(rows, channels: 37, count: 3)
    #expect(panels.count == 48 * 3)
    #expect(ChannelPanels.unpack(panels, channels: 37, count: 3) == rows)
    #expect(panels.array().filter { $0 == 0 }.count == 11 * 3)
  }

  @Test func problemsAreReadFromText() throws {
    let scan = try Problem(text: "mamba1 batch=1 tokens=512 channels=1536 state=16 state=cold")
    #expect(scan == .mamba1(tokens: 512, channels: 1536, state: 16, operands: .cold))
    #expect(try Problem(text: scan.description) == scan)
    let convolution = try Problem(text: "causal-conv1d batch=1 tokens=9 channels=8 width=4 epilogue=silu")
    #expect(convolution == .causalConv1d(tokens: 9, channels: 8, width: 4))
    for bad in [
      "mamba1 batch=1 tokens=1 channels=1", "mamba1 batch=1 tokens=1 channels=1 state=lukewarm state=2",
      "causal-conv1d batch=1 tokens=9 channels=8 width=0", "causal-conv1d batch=1 tokens=9 channels=8 width=4 epilogue=gelu",
      "mamba1 batch=1 tokens=1 channels=1 state=1 epilogue=silu", "rwkv4 batch=1 tokens=1", "s4d batch=1 tokens=4 channels=4",
      "s4d batch=1 tokens=4 channels=4 state=3", "rwkv4 batch=1 tokens=1 channels=4 epilogue=silu",
    ] {
      #expect(throws: ProblemTextError.self, "\(bad)") { try Problem(text: bad) }
    }
  }
}
