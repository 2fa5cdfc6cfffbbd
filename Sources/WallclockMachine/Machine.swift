public import WallclockCore

/// The machine this process runs on, as far as it may use it.
public struct Machine: Sendable {
  public let fingerprint: Fingerprint
  public let topology: Topology
  /// What could not be read, and what was taken in its place. For people.
  public let notes: [String]
  /// Whether nodes are the kernel's; false: it has no NUMA policy, and one node stands for all.
  public let hasNUMA: Bool

  /// Read once, on first use: before any thread is pinned, since pinning narrows the cpuset.
  public static let host = Machine(reading: HostSource())

  package init(reading source: some SystemSource) {
    var notes: [String] = []
    let affinity = source.affinity ?? []
    let topology = Topology.read(source, affinity: affinity, notes: &notes)
    let online = topology.cpus.map(\.id)
    var cpuset = affinity
    if cpuset.isEmpty {
      notes.append("the kernel does not say which CPUs this process may run on: taking all that are online")
      cpuset = online.isEmpty ? [0] : online
    }

    // Caches as the fastest core this process may use sees them.
    let usable = topology.cpus.filter { cpuset.contains($0.id) }
    let fastest = usable.max { ($0.capacity, -$0.id) < ($1.capacity, -$1.id) }
    let kinds = Set(usable.map(\.capacity)).count
    if kinds > 1 { notes.append("hybrid machine: \(kinds) kinds of core; caches are those of the fastest") }
    let caches = Cache.read(source, cpu: fastest?.id ?? cpuset[0], notes: &notes)

    let records = source.nodes
    let nodes = Self.nodes(records, cpuset: cpuset, source: source, notes: &notes)
    let (vendor, model) = Features.name(source)
    let processors = Parsing.cpuinfo(source.text("/proc/cpuinfo"))
    let microcode =
      processors.first?["microcode"] ?? processors.first?["CPU revision"].map { "revision \($0)" }
    if microcode == nil { notes.append("/proc/cpuinfo names no microcode") }

    self.topology = topology
    self.notes = notes
    hasNUMA = !(records ?? []).isEmpty
    fingerprint = Fingerprint(
      architecture: source.architecture, cpuVendor: vendor, cpuModel: model,
      microcode: microcode ?? "unknown", kernelRelease: source.kernelRelease,
      isa: Features.isa(source), caches: caches, sockets: topology.sockets,
      physicalCores: topology.physicalCores, logicalCPUs: max(topology.cpus.count, 1),
      threadsPerCore: topology.threadsPerCore, nodes: nodes, cpuset: cpuset,
      cpuQuota: ControlGroup.cpuQuota(source), pageBytes: source.pageBytes)
  }

  /// Every node, each with the CPUs of it this process may use (none, on nodes of memory only).
  private static func nodes(
    _ records: [NodeRecord]?, cpuset: [Int], source: some SystemSource, notes: inout [String]
  ) -> [NUMANode] {
    guard let records, !records.isEmpty else {
      notes.append("the kernel offers no NUMA policy: one node stands for the machine")
      return [NUMANode(id: 0, cpus: cpuset, memoryBytes: totalMemory(source, notes: &notes))]
    }
    return records.map { record in
      let bytes = record.memoryBytes ?? (records.count == 1 ? totalMemory(source, notes: &notes) : 0)
      if record.memoryBytes == nil && records.count > 1 {
        notes.append("the memory of NUMA node \(record.id) is unknown: shown as 0")
      }
      return NUMANode(
        id: record.id, cpus: record.cpus.filter(Set(cpuset).contains), memoryBytes: bytes)
    }
  }

  /// MemTotal of /proc/meminfo, in bytes.
  private static func totalMemory(_ source: some SystemSource, notes: inout [String]) -> Int {
    for line in (source.text("/proc/meminfo") ?? "").split(separator: "\n") {
      let fields = line.split(whereSeparator: \.isWhitespace)
      guard fields.count >= 2, fields[0] == "MemTotal:", let kibibytes = Int(fields[1]),
        kibibytes > 0, kibibytes < 1 << 50
      else { continue }
      return kibibytes << 10
    }
    notes.append("/proc/meminfo gives no MemTotal: memory is shown as 0")
    return 0
  }
}
