public import WallclockCore

/// One logical CPU and what it shares with others.
public struct LogicalCPU: Hashable, Sendable {
  public var id: Int
  /// The lowest logical CPU of its physical core: equal for SMT siblings.
  public var core: Int
  public var socket: Int
  /// How fast the kernel thinks it is, 1024 for the fastest; tells hybrid cores apart.
  public var capacity: Int

  public init(id: Int, core: Int, socket: Int, capacity: Int = 1024) {
    self.id = id
    self.core = core
    self.socket = socket
    self.capacity = capacity
  }
}

/// The logical CPUs that are online, ascending.
public struct Topology: Hashable, Sendable {
  public var cpus: [LogicalCPU]

  public init(cpus: [LogicalCPU]) { self.cpus = cpus }

  public var sockets: Int { max(1, Set(cpus.map(\.socket)).count) }
  public var physicalCores: Int { max(1, Set(cpus.map(\.core)).count) }
  /// The most SMT siblings any core has online.
  public var threadsPerCore: Int {
    max(1, Dictionary(grouping: cpus, by: \.core).values.map(\.count).max() ?? 1)
  }

  /// Which CPUs `threads` threads should be pinned to: fast cores before slow ones, one thread per
  /// physical core before SMT siblings, and neighbours together.
  ///
  /// - Parameters:
  ///   - allowed: the logical CPUs this process may use.
  ///   - node: stay on this node.
  /// - Throws: `MachineError` when there are fewer CPUs than threads or no such node.
  public func chooseCPUs(
    threads: Int, within allowed: [Int], nodes: [NUMANode], node: Int? = nil
  ) throws(MachineError) -> [Int] {
    var usable = Set(allowed)
    if let node {
      guard let found = nodes.first(where: { $0.id == node }) else {
        let known = nodes.map { String($0.id) }.joined(separator: ", ")
        throw MachineError(.noSuchNode, "there is no NUMA node \(node); this machine has: \(known)")
      }
      usable.formIntersection(found.cpus)
    }
    guard threads >= 1, threads <= usable.count else {
      let place = node.map { " on NUMA node \($0)" } ?? ""
      throw MachineError(
        .notEnoughCPUs,
        "\(threads) threads asked for\(place), but this process may use \(usable.count) CPUs there; "
          + "ask for 1 to \(usable.count)")
    }
    let nodeOf = nodes.reduce(into: [Int: Int]()) { map, n in for cpu in n.cpus { map[cpu] = n.id } }
    // CPUs that /sys does not describe count as cores of their own, after those it does.
    let known = Dictionary(cpus.map { ($0.id, $0) }, uniquingKeysWith: { a, _ in a })
    var taken: [Int: Int] = [:]
    // A sibling shares its core's multipliers and a slow core has its own: so all cores, fast ones
    // first, come before any second sibling.
    let order = usable.sorted().map { id -> (rank: [Int], id: Int) in
      let cpu = known[id] ?? LogicalCPU(id: id, core: id, socket: Int.max, capacity: 0)
      let sibling = taken[cpu.core, default: 0]
      taken[cpu.core] = sibling + 1
      return ([sibling, -cpu.capacity, cpu.socket, nodeOf[id] ?? Int.max, id], id)
    }.sorted { $0.rank.lexicographicallyPrecedes($1.rank) }
    return order.prefix(threads).map(\.id)
  }

  /// From /sys/devices/system/cpu, with /proc/cpuinfo where that is missing.
  static func read(_ source: some SystemSource, affinity: [Int], notes: inout [String]) -> Topology {
    let base = "/sys/devices/system/cpu"
    var online = Parsing.cpuList(source.text("\(base)/online"))
    if online == nil {
      notes.append("\(base)/online cannot be read: taking the CPUs this process may run on as all there are")
      online = affinity
    }
    let small = Set(Parsing.cpuList(source.text("/sys/devices/cpu_atom/cpus")) ?? [])
    let info = Dictionary(
      Parsing.cpuinfo(source.text("/proc/cpuinfo")).compactMap { block in
        Parsing.integer(block["processor"]).map { ($0, block) }
      }, uniquingKeysWith: { a, _ in a })
    var firstOfCore: [[Int]: Int] = [:]
    var guessed = 0
    let cpus = (online ?? affinity).map { id -> LogicalCPU in
      let topology = "\(base)/cpu\(id)/topology"
      let socket =
        Parsing.integer(source.text("\(topology)/physical_package_id"))
        ?? Parsing.integer(info[id]?["physical id"]) ?? 0
      var core = id
      if let siblings = Parsing.cpuList(source.text("\(topology)/thread_siblings_list")),
        siblings.contains(id)
      {
        core = siblings[0]
      } else if let name = Parsing.integer(info[id]?["core id"]) {
        core = firstOfCore[[socket, name], default: id]
        firstOfCore[[socket, name]] = core
      } else {
        guessed += 1
      }
      let capacity = Parsing.integer(source.text("\(base)/cpu\(id)/cpu_capacity"))
      return LogicalCPU(
        id: id, core: core, socket: max(0, socket),
        capacity: capacity.map { min(max($0, 1), 1024) } ?? (small.contains(id) ? 512 : 1024))
    }
    if guessed > 0 {
      notes.append(
        "the cores of \(guessed) CPUs are unknown (no topology in /sys or /proc/cpuinfo): taking each as a core")
    }
    return Topology(cpus: cpus)
  }
}
