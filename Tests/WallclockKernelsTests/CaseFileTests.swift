import Foundation
import Testing
import WallclockTestSupport

/// Writes the cases that `scripts/test-kernels-emulated` runs, to the path in WALLCLOCK_CASES:
/// `WALLCLOCK_CASES=kernels.cases swift test --filter writesKernelCases`.
@Test(.enabled(if: ProcessInfo.processInfo.environment["WALLCLOCK_CASES"] != nil, "WALLCLOCK_CASES names no file"))
func writesKernelCases() throws {
  let path = try #require(ProcessInfo.processInfo.environment["WALLCLOCK_CASES"])
  let file = KernelCases.file(seed: 1)
  try file.write(to: path)
  print("\(file.cases.count) cases in \(path)")
}
