import Foundation
import Testing
import WallclockCore
import WallclockTestSupport

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// What is written is read back, and what is wrong is refused with a reason.
@Suite struct CodingTests {
  private func roundTrip<Value: Codable>(_ value: Value) throws -> Value {
    try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value))
  }

  private func refuses<Value: Decodable>(_ type: Value.Type, _ json: String) -> Bool {
    do {
      _ = try JSONDecoder().decode(type, from: Data(json.utf8))
      return false
    } catch is DecodingError {
      return true
    } catch {
      return false
    }
  }

  @Test(arguments: Format.all) func formats(_ format: Format) throws {
    #expect(Format(format.description) == format)
    #expect(try roundTrip([format]) == [format])
    // Codes and scales, without padding.
    let bits = Double(format.weightBytes(n: 64, k: 1024) * 8) / Double(64 * 1024)
    let scales = format == .w8a8 || format == .w8a16 ? 32.0 / 1024 : 0
    #expect(bits == format.weightType.bitsPerValue + scales)
    #expect(format.admits(k: 1024) && format.admits(k: 0))
    #expect(format.admits(k: 1000) == (format.groupSize == nil))
  }

  @Test func formatNamesAreTheFields() {
    let usual = ["f32", "bf16", "w8a8", "w4a8-g32", "w4a8-g64", "w4a8-g128", "w4a16-g32", "w4a16-g64", "w4a16-g128"]
    #expect(Format.usual.map(\.description) == usual)
    #expect(Format.all.map(\.description) == usual + [
      "w8a16", "w8a8-g32", "w4a8-g32-asym", "w4a8-g64-asym", "w4a8-g128-asym", "w4a16-g32-asym", "w4a16-g64-asym", "w4a16-g128-asym",
    ])
    for text in ["", "F32", "w4a8", "w4a8-g16", "w8a16-g32", "w4a8-g32 ", "f32\0"] { #expect(Format(text) == nil) }
    #expect(refuses([Format].self, #"["w3a8"]"#) && refuses([Format].self, "[7]") && refuses([Format].self, "[null]"))
  }

  @Test func epilogues() throws {
    #expect(Epilogue.all.combinations.count == 2 * 5 * 2 * 2 * 4)
    for epilogue in Epilogue.all.combinations {
      #expect(Epilogue(epilogue.description) == epilogue)
      #expect(try roundTrip([epilogue]) == [epilogue])
    }
    #expect(Epilogue([]).description == "none")
    #expect(Epilogue([.bias, .gelu, .residual]).description == "bias+gelu+residual")
    #expect(Epilogue("residual+bias") == [.bias, .residual])
    #expect(Epilogue("gated+silu+bf16") == [.silu, .gated, .bf16])
    #expect(Epilogue([.gated, .geluTanh, .u8]).description == "gelu-tanh+gated+u8")
    for text in ["", "+", "bias+", "bias++gelu", "tanh", "none+bias", "silu+relu", "bf16+s8"] { #expect(Epilogue(text) == nil, "\(text)") }
  }

  @Test func placements() throws {
    for placement in [Placement.firstTouch, .interleaved, .node(0), .node(17)] {
      #expect(Placement(placement.description) == placement)
      #expect(try roundTrip([placement]) == [placement])
    }
    for text in ["", "node", "node:", "node:-1", "node:x", "node:99999999999999999999"] {
      #expect(Placement(text) == nil, "\(text)")
    }
  }

  private static let samples: [Problem] = [
    .gemm(.w4a8g32, m: 1, n: 2, k: 32, epilogue: [.bias, .gelu], state: .cold), .gemm(.f32, m: 0, n: 0, k: 0),
    .attention(batch: 2, tokens: 128, heads: 12, headDim: 32, mask: .causal),
    .attention(.w8a16, batch: 1, tokens: 1, context: 512, heads: 8, kvHeads: 2, headDim: 64, mask: .window(128, sinks: 4)),
    .moeGemm(.w4a8g32, tokens: 3, channels: 64, hidden: 32, experts: 8, topK: 2, activation: .gelu),
    .recurrence(.gatedDeltaNet, batch: 2, tokens: 7, heads: 4, keyHeads: 2, headDim: 64, stateRows: 128, state: .cold),
    .mamba1(batch: 2, tokens: 9, channels: 5, state: 16, operands: .cold), .causalConv1d(tokens: 1, channels: 4, width: 4),
    .longConv(tokens: 9, channels: 4), .rwkv4(tokens: 3, channels: 5, operands: .warm), .s4d(tokens: 9, channels: 4, state: 64),
  ] + [Op.quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool].map { .rowwise($0, rows: 3, channels: 5) }

  @Test(arguments: samples) func problemsRoundTrip(_ problem: Problem) throws {
    #expect(try roundTrip(problem) == problem)
    #expect(problem.operations >= 0 && problem.bytes >= 0)
  }

  @Test func hostileProblems() throws {
    let good = String(decoding: try JSONEncoder().encode(Self.samples[0]), as: UTF8.self)
    #expect(!refuses(Problem.self, good))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: #""m":1"#, with: #""m":-1"#)))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: #""m":1"#, with: #""m":99999999999999999999"#)))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: #""m":1"#, with: #""m":1.5"#)))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: #""m":1"#, with: #""breadth":1"#)))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: "gemm", with: "gemv")))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: "cold", with: "tepid")))
    #expect(refuses(Problem.self, good.replacingOccurrences(of: "bias+gelu", with: "gelu+relu")))
    #expect(refuses(Problem.self, "{}") && refuses(Problem.self, "[]") && refuses(Problem.self, ""))
    // The largest sizes that can be written do not overflow what is asked of a Problem.
    var huge = Self.samples[0]
    for dimension in [Dimension.m, .n, .k] { huge.shape[dimension] = 1 << 24 }
    #expect(huge.operations.isFinite && huge.bytes.isFinite)
  }

  @Test func schedules() throws {
    for schedule in [
      Schedule(kernel: "gemm_f32f32_avx2_6x16", knobs: [.mc: 96, .kc: 256, .prefetch: 0], threads: 2),
      Schedule(kernel: "gelu_f32_scalar", backend: .scalar, threads: 1, placement: .node(1)),
      Schedule(kernel: "onednn", backend: .plugin("onednn"), threads: 2),
    ] {
      #expect(try roundTrip(schedule) == schedule)
    }
    let schedule = Schedule(kernel: "k", knobs: [.kc: 4, .mc: 2], threads: 2, placement: .interleaved)
    #expect(schedule.description == "k mc=2 kc=4 threads=2 placement=interleaved")
    #expect(schedule.backend == .threaded && Schedule(kernel: "k").backend == .simd)
    let text = String(decoding: try JSONEncoder().encode(schedule), as: UTF8.self)
    #expect(refuses(Schedule.self, text.replacingOccurrences(of: "\"kc\"", with: "\"kd\"")))
    #expect(refuses(Schedule.self, text.replacingOccurrences(of: "threaded", with: "no name")))
  }

  @Test func backends() {
    for own in Backend.builtIn { #expect(Backend(own.description) == own && own.plugin == nil) }
    for name in ["onednn", "a", "blas-2_x", String(repeating: "x", count: 31)] {
      #expect(Backend(name) == .plugin(name) && Backend(name)?.plugin == name)
    }
    for text in ["", "2blas", "-a", "Blas", "a b", "a=b", "ä", String(repeating: "x", count: 32)] { #expect(Backend(text) == nil) }
  }

  @Test func measurements() throws {
    let measurement = Measurement(
      problem: Self.samples[0], schedule: Schedule(kernel: "k"),
      check: CorrectnessCheck(worstErrorOverTolerance: 0.25, elementsChecked: 512),
      samples: SampleSummary(
        medianNanoseconds: 2000, intervalNanoseconds: 1990...2010, minimumNanoseconds: 1980, count: 11, dropped: 1,
        stop: .timeCap),
      counters: CounterReading(state: .software, reason: "no hardware events", values: ["page-faults": 0]),
      conditions: Conditions(transparentHugePages: "madvise", governor: nil, loadAverage: 0.5, steal: 0),
      ceilings: [Ceiling(name: "int8", threads: 1, value: 400, unit: "GOP/s", spread: 0.01, probe: "p")])
    #expect(try roundTrip(measurement) == measurement)
    #expect(measurement.check.passed && !CorrectnessCheck(worstErrorOverTolerance: .nan, elementsChecked: 1).passed)
    // 2·1·2·32 operations in 2 µs.
    #expect(measurement.itemsPerSecond == 64e6)
  }

  @Test func problemsReadWhatTheyWrite() throws {
    for problem in Self.samples.dropFirst(2) + [Self.samples[0]] {
      #expect(try Problem(text: problem.description) == problem)
    }
    #expect(try Problem(text: "gemm m=1  n=2 k=3") == .gemm(.f32, m: 1, n: 2, k: 3))
    for text in [
      "", "gemv m=1", "gemm m=1 n=2", "gemm w9 m=1 n=2 k=3", "gemm m=0 n=2 k=3", "gemm m=-1 n=2 k=3",
      "gemm m=1 n=2 k=99999999999999999999", "gemm m= n=2 k=3", "gemm m=1 n=2 k=3 epilogue=tanh", "gemm m=1 n=2 k=3 epilogue=silu+relu", "gemm m=1 n=3 k=3 epilogue=silu+gated",
      "moe-gemm tokens=1 channels=8 hidden=8 experts=2 top-k=3", "moe-gemm tokens=1 channels=8 hidden=8 experts=2",
      "moe-gemm w4a8-g32 tokens=1 channels=32 hidden=16 experts=2 top-k=1",
      "moe-gemm tokens=1 channels=8 hidden=8 experts=2 top-k=1 epilogue=silu",
      "gemm w4a8-g32 m=1 n=2 k=33", "gemm m=1 n=2 k=3 state=tepid", "gemm m=16777216 n=16777216 k=16777216",
    ] {
      #expect(throws: ProblemTextError.self, "\(text)") { try Problem(text: text) }
    }
    let list = try Problem.list(shapes: "# all\n\ngemm m=1 n=2 k=3 # one\n", source: "x")
    #expect(list == [.gemm(.f32, m: 1, n: 2, k: 3)])
    do {
      _ = try Problem.list(shapes: "gemm m=1 n=2 k=3\ngemm m=x", source: "a.shapes")
      Issue.record("a bad line was read")
    } catch {
      #expect(error.message.hasPrefix("a.shapes:2:"))
    }
  }
}
