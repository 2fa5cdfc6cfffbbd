#if canImport(Glibc)
  import Glibc
#endif
import CWallclockLinux

/// The registers one cpuid leaf returns.
package struct CPUIDRegisters: Hashable, Sendable {
  package var eax, ebx, ecx, edx: UInt32
  package init(eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0) {
    self.eax = eax
    self.ebx = ebx
    self.ecx = ecx
    self.edx = edx
  }
}

/// One NUMA node as the kernel reports it, before it is cut to what this process may use.
package struct NodeRecord: Hashable, Sendable {
  package var id: Int
  package var cpus: [Int]
  /// nil where the kernel does not say.
  package var memoryBytes: Int?
  package init(id: Int, cpus: [Int], memoryBytes: Int?) {
    self.id = id
    self.cpus = cpus
    self.memoryBytes = memoryBytes
  }
}

/// Everything that is asked of the system to learn what machine this is, so that other machines'
/// answers can be put in its place.
package protocol SystemSource: Sendable {
  /// A small text file, or nil when it is missing or cannot be read.
  func text(_ path: String) -> String?
  /// `x86_64` or `aarch64`.
  var architecture: String { get }
  var kernelRelease: String { get }
  var pageBytes: Int { get }
  /// Logical CPUs this process may run on; nil when the kernel does not say.
  var affinity: [Int]? { get }
  /// nil when the kernel has no NUMA, or does not let us ask.
  var nodes: [NodeRecord]? { get }
  func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDRegisters
  var xcr0: UInt64 { get }
  /// Whether the kernel lets this process use AMX tiles.
  var amxPermitted: Bool { get }
  /// AT_HWCAP and AT_HWCAP2 on Arm; zeros elsewhere.
  var hwcap: (UInt, UInt) { get }
}

/// The machine this runs on.
package struct HostSource: SystemSource {
  package init() {}

  package func text(_ path: String) -> String? {
    // Files under /proc and /sys have no size to ask for, so read until the end or a sane limit.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while bytes.count < 16 << 20 {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  package var architecture: String {
    #if arch(x86_64)
      "x86_64"
    #else
      "aarch64"
    #endif
  }

  package var kernelRelease: String {
    text("/proc/sys/kernel/osrelease").map(Parsing.trimmed) ?? "unknown"
  }

  package var pageBytes: Int { max(4096, sysconf(Int32(_SC_PAGESIZE))) }

  package var affinity: [Int]? { unsafe Self.list { unsafe wcl_get_affinity(0, $0, $1) } }

  package var nodes: [NodeRecord]? {
    guard wcl_numa_available() == 1 else { return nil }
    let last = Int(wcl_numa_max_node())
    guard last >= 0 else { return nil }
    return (0...last).compactMap { id in
      guard let cpus = unsafe Self.list({ unsafe wcl_numa_node_cpus(Int32(id), $0, $1) }) else { return nil }
      let bytes = wcl_numa_node_bytes(Int32(id))
      return NodeRecord(id: id, cpus: cpus, memoryBytes: bytes < 0 ? nil : Int(bytes))
    }
  }

  package func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDRegisters {
    let r = wcl_cpuid(leaf, subleaf)
    return CPUIDRegisters(eax: r.eax, ebx: r.ebx, ecx: r.ecx, edx: r.edx)
  }

  package var xcr0: UInt64 { wcl_xcr0() }
  package var amxPermitted: Bool { wcl_request_amx() == 0 }

  package var hwcap: (UInt, UInt) { (UInt(wcl_hwcap(1)), UInt(wcl_hwcap(2))) }

  /// Calls a shim that fills a list of CPUs and returns how many there are; nil when it fails.
  private static func list(_ fill: (UnsafeMutablePointer<Int32>?, Int32) -> Int32) -> [Int]? {
    var capacity = 1024
    while capacity <= Parsing.mostCPUs {
      var cpus = [Int32](repeating: 0, count: capacity)
      let count = unsafe cpus.withUnsafeMutableBufferPointer {
        unsafe fill($0.baseAddress, Int32($0.count))
      }
      if count < 0 { return nil }
      if count <= capacity { return cpus[..<Int(count)].map(Int.init) }
      capacity *= 2
    }
    return nil
  }
}
