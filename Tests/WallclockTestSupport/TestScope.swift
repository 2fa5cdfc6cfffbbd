#if canImport(Glibc)
  import Glibc
#endif

/// How much the tests of this run do.
package enum TestScope {
  /// `WALLCLOCK_TEST_ALL=1`: the long versions, as `scripts/test --all` runs them.
  package static let isWhole = variable("WALLCLOCK_TEST_ALL").map { $0 != "" && $0 != "0" } ?? false

  /// `WALLCLOCK_FUZZ_SEED`: the seed of a run to repeat; else a new one each time.
  package static let fuzzSeed: UInt64 =
    variable("WALLCLOCK_FUZZ_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64(UInt32.max))

  /// The command that repeats a fuzz test with this run's seed.
  package static func rerun(_ filter: String) -> String {
    let all = isWhole ? "WALLCLOCK_TEST_ALL=1 " : ""
    return "\(all)WALLCLOCK_FUZZ_SEED=\(fuzzSeed) swift test -c release --filter \(filter)"
  }

  private static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}
