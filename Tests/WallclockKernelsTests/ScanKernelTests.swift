import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

extension SequenceCaller {
  /// Tokens `range` of the oracle's sequence, from `state` on (channels×3).
  func rwkv4(
    _ kernel: KernelDescriptor, _ oracle: RWKV4Oracle, _ range: Range<Int>, state: [Float], bt: Int, gap: Int = 0
  ) throws -> (result: Result, wrong: String?) {
    used = 0
    let (channels, tokens) = (oracle.channels, range.count)
    func rows(_ values: [Float]) -> UnsafePointer<Float> {
      unsafe UnsafePointer(
        place(values[range.lowerBound * channels..<range.upperBound * channels], tokens, channels, gap: gap))
    }
    let parameters = try RWKV4Parameters(decay: oracle.decay, bonus: oracle.bonus).values.array()
    var args = unsafe wc_rwkv4_args()
    unsafe args.tokens = tokens
    unsafe args.channels = channels
    unsafe args.k = rows(oracle.k)
    unsafe args.v = rows(oracle.v)
    unsafe args.ldk = channels + gap
    unsafe args.ldv = channels + gap
    unsafe args.parameters = UnsafePointer(place(parameters, 1, parameters.count, gap: 0))
    unsafe args.state = panels(state, channels: channels, count: 3)
    unsafe args.y = memory().place(tokens == 0 ? 0 : (tokens - 1) * (channels + gap) + channels, of: Float.self)
    unsafe args.ldy = channels + gap
    unsafe args.bt = bt
    let status = unsafe kernel.row.pointee.rwkv4!(&args)
    let result = unsafe Result(
      y: read(args.y, tokens, channels, gap: gap), state: readPanels(args.state, channels: channels, count: 3))
    if status != WC_OK { return (result, "status \(status.rawValue)") }
    return (result, unsafe isIntact(args.y, tokens, channels, gap: gap) ? nil : "wrote outside its output")
  }

  /// Tokens `range` of the oracle's sequence, from `state` on (channels×pairs×2), or from nothing.
  func s4d(
    _ kernel: KernelDescriptor, _ oracle: S4DOracle, _ range: Range<Int>, state: [Float], begins: Bool = false, bt: Int,
    gap: Int = 0
  ) -> (result: Result, wrong: String?) {
    used = 0
    let (channels, tokens, count) = (oracle.channels, range.count, 2 * oracle.pairs)
    var args = unsafe wc_s4d_args()
    unsafe args.tokens = tokens
    unsafe args.channels = channels
    unsafe args.pairs = oracle.pairs
    unsafe args.u = UnsafePointer(
      place(oracle.u[range.lowerBound * channels..<range.upperBound * channels], tokens, channels, gap: gap))
    unsafe args.ldu = channels + gap
    unsafe args.lambda = UnsafePointer(panels(oracle.lambda, channels: channels, count: count))
    unsafe args.c = UnsafePointer(panels(oracle.c, channels: channels, count: count))
    unsafe args.skip = UnsafePointer(place(oracle.skip, 1, channels, gap: 0))
    unsafe args.state = panels(state, channels: channels, count: count)
    unsafe args.y = memory().place(tokens == 0 ? 0 : (tokens - 1) * (channels + gap) + channels, of: Float.self)
    unsafe args.ldy = channels + gap
    unsafe args.begins = begins ? 1 : 0
    unsafe args.bt = bt
    let status = unsafe kernel.row.pointee.s4d!(&args)
    let result = unsafe Result(
      y: read(args.y, tokens, channels, gap: gap), state: readPanels(args.state, channels: channels, count: count))
    if status != WC_OK { return (result, "status \(status.rawValue)") }
    return (result, unsafe isIntact(args.y, tokens, channels, gap: gap) ? nil : "wrote outside its output")
  }
}

