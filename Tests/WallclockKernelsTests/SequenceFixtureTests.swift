import Foundation
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// Every kernel on what `scripts/fixtures/sequence-layers.py` made with PyTorch in float64.
@Suite struct SequenceFixtureTests {
  private struct Fixture: Decodable {
    struct Case: Decodable {
      var op: Op
      var sizes: [String: Int]
      var inputs: [String: Data]
      var results: [String: Data]

      /// Little-endian, as every host that Wallclock is built for.
      private func values<T: BitwiseCopyable>(_ data: Data?, _ name: String, _: T.Type) throws -> [T] {
        let data = try #require(data, "the fixture has no \(name)")
        return unsafe data.withUnsafeBytes { bytes in
          (0..<bytes.count / MemoryLayout<T>.stride).map {
            unsafe bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self)
          }
        }
      }
      func input(_ name: String) throws -> [Float] { try values(inputs[name], name, Float.self) }
      func result(_ name: String) throws -> [Double] { try values(results[name], name, Double.self) }
    }
    var cases: [Case]
  }

  private static func cases(_ op: Op) throws -> [Fixture.Case] {
    let url = try #require(Bundle.module.url(forResource: "sequences", withExtension: "json", subdirectory: "Fixtures"))
    let cases = try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url)).cases.filter { $0.op == op }
    try #require(!cases.isEmpty)
    return cases
  }

  @Test(arguments: KernelTable.all.filter { $0.op.isSequence }) func matchesPyTorch(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    for c in try Self.cases(kernel.op) {
      let tokens = try #require(c.sizes["tokens"])
      let channels = try #require(c.sizes["channels"])
      let y = AlignedBuffer<Float>(count: tokens * channels)
      let executor = ScramblingExecutor(workers: 2, seed: 1)
      switch kernel.op {
      case .mamba1:
        let states = try #require(c.sizes["states"])
        let parameters = try Mamba1Parameters(
          a: c.input("a"), states: states, skip: c.input("skip"), deltaBias: c.input("deltaBias"))
        let state = try ChannelPanels.pack(c.input("start"), channels: channels, count: states)
        let u = AlignedBuffer(try c.input("u"))
        let delta = AlignedBuffer(try c.input("delta"))
        let z = AlignedBuffer(try c.input("z"))
        let b = AlignedBuffer(try c.input("b"))
        let cc = AlignedBuffer(try c.input("c"))
        let scan = try Mamba1Operator(kernel: kernel, knobs: [.bt: 8, .bc: 16], isas: hostISAs)
        unsafe scan.run(
          batch: 1, tokens: tokens, parameters: parameters,
          rows: Mamba1Rows(
            u: u.unsafePointer, delta: delta.unsafePointer, z: z.unsafePointer, b: b.unsafePointer, c: cc.unsafePointer,
            y: y.unsafePointer, state: state.unsafePointer), on: executor)
        #expect(try sequenceExcess(y.array(), c.result("y")) <= 1, "\(kernel.name)")
        #expect(try sequenceExcess(ChannelPanels.unpack(state, channels: channels, count: states), c.result("end")) <= 1)
      case .causalConv1d:
        let width = try #require(c.sizes["width"])
        let parameters = try Conv1dParameters(weight: c.input("weight"), width: width, bias: c.input("bias"))
        let state = try ChannelPanels.pack(c.input("start"), channels: channels, count: width - 1)
        let x = AlignedBuffer(try c.input("x"))
        let convolution = try Conv1dOperator(kernel: kernel, knobs: [.bc: 16], isas: hostISAs)
        unsafe convolution.run(
          batch: 1, tokens: tokens, parameters: parameters, x: x.unsafePointer, y: y.unsafePointer,
          state: state.unsafePointer, silu: true, on: executor)
        #expect(try sequenceExcess(y.array(), c.result("y")) <= 1, "\(kernel.name)")
        #expect(try ChannelPanels.unpack(state, channels: channels, count: width - 1).map(Double.init) == c.result("end"))
      case .rwkv4:
        let parameters = try RWKV4Parameters(decay: c.input("decay"), bonus: c.input("bonus"))
        let state = parameters.emptyState()
        let k = AlignedBuffer(try c.input("k"))
        let v = AlignedBuffer(try c.input("v"))
        let wkv = try RWKV4Operator(kernel: kernel, knobs: [.bt: 8, .bc: 16], isas: hostISAs)
        unsafe wkv.run(
          batch: 1, tokens: tokens, parameters: parameters, k: k.unsafePointer, v: v.unsafePointer, y: y.unsafePointer,
          state: state.unsafePointer, on: executor)
        #expect(try sequenceExcess(y.array(), c.result("y")) <= 1, "\(kernel.name)")
        // Channel by channel, since sums differ by powers of ten.
        let end = ChannelPanels.unpack(state, channels: channels, count: RWKV4Parameters.state)
        for (sum, name) in ["above", "below"].enumerated() {
          for (channel, expected) in try c.result(name).enumerated() {
            let unit = exp2(Double(end[3 * channel + 2].rounded(.toNearestOrEven)))
            let found = Double(end[3 * channel + sum]) * unit
            // The numerator's terms may cancel: e^k times a few.
            let size = Double(end[3 * channel + 1]) * unit
            #expect(abs(found - expected) <= 2e-5 * size, "\(kernel.name): \(name) of channel \(channel)")
          }
        }
      case .s4d:
        let pairs = try #require(c.sizes["pairs"])
        let parameters = try S4DParameters(
          delta: c.input("delta"), a: c.input("a"), c: c.input("c"), pairs: pairs, skip: c.input("skip"))
        let u = AlignedBuffer(try c.input("u"))
        if kernel.isLongConvolution {
          let filter = try LongConvFilter(
            taps: parameters.taps(length: tokens), length: tokens, channels: channels, skip: c.input("skip"), for: kernel)
          unsafe try LongConvOperator(kernel: kernel, knobs: [:], isas: hostISAs).run(
            batch: 1, tokens: tokens, filter: filter, x: u.unsafePointer, y: y.unsafePointer,
            workspace: LongConvWorkspace(), on: executor)
        } else {
          let state = AlignedBuffer<Float>(count: ChannelPanels.size(channels: channels, count: 2 * pairs))
          for i in 0..<state.count { unsafe state.unsafePointer[i] = .nan }
          unsafe try S4DOperator(kernel: kernel, knobs: [.bt: 8, .bc: 16], isas: hostISAs).run(
            batch: 1, tokens: tokens, parameters: parameters, u: u.unsafePointer, y: y.unsafePointer,
            state: state.unsafePointer, begins: true, on: executor)
          #expect(try sequenceExcess(ChannelPanels.unpack(state, channels: channels, count: 2 * pairs), c.result("end")) <= 1)
        }
        #expect(try sequenceExcess(y.array(), c.result("y")) <= 1, "\(kernel.name)")
      default:
        let filter = try LongConvFilter(
          taps: AlignedBuffer(c.input("taps")), length: tokens, channels: channels, skip: c.input("skip"), for: kernel)
        let x = AlignedBuffer(try c.input("x"))
        let convolution = try LongConvOperator(kernel: kernel, knobs: [:], isas: hostISAs)
        unsafe convolution.run(
          batch: 1, tokens: tokens, filter: filter, x: x.unsafePointer, y: y.unsafePointer,
          workspace: LongConvWorkspace(), on: executor)
        #expect(try sequenceExcess(y.array(), c.result("y")) <= 1, "\(kernel.name)")
      }
    }
  }
}
