/// One level of cache as a core sees it.
public struct Cache: Hashable, Sendable, Codable {
  public enum Kind: String, Sendable, Codable { case data, instruction, unified }
  public var level: Int
  public var kind: Kind
  public var bytes: Int
  public var lineBytes: Int
  public var ways: Int
  /// Logical CPUs that share one instance.
  public var sharedBy: Int

  public init(level: Int, kind: Kind, bytes: Int, lineBytes: Int, ways: Int, sharedBy: Int) {
    self.level = level
    self.kind = kind
    self.bytes = bytes
    self.lineBytes = lineBytes
    self.ways = ways
    self.sharedBy = sharedBy
  }
}

/// One NUMA node: its CPUs (those this process may use) and memory.
public struct NUMANode: Hashable, Sendable, Codable {
  public var id: Int
  public var cpus: [Int]
  public var memoryBytes: Int
  public init(id: Int, cpus: [Int], memoryBytes: Int) {
    self.id = id
    self.cpus = cpus
    self.memoryBytes = memoryBytes
  }
}

/// What makes a profile true for a machine. A profile of one fingerprint is refused on another.
public struct Fingerprint: Hashable, Sendable, Codable {
  public var architecture: String
  public var cpuVendor: String
  public var cpuModel: String
  public var microcode: String
  public var kernelRelease: String
  public var isa: [ISA]
  public var caches: [Cache]
  public var sockets: Int
  public var physicalCores: Int
  public var logicalCPUs: Int
  public var threadsPerCore: Int
  public var nodes: [NUMANode]
  /// Logical CPUs this process may run on.
  public var cpuset: [Int]
  /// CPU time the control group allows, in CPUs; nil when unlimited.
  public var cpuQuota: Double?
  public var pageBytes: Int

  public init(
    architecture: String, cpuVendor: String, cpuModel: String, microcode: String,
    kernelRelease: String, isa: [ISA], caches: [Cache], sockets: Int, physicalCores: Int,
    logicalCPUs: Int, threadsPerCore: Int, nodes: [NUMANode], cpuset: [Int], cpuQuota: Double?,
    pageBytes: Int
  ) {
    self.architecture = architecture
    self.cpuVendor = cpuVendor
    self.cpuModel = cpuModel
    self.microcode = microcode
    self.kernelRelease = kernelRelease
    self.isa = isa
    self.caches = caches
    self.sockets = sockets
    self.physicalCores = physicalCores
    self.logicalCPUs = logicalCPUs
    self.threadsPerCore = threadsPerCore
    self.nodes = nodes
    self.cpuset = cpuset
    self.cpuQuota = cpuQuota
    self.pageBytes = pageBytes
  }

  /// Bytes of the data or unified cache of `level`, as one core sees it; nil when there is none.
  public func cacheBytes(level: Int) -> Int? {
    caches.first { $0.level == level && $0.kind != .instruction }?.bytes
  }

  /// The largest cache a core can reach.
  public var lastLevelCacheBytes: Int {
    caches.filter { $0.kind != .instruction }.map(\.bytes).max() ?? 0
  }
}

/// The state a machine was in when something was measured. Informative: it does not refuse a profile.
public struct Conditions: Hashable, Sendable, Codable {
  /// `always`, `madvise` or `never`; nil where the kernel does not say.
  public var transparentHugePages: String?
  /// The frequency governor; nil where there is none to see, as in most virtual machines.
  public var governor: String?
  public var loadAverage: Double
  /// Share of CPU time stolen by the hypervisor while measuring, 0 … 1.
  public var steal: Double

  public init(transparentHugePages: String?, governor: String?, loadAverage: Double, steal: Double) {
    self.transparentHugePages = transparentHugePages
    self.governor = governor
    self.loadAverage = loadAverage
    self.steal = steal
  }
}

/// The best rate anything was seen to reach on this host.
public struct Ceiling: Hashable, Sendable, Codable {
  /// `int8`, `int4`, `bf16`, `f32`, `read.l1`, `read.l2`, `read.l3`, `read.dram`; `handoff`.
  public var name: String
  public var threads: Int
  /// In `unit`: the median of the winning probe's samples.
  public var value: Double
  /// `GOP/s` or `GB/s` (10⁹), or `ns` for a latency.
  public var unit: String
  /// Half the width of the middle 95 % of the samples, relative to the value.
  public var spread: Double
  /// The probe that won: instruction mix, streams, prefetch distance.
  public var probe: String

  /// Whether it leaves more to be had: a higher rate, or a shorter time.
  public func isBetter(than other: Ceiling) -> Bool { unit == "ns" ? value < other.value : value > other.value }

  public init(name: String, threads: Int, value: Double, unit: String, spread: Double, probe: String) {
    self.name = name
    self.threads = threads
    self.value = value
    self.unit = unit
    self.spread = spread
    self.probe = probe
  }
}
