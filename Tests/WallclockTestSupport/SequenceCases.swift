import WallclockCore
import WallclockKernels

/// Cases of ops on sequences for the case-runner.
extension KernelCases {
  mutating func addSequences(seed: UInt64) {
    for (index, (tokens, channels, states)) in [(1, 1, 1), (5, 17, 3), (19, 33, 9), (2, 150, 8), (0, 5, 4)].enumerated() {
      let pattern = Mamba1Oracle.Pattern.allCases[index % 4]
      addMamba1(
        Mamba1Oracle(tokens: tokens, channels: channels, states: states, pattern: pattern, seed: seed), bt: [64, 4, 16][index % 3],
        label: "\(tokens)x\(channels) states=\(states) \(pattern)")
    }
    for (tokens, channels, length) in [(1, 1, 1), (11, 17, 11), (20, 5, 47), (50, 35, 50), (97, 3, 97)] {
      addLongConv(LongConvOracle(tokens: tokens, channels: channels, length: length, seed: seed))
    }
    for (tokens, channels, width) in [(1, 1, 1), (6, 17, 4), (9, 35, 2), (2, 16, 3), (11, 50, 6), (0, 3, 4)] {
      addConv1d(Conv1dOracle(tokens: tokens, channels: channels, width: width, silu: tokens % 2 == 0, seed: seed))
    }
    for (index, (tokens, channels)) in [(1, 1), (7, 17), (21, 35), (12, 50), (3, 16)].enumerated() {
      let pattern = RWKV4Oracle.Pattern.allCases[index % 4]
      addRWKV4(
        RWKV4Oracle(tokens: tokens, channels: channels, pattern: pattern, isEmpty: index % 2 == 0, seed: seed),
        bt: [4, 64, 7][index % 3], label: "\(tokens)x\(channels) \(pattern)")
    }
    for (index, (tokens, channels, pairs)) in [(1, 1, 1), (9, 17, 4), (33, 35, 7), (0, 5, 2)].enumerated() {
      addS4D(
        S4DOracle(tokens: tokens, channels: channels, pairs: pairs, begins: index % 2 == 1, seed: seed),
        begins: index % 2 == 1, bt: [64, 4, 16][index % 3])
    }
    // As a convolution, from nothing.
    addS4D(S4DOracle(tokens: 100, channels: 19, pairs: 3, begins: true, seed: seed), begins: true, bt: 32, kernel: "s4d_f32_fft_*")
  }

  private mutating func addLongConv(_ o: LongConvOracle) {
    cases.append(
      KernelCase(
        kernel: "longconv_f32_*", label: "\(o.tokens)x\(o.channels) length=\(o.length)",
        scalars: ["tokens": Double(o.tokens), "channels": Double(o.channels), "length": Double(o.length)],
        arrays: [
          .input("x", o.x, rows: o.tokens, columns: o.channels, stride: o.channels + 1),
          .input("taps", o.taps, rows: o.length, columns: o.channels, stride: o.channels + 2),
          .input("skip", o.skip, columns: o.channels),
          .output(
            "y", Float.self, rows: o.tokens, columns: o.channels, stride: o.channels + 3,
            .elementwise(o.y, bounds: o.bounds)),
        ]))
  }

  /// The state, and with it its padding, which may be anything finite.
  private static func state(_ start: [Float], _ end: [Double], channels: Int, count: Int) -> CaseArray {
    let panels = ChannelPanels.pack(start, channels: channels, count: count).array()
    var expected = [Double](repeating: 0, count: panels.count)
    for (i, value) in end.enumerated() {
      expected[ChannelPanels.place(channel: i / count, index: i % count, count: count)] = value
    }
    return .inPlace("state", panels, columns: panels.count, tolerance(expected))
  }

  private static func tolerance(_ expected: [Double]) -> CaseExpectation<Float> {
    .frobenius(expected, relative: Tolerance.sequence(norm: 1), absolute: Tolerance.sequence(norm: 0))
  }

