import Foundation
import WallclockCore

@testable import WallclockProfiles

import struct WallclockCore.Measurement

enum Fixture {
  static let fingerprint = Fingerprint(
    architecture: "x86_64", cpuVendor: "Example", cpuModel: "Example 9000", microcode: "0x1",
    kernelRelease: "6.1.0", isa: [.scalar, .avx2],
    caches: [
      Cache(level: 1, kind: .data, bytes: 32 << 10, lineBytes: 64, ways: 8, sharedBy: 1),
      Cache(level: 3, kind: .unified, bytes: 32 << 20, lineBytes: 64, ways: 16, sharedBy: 2),
    ], sockets: 1, physicalCores: 2, logicalCPUs: 2, threadsPerCore: 1,
    nodes: [NUMANode(id: 0, cpus: [0, 1], memoryBytes: 8 << 30)], cpuset: [0, 1], cpuQuota: 1.5,
    pageBytes: 4096)

  static let conditions = Conditions(
    transparentHugePages: "madvise", governor: nil, loadAverage: 0.25, steal: 0)

  static let ceiling = Ceiling(
    name: "f32", threads: 1, value: 57.6, unit: "GOP/s", spread: 0.01, probe: "fma 8 chains")

  static func measurement(
    m: Int = 128, nanoseconds: Double = 1_234.5, threads: Int = 1, kernel: String = "gemm_f32f32_avx2_6x16"
  ) -> Measurement {
    Measurement(
      problem: .gemm(.f32, m: m, n: 384, k: 384, epilogue: .bias),
      schedule: Schedule(kernel: kernel, knobs: [.kc: 256, .mc: 96], threads: threads),
      check: CorrectnessCheck(worstErrorOverTolerance: 0.125, elementsChecked: 100),
      samples: SampleSummary(
        medianNanoseconds: nanoseconds, intervalNanoseconds: nanoseconds * 0.99...nanoseconds * 1.01,
        minimumNanoseconds: nanoseconds * 0.95, count: 31, dropped: 1, stop: .converged),
      counters: CounterReading(
        state: .software, reason: "no hardware events", values: ["page-faults": 0],
        unavailable: ["cycles": "not supported"]),
      conditions: conditions, ceilings: [ceiling])
  }

  static func profile(_ measurements: [Measurement] = [measurement()]) -> Profile {
    Profile(
      name: "example", createdAt: "2026-01-02T03:04:05Z", command: "wallclock tune --quick",
      wallclockVersion: "0.1.0", fingerprint: fingerprint, conditions: conditions, ceilings: [ceiling],
      measurements: measurements,
      alternatives: [measurement(nanoseconds: 2000, kernel: "gemm_f32f32_scalar_4x4")],
      noiseFloor: 0.01, modelError: ModelError(median: 0.02, percentile95: 0.1, worst: 0.2, count: 12))
  }
}

/// A folder that is gone when the test ends.
final class TemporaryFolder {
  let url: URL
  init() throws {
    url = FileManager.default.temporaryDirectory.appending(component: "wallclock-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: url) }
}
