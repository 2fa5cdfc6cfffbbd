#if canImport(Glibc)
  import Glibc
#endif

/// Which build of the kernels this is: what was rejected of one is no verdict on another.
public enum BuildIdentity {
  /// A 64-bit hash of the running program, in hexadecimal; with the faults injected, when there are any.
  public static let current: String = {
    let faults = FaultInjection.environment
    return hash(ofFile: "/proc/self/exe") + (faults.isEmpty ? "" : " \(FaultInjection.variable)=\(faults)")
  }()

  /// Eight bytes at a time, so that a program of some tens of megabytes takes some milliseconds.
  static func hash(ofFile path: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    // A program that cannot be read is like no other: nothing is skipped on the word of an earlier run.
    guard file >= 0 else { return "unknown-\(getpid())-\(UInt32.random(in: 0 ... .max))" }
    defer { close(file) }
    var words = [UInt64](repeating: 0, count: 1 << 14)
    while true {
      let got = unsafe words.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress!, $0.count) }
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else { break }
      unsafe words.withUnsafeMutableBytes { bytes in
        for index in got..<max(got, (got + 7) / 8 * 8) { unsafe bytes[index] = 0 }
      }
      for word in words.prefix((got + 7) / 8) {
        hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
        // Products carry upwards only; this brings the high bits down.
        hash ^= hash >> 32
      }
    }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