  private mutating func addMamba1(_ o: Mamba1Oracle, bt: Int, label: String) {
    let a = ChannelPanels.pack(
      o.a.map { Float(Double($0) * 1.4426950408889634) }, channels: o.channels, count: o.states).array()
    func rows(_ name: String, _ values: [Float], _ columns: Int, gap: Int) -> CaseArray {
      .input(name, values, rows: o.tokens, columns: columns, stride: columns + gap)
    }
    cases.append(
      KernelCase(
        kernel: "mamba1_f32_*", label: label,
        scalars: [
          "tokens": Double(o.tokens), "channels": Double(o.channels), "states": Double(o.states), "bt": Double(bt),
        ],
        arrays: [
          rows("u", o.u, o.channels, gap: 1), rows("delta", o.delta, o.channels, gap: 2), rows("z", o.z, o.channels, gap: 0),
          rows("b", o.b, o.states, gap: 3), rows("c", o.c, o.states, gap: 0), .input("a", a, columns: a.count),
          .input("skip", o.skip, columns: o.channels), .input("delta_bias", o.deltaBias, columns: o.channels),
          .output(
            "y", Float.self, rows: o.tokens, columns: o.channels, stride: o.channels + 2, Self.tolerance(o.y)),
          Self.state(o.start, o.end, channels: o.channels, count: o.states),
        ]))
  }

  private mutating func addRWKV4(_ o: RWKV4Oracle, bt: Int, label: String) {
    guard let parameters = try? RWKV4Parameters(decay: o.decay, bonus: o.bonus) else {
      preconditionFailure("the oracle's decays are refused")
    }
    let fixed = parameters.values.array()
    let state = ChannelPanels.pack(o.start, channels: o.channels, count: 3).array()
    cases.append(
      KernelCase(
        kernel: "rwkv4_f32_*", label: label,
        scalars: ["tokens": Double(o.tokens), "channels": Double(o.channels), "bt": Double(bt)],
        arrays: [
          .input("k", o.k, rows: o.tokens, columns: o.channels, stride: o.channels + 1),
          .input("v", o.v, rows: o.tokens, columns: o.channels, stride: o.channels + 2),
          .input("parameters", fixed, columns: fixed.count), .input("start", state, columns: state.count),
          .output(
            "y", Float.self, rows: o.tokens, columns: o.channels, stride: o.channels + 3, Self.tolerance(o.y)),
        ]))
  }

  private mutating func addS4D(_ o: S4DOracle, begins: Bool, bt: Int, kernel: String = "s4d_f32_scan_*") {
    let lambda = ChannelPanels.pack(o.lambda, channels: o.channels, count: 2 * o.pairs).array()
    let c = ChannelPanels.pack(o.c, channels: o.channels, count: 2 * o.pairs).array()
    var arrays: [CaseArray] = [
      .input("u", o.u, rows: o.tokens, columns: o.channels, stride: o.channels + 1),
      .input("lambda", lambda, columns: lambda.count), .input("c", c, columns: c.count),
      .input("skip", o.skip, columns: o.channels),
      .output("y", Float.self, rows: o.tokens, columns: o.channels, stride: o.channels + 2, Self.tolerance(o.y)),
    ]
    if !kernel.contains("fft") { arrays.append(Self.state(o.start, o.end, channels: o.channels, count: 2 * o.pairs)) }
    cases.append(
      KernelCase(
        kernel: kernel, label: "\(o.tokens)x\(o.channels) pairs=\(o.pairs)",
        scalars: [
          "tokens": Double(o.tokens), "channels": Double(o.channels), "pairs": Double(o.pairs), "bt": Double(bt),
          "begins": begins ? 1 : 0,
        ], arrays: arrays))
  }

  private mutating func addConv1d(_ o: Conv1dOracle) {
    let weight = ChannelPanels.pack(o.weight, channels: o.channels, count: o.width).array()
    var arrays: [CaseArray] = [
      .input("x", o.x, rows: o.tokens, columns: o.channels, stride: o.channels + 1),
      .input("weight", weight, columns: weight.count), .input("bias", o.bias, columns: o.channels),
      .output("y", Float.self, rows: o.tokens, columns: o.channels, stride: o.channels + 2, Self.tolerance(o.y)),
    ]
    if o.width > 1 { arrays.append(Self.state(o.start, o.end, channels: o.channels, count: o.width - 1)) }
    cases.append(
      KernelCase(
        kernel: "conv1d_f32_*", label: "\(o.tokens)x\(o.channels) width=\(o.width)",
        scalars: [
          "tokens": Double(o.tokens), "channels": Double(o.channels), "width": Double(o.width), "silu": o.silu ? 1 : 0,
        ], arrays: arrays))
  }
}
