import Foundation
import Testing
import WallclockTestSupport

/// Writes the cases that other CPUs run, to the file that an environment variable names:
/// `WALLCLOCK_CASES=kernels.cases swift test --filter writesKernelCases`.
@Suite struct CaseFileTests {
  private static let environment = ProcessInfo.processInfo.environment

  /// For `scripts/test-kernels-emulated`: few, since a whole emulated machine is slow.
  @Test(.enabled(if: environment["WALLCLOCK_CASES"] != nil, "WALLCLOCK_CASES names no file"))
  func writesKernelCases() throws {
    try write(KernelCases.file(seed: 1), "WALLCLOCK_CASES")
  }

  /// For `scripts/test-arm`.
  @Test(.enabled(if: environment["WALLCLOCK_EDGE_CASES"] != nil, "WALLCLOCK_EDGE_CASES names no file"))
  func writesEdgeCases() throws {
    try write(KernelCases.edges(seed: 1), "WALLCLOCK_EDGE_CASES")
  }

  private func write(_ file: CaseFile, _ variable: String) throws {
    let path = try #require(Self.environment[variable])
    try file.write(to: path)
    print("\(file.cases.count) cases in \(path)")
  }
}
