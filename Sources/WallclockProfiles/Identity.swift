import Foundation
import WallclockCore

extension Fingerprint {
  /// The fields that make a profile true for a machine, by name, each as people read it.
  ///
  /// The memory of each node is left out: the kernel's reserve changes it from boot to boot.
  private var identityFields: [(name: String, value: String)] {
    func list(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ",") }
    let caches = caches.sorted { ($0.level, $0.kind.rawValue) < ($1.level, $1.kind.rawValue) }
      .map {
        "L\($0.level) \($0.kind.rawValue) \($0.bytes) B, lines of \($0.lineBytes) B, \($0.ways) ways, "
          + "shared by \($0.sharedBy)"
      }
    return [
      ("architecture", architecture),
      ("cpuVendor", cpuVendor),
      ("cpuModel", cpuModel),
      ("microcode", microcode),
      ("kernelRelease", kernelRelease),
      ("isa", isa.sorted().map(\.rawValue).joined(separator: " ")),
      ("caches", caches.joined(separator: "; ")),
      ("sockets", "\(sockets)"),
      ("physicalCores", "\(physicalCores)"),
      ("logicalCPUs", "\(logicalCPUs)"),
      ("threadsPerCore", "\(threadsPerCore)"),
      (
        "nodes",
        nodes.sorted { $0.id < $1.id }.map { "\($0.id): \(list($0.cpus.sorted()))" }.joined(separator: ", ")
      ),
      ("cpuset", list(cpuset.sorted())),
      ("cpuQuota", cpuQuota.map { "\($0)" } ?? "unlimited"),
      ("pageBytes", "\(pageBytes)"),
    ]
  }

  /// All that identifies the machine, as text; equal for equal machines only.
  package var identity: String {
    identityFields.map { "\($0.name)=\($0.value)" }.joined(separator: "\n")
  }

  /// 64-bit FNV-1a of the identity, in hexadecimal: a short name, not a proof of equality.
  public var identityHash: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in identity.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Each identity field that differs: `microcode: expected A, found B`, where `self` is what was
  /// profiled and `host` the machine found. Empty when a profile of one is true for the other.
  public func differences(to host: Fingerprint) -> [String] {
    zip(identityFields, host.identityFields).compactMap { mine, theirs in
      mine.value == theirs.value
        ? nil : "\(mine.name): expected \(mine.value.quotedIfEmpty), found \(theirs.value.quotedIfEmpty)"
    }
  }

  /// Checks sizes and counts with `require(holds, what)`.
  func check(
    _ require: (Bool, @autoclosure () -> String) throws(ProfileError) -> Void
  ) throws(ProfileError) {
    let counts =
      [sockets, physicalCores, logicalCPUs, threadsPerCore, pageBytes] + cpuset
      + nodes.flatMap { [$0.id, $0.memoryBytes] + $0.cpus }
      + caches.flatMap { [$0.level, $0.bytes, $0.lineBytes, $0.ways, $0.sharedBy] }
    try require(counts.allSatisfy { $0 >= 0 }, "the fingerprint has a negative size or count")
    if let cpuQuota {
      try require(cpuQuota.isFinite && cpuQuota > 0, "the fingerprint's cpuQuota is \(cpuQuota)")
    }
  }
}

extension String {
  fileprivate var quotedIfEmpty: String { isEmpty ? "\"\"" : self }
}
