import Foundation
import WallclockCore
import WallclockModels
import WallclockProfiles

import struct WallclockCore.Measurement

/// Deterministic pseudo-random numbers (SplitMix64), so that a failing property names its seed.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// A machine whose times are a known function of the Problem.
struct Synthetic {
  /// Operations per nanosecond at one thread, by format.
  var rate: [Format: Double] = [
    .f32: 50, .bf16: 60, .w8a8: 150, .w4a8g32: 140, .w4a16g128: 30,
  ]
  /// Nanoseconds per call that do not depend on the work.
  var overhead: [Format: Double] = [.w8a8: 40_000, .w4a8g32: 45_000]
  var rows = [16, 128, 512, 2048]
  var weights = [(n: 1152, k: 384), (n: 384, k: 384), (n: 1536, k: 384), (n: 384, k: 1536)]
  var threads = [1, 2]
  var states: [OperandState] = [.warm, .cold]
  var epilogues: [(n: Int, k: Int, epilogue: Epilogue)] = []
  var tokens = [16, 128, 512]
  var lastLevelCacheBytes = 16 << 20
  var noiseFloor: Double? = 0
  /// Multiplies each time; for property tests.
  var jitter: (Problem, Int) -> Double = { _, _ in 1 }

  static let dramBytesPerNanosecond = 10.0

  func nanoseconds(_ problem: Problem, _ threads: Int) -> Double {
    let speed = Double(threads) * 0.9 + 0.1
    let time: Double
    switch problem.op {
    case .gemm:
      let arithmetic = problem.operations / (rate[problem.format] ?? 1) / speed
      let bytes = Double(problem.format.weightBytes(n: problem.shape[.n], k: problem.shape[.k]))
      let stream = problem.state == .cold ? bytes / Self.dramBytesPerNanosecond : 0
      time = arithmetic + stream * 0.5 + (overhead[problem.format] ?? 5_000)
    case .attention:
      let tokens = Double(problem.shape[.tokens])
      time =
        Double(problem.shape[.batch] * problem.shape[.heads]) * (50 * tokens + 3 * tokens * tokens) / speed
    default:
      time = 500 + problem.operations / speed
    }
    return time * jitter(problem, threads)
  }

  func measurement(_ problem: Problem, threads: Int) -> Measurement {
    let time = nanoseconds(problem, threads)
    return Measurement(
      problem: problem,
      schedule: Schedule(kernel: "\(problem.op.rawValue)_\(problem.format)_synthetic_4x16", threads: threads),
      check: CorrectnessCheck(worstErrorOverTolerance: 0.1, elementsChecked: 64),
      samples: SampleSummary(
        medianNanoseconds: time, intervalNanoseconds: time * 0.995...time * 1.005,
        minimumNanoseconds: time * 0.99,
        count: 40, dropped: 0, stop: .converged),
      counters: CounterReading(state: .none, reason: "synthetic"), conditions: Self.conditions, ceilings: [])
  }

  static let conditions = Conditions(transparentHugePages: nil, governor: nil, loadAverage: 0, steal: 0)

  func profile() -> Profile {
    var measurements: [Measurement] = []
    for threads in threads {
      for format in rate.keys.sorted(by: { $0.description < $1.description }) {
        for (n, k) in weights {
          for state in states {
            for m in rows {
              measurements.append(
                measurement(.gemm(format, m: m, n: n, k: k, epilogue: .bias, state: state), threads: threads))
            }
          }
        }
      }
      for tokens in tokens {
        measurements.append(
          measurement(.attention(batch: 1, tokens: tokens, heads: 12, headDim: 32, state: .warm), threads: threads))
      }
      for op in [Op.layerNorm, .residual, .embedding, .meanPool] {
        for m in rows {
          measurements.append(measurement(.rowwise(op, rows: m, channels: 384, state: .warm), threads: threads))
        }
      }
    }
    let ceilings = threads.flatMap { threads in
      [
        Ceiling(
          name: "f32", threads: threads, value: 60 * Double(threads), unit: "GOP/s", spread: 0.01, probe: "p"),
        Ceiling(
          name: "int8", threads: threads, value: 200 * Double(threads), unit: "GOP/s", spread: 0.01,
          probe: "p"),
        Ceiling(
          name: "read.dram", threads: threads, value: Self.dramBytesPerNanosecond, unit: "GB/s", spread: 0.1,
          probe: "p"),
        Ceiling(name: "read.l3", threads: threads, value: 40, unit: "GB/s", spread: 0.1, probe: "p"),
      ]
    }
    return Profile(
      name: "synthetic", createdAt: "2026-01-02T03:04:05Z", command: "test", wallclockVersion: "0",
      fingerprint: Fingerprint(
        architecture: "x86_64", cpuVendor: "V", cpuModel: "M", microcode: "1", kernelRelease: "1",
        isa: [.scalar, .avx2],
        caches: [
          Cache(level: 3, kind: .unified, bytes: lastLevelCacheBytes, lineBytes: 64, ways: 16, sharedBy: 2)
        ],
        sockets: 1, physicalCores: 2, logicalCPUs: 2, threadsPerCore: 1,
        nodes: [NUMANode(id: 0, cpus: [0, 1], memoryBytes: 1 << 34)], cpuset: [0, 1], cpuQuota: nil,
        pageBytes: 4096),
      conditions: Self.conditions, ceilings: ceilings, measurements: measurements, noiseFloor: noiseFloor)
  }

  /// A small BERT encoder: six layers of width 384.
  static let graph = ModelGraph(
    name: "bert 6×384",
    nodes: [
      .init("embeddings", .rowwise(.embedding, channels: 384), count: 1),
      .init("attention.qkv", .gemm(n: 1152, k: 384, epilogue: .bias), count: 6),
      .init("attention.scores", .attention(heads: 12, headDim: 32, mask: .full), count: 6),
      .init("attention.out", .gemm(n: 384, k: 384, epilogue: .bias), count: 6),
      .init("norm", .rowwise(.layerNorm, channels: 384), count: 13),
      .init("ffn.up", .gemm(n: 1536, k: 384, epilogue: .bias), count: 6),
      .init("ffn.down", .gemm(n: 384, k: 1536, epilogue: .bias), count: 6),
      .init("pooling", .rowwise(.meanPool, channels: 384), count: 1),
    ], fixedBytes: 47 << 20, maximumTokens: 512)
}