/// Every kernel of `rwkv4` and every one of `s4d` that scans against sequential f64 oracles, final states too.
@Suite struct ScanKernelTests {
  static let wkv = KernelTable.all.filter { $0.op == .rwkv4 }
  static let scans = KernelTable.all.filter { $0.op == .s4d && !$0.isLongConvolution }
  static let convolutions = KernelTable.all.filter { $0.op == .s4d && $0.isLongConvolution }

  @Test(arguments: wkv) func operatorMatchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = SequenceCaller()
    var turn = 0
    for tokens in [0, 1, 2, 3, 4, 5, 16, 33, 70] {
      for channels in [1, 15, 16, 33, 70] {
        for pattern in RWKV4Oracle.Pattern.allCases {
          turn += 1
          let oracle = RWKV4Oracle(
            tokens: tokens, channels: channels, pattern: pattern, isEmpty: turn % 3 == 0, seed: UInt64(turn))
          let bt = [1, 4, 7, 32, 64][turn % 5]
          let (result, wrong) = try caller.rwkv4(
            kernel, oracle, 0..<tokens, state: oracle.start, bt: bt, gap: turn % 3)
          let what = "\(kernel.name): \(tokens)×\(channels), bt=\(bt), \(pattern)"
          try #require(wrong == nil, "\(what): \(wrong!)")
          #expect(sequenceExcess(result.y, oracle.y) <= 1, "\(what)")
          guard tokens > 0 else {
            #expect(result.state == oracle.start, "\(what): state")
            continue
          }
          #expect(sequenceExcess(oracle.sums(of: result.state), oracle.expectedSums) <= 1, "\(what): state")
        }
      }
    }
    report(kernel, "\(turn) shapes")
  }

  /// A slow decay over many tokens, where a sum of steps in the exponent would drift.
  @Test(arguments: wkv) func longSequencesDoNotDrift(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let oracle = RWKV4Oracle(tokens: 1200, channels: 18, pattern: .slow, isEmpty: true, seed: 9)
    let (result, wrong) = try SequenceCaller().rwkv4(kernel, oracle, 0..<1200, state: oracle.start, bt: 16)
    #expect(wrong == nil)
    #expect(sequenceExcess(result.y, oracle.y) <= 1)
    #expect(sequenceExcess(oracle.sums(of: result.state), oracle.expectedSums) <= 1)
  }

  @Test(arguments: scans) func scanMatchesOracle(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = SequenceCaller()
    var turn = 0
    for tokens in [0, 1, 2, 5, 16, 33, 70] {
      for channels in [1, 15, 16, 33, 70] {
        for pairs in [1, 2, 4, 7, 8] {
          turn += 1
          let begins = turn % 3 == 0
          let oracle = S4DOracle(
            tokens: tokens, channels: channels, pairs: pairs, begins: begins, fades: turn % 7 == 0, seed: UInt64(turn))
          let bt = [1, 7, 16, 32, 64][turn % 5]
          // A state that is written only may hold anything.
          let state = begins ? [Float](repeating: .nan, count: oracle.start.count) : oracle.start
          let (result, wrong) = caller.s4d(kernel, oracle, 0..<tokens, state: state, begins: begins, bt: bt, gap: turn % 3)
          let what = "\(kernel.name): \(tokens)×\(channels), \(pairs) pairs, bt=\(bt), begins: \(begins)"
          try #require(wrong == nil, "\(what): \(wrong!)")
          #expect(sequenceExcess(result.y, oracle.y) <= 1, "\(what)")
          #expect(sequenceExcess(result.state, oracle.end) <= 1, "\(what): state")
        }
      }
    }
    report(kernel, "\(turn) shapes")
  }

  /// Cut anywhere, with the state carried over, the bits are those of one call: however blocks of tokens fall.
  @Test(arguments: wkv + scans) func aSequenceMayBeCut(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = SequenceCaller()
    let tokens = 41
    for pattern in RWKV4Oracle.Pattern.allCases {
      let operatorCase = RWKV4Oracle(tokens: tokens, channels: 35, pattern: pattern, isEmpty: false, seed: 3)
      let scan = S4DOracle(tokens: tokens, channels: 35, pairs: 5, begins: false, seed: 3)
      func run(_ range: Range<Int>, _ state: [Float], bt: Int) throws -> SequenceCaller.Result {
        let (result, wrong) =
          kernel.op == .rwkv4
          ? try caller.rwkv4(kernel, operatorCase, range, state: state, bt: bt)
          : caller.s4d(kernel, scan, range, state: state, bt: bt)
        try #require(wrong == nil, "\(wrong!)")
        return result
      }
      let start = kernel.op == .rwkv4 ? operatorCase.start : scan.start
      let whole = try run(0..<tokens, start, bt: 32)
      for cuts in [[1], [2, 3], [16, 17], [40], Array(1..<tokens)] {
        var state = start
        var y: [Float] = []
        for (first, last) in zip([0] + cuts, cuts + [tokens]) {
          let part = try run(first..<last, state, bt: 7)
          y += part.y
          state = part.state
        }
        #expect((SequenceCaller.Result(y: y, state: state) == whole) as Bool, "\(kernel.name) cut at \(cuts), \(pattern)")
      }
    }
  }

  @Test(arguments: wkv + scans) func aBlockThatIsNoneIsRefused(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    for bt in [0, Int(WC_LARGEST_BT) + 1] {
      if kernel.op == .rwkv4 {
        let oracle = RWKV4Oracle(tokens: 2, channels: 3, pattern: .random, isEmpty: true, seed: 1)
        #expect(try SequenceCaller().rwkv4(kernel, oracle, 0..<2, state: oracle.start, bt: bt).wrong != nil)
      } else {
        let oracle = S4DOracle(tokens: 2, channels: 3, pairs: 2, begins: true, seed: 1)
        #expect(SequenceCaller().s4d(kernel, oracle, 0..<2, state: oracle.start, bt: bt).wrong != nil)
      }
    }
  }

  @Test(arguments: wkv + scans) func denormalsCountAgainAfterwards(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let fading = S4DOracle(tokens: 9, channels: 16, pairs: 4, begins: false, fades: true, seed: 1)
    let falling = RWKV4Oracle(tokens: 9, channels: 16, pattern: .falling, isEmpty: false, seed: 1)
    if kernel.op == .s4d { _ = SequenceCaller().s4d(kernel, fading, 0..<9, state: fading.start, bt: 2) }
    if kernel.op == .rwkv4 { _ = try SequenceCaller().rwkv4(kernel, falling, 0..<9, state: falling.start, bt: 2) }
    // Sizes that are not known beforehand, so that the product is made here.
    let half = Float(fading.tokens) / 18
    #expect(Float.leastNormalMagnitude * half > 0 && Float.leastNonzeroMagnitude * Float(fading.pairs) > 0)
  }

  /// A NaN stays in its channel, and leaves no token before it.
  @Test(arguments: wkv + scans) func notANumberStaysInItsChannel(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let (tokens, channels, bad) = (9, 37, 20)
    let y = AlignedBuffer<Float>(count: tokens * channels)
    let x = AlignedBuffer<Float>(count: tokens * channels)
    for i in 0..<x.count { unsafe x.unsafePointer[i] = i == 3 * channels + bad ? .nan : Float(i % 7) - 3 }
    let ones = [Float](repeating: 1, count: channels)
    if kernel.op == .rwkv4 {
      let parameters = try RWKV4Parameters(decay: ones, bonus: ones)
      let state = parameters.emptyState()
      try unsafe RWKV4Operator(kernel: kernel, knobs: [.bc: 16], isas: hostISAs).run(
        batch: 1, tokens: tokens, parameters: parameters, k: x.unsafePointer, v: x.unsafePointer, y: y.unsafePointer,
        state: state.unsafePointer, on: SerialExecutor())
    } else {
      let pairs = (0..<channels * 3).flatMap { [-1, Float($0 % 3)] as [Float] }
      let parameters = try S4DParameters(delta: ones, a: pairs, c: pairs, pairs: 3)
      let state = AlignedBuffer<Float>(count: ChannelPanels.size(channels: channels, count: 6))
      try unsafe S4DOperator(kernel: kernel, knobs: [.bc: 16], isas: hostISAs).run(
        batch: 1, tokens: tokens, parameters: parameters, u: x.unsafePointer, y: y.unsafePointer,
        state: state.unsafePointer, begins: true, on: SerialExecutor())
    }
    for i in 0..<y.count {
      let (token, channel) = (i / channels, i % channels)
      #expect(y[i].isNaN == (channel == bad && token >= 3), "\(kernel.name): token \(token), channel \(channel)")
    }
  }

  /// The filter of a long convolution, phases and all, against powers by repeated products.
  @Test func filtersKeepTheirPhase() throws {
    let (length, pairs) = (3000, 3)
    let parameters = try S4DParameters(
      delta: [0.1, 0.001], a: [-0.5, 0, -0.5, 314.25, -0.01, 31.5, -0.5, 0, -1, 12, -1e6, 3], c: [1, 0, 0.5, -2, 1, 1, 1, 2, 3, 4, 5, 6],
      pairs: pairs)
    let taps = try parameters.taps(length: length)
    let lambda = parameters.lambdaAndC().lambda
    let c = parameters.lambdaAndC().c
    for channel in 0..<2 {
      var powers = (0..<pairs).map { _ in (1.0, 0.0) }
      for l in 0..<length {
        var sum = 0.0
        for n in 0..<pairs {
          let i = 2 * (channel * pairs + n)
          let (r, s) = powers[n]
          sum += Double(c[i]) * r + Double(c[i + 1]) * s
          let (lr, li) = (Double(lambda[i]), Double(lambda[i + 1]))
          powers[n] = (lr * r - li * s, lr * s + li * r)
        }
        #expect(abs(Double(taps[l * 2 + channel]) - sum) <= 1e-6 * (abs(sum) + 1e-3), "tap \(l) of channel \(channel)")
      }
    }
  }

  @Test func convolutionsKeepNoState() throws {
    let kernel = Self.convolutions[0]
    #expect(throws: KernelError.self) { try S4DOperator(kernel: kernel, knobs: [:], isas: [kernel.isa]) }
    let host = Machine.host.fingerprint
    let step = Problem.s4d(tokens: 1, channels: 5, state: 4)
    #expect(throws: KernelError.self) { try step.prepare(Schedule(kernel: kernel.name), machine: host) }
    #expect(KernelTable.serving(step, isas: hostISAs).allSatisfy { !$0.isLongConvolution })
    let names = Set(KernelTable.serving(.s4d(tokens: 2, channels: 5, state: 4), isas: hostISAs).map(\.isLongConvolution))
    #expect(names == [true, false])
  }

  @Test func hostileParametersAreRefused() {
    func refused(_ body: () throws(KernelError) -> Void) -> Bool {
      do { try body() } catch { return error.code == .shapeMismatch }
      return false
    }
    #expect(refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [], bonus: []) })
    #expect(refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [1, 2], bonus: [1]) })
    #expect(refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [1, 2], bonus: []) })
    #expect(refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [-1], bonus: [1]) })
    #expect(refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [.nan], bonus: [1]) })
    #expect(refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [1], bonus: [.infinity]) })
    #expect(!refused { () throws(KernelError) in _ = try RWKV4Parameters(decay: [0], bonus: [1]) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [-1], c: [1], pairs: 1) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [-1, 1], c: [1], pairs: 1) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [0], a: [-1, 1], c: [1, 1], pairs: 1) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [0.5, 1], c: [1, 1], pairs: 1) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [.nan, 1], c: [1, 1], pairs: 1) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [-1, 1], c: [1, 1], pairs: 1, skip: [1, 2]) })
    #expect(refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [-1, 1], c: [1, 1], pairs: 0) })
    #expect(!refused { () throws(KernelError) in _ = try S4DParameters(delta: [1], a: [0, 0], c: [1, 1], pairs: 1) })
  }
}
