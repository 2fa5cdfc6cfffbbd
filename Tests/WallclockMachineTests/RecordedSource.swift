@testable import WallclockMachine

/// A machine made of text: its files, its cpuid leaves, its NUMA nodes.
struct RecordedSource: SystemSource {
  var files: [String: String] = [:]
  var architecture = "x86_64"
  var kernelRelease = "6.1.0-test"
  var pageBytes = 4096
  var affinity: [Int]?
  var nodes: [NodeRecord]?
  /// By leaf and subleaf; absent leaves read as zeros.
  var leaves: [[UInt32]: CPUIDRegisters] = [:]
  var xcr0: UInt64 = 0
  var amxPermitted = false
  var hwcap: (UInt, UInt) = (0, 0)

  func text(_ path: String) -> String? { files[path] }
  func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDRegisters {
    leaves[[leaf, subleaf]] ?? CPUIDRegisters()
  }

  static let cpu = "/sys/devices/system/cpu"

  /// Two sockets of `cores` cores with `ways`-way SMT, numbered as Linux does on servers: first one
  /// thread of every core, then the siblings.
  static func server(cores: Int, ways: Int) -> RecordedSource {
    var source = RecordedSource()
    let all = 2 * cores
    source.files["\(cpu)/online"] = "0-\(all * ways - 1)\n"
    for id in 0..<(all * ways) {
      let core = id % all
      let siblings = (0..<ways).map { String(core + $0 * all) }.joined(separator: ",")
      source.files["\(cpu)/cpu\(id)/topology/physical_package_id"] = "\(core / cores)\n"
      source.files["\(cpu)/cpu\(id)/topology/core_id"] = "\(core % cores)\n"
      source.files["\(cpu)/cpu\(id)/topology/thread_siblings_list"] = siblings + "\n"
    }
    source.affinity = Array(0..<(all * ways))
    source.nodes = (0..<2).map { socket in
      NodeRecord(
        id: socket, cpus: (0..<(all * ways)).filter { $0 % all / cores == socket },
        memoryBytes: 256 << 30)
    }
    source.files["/proc/cpuinfo"] = """
      processor\t: 0
      vendor_id\t: GenuineIntel
      model name\t: Intel(R) Xeon(R) Platinum 8480+
      microcode\t: 0x2b000620
      """
    return source
  }

  /// Writes one cache of a CPU into the files.
  mutating func addCache(
    cpu: Int, index: Int, level: String, type: String, size: String, line: String? = "64",
    ways: String? = "8", shared: String?
  ) {
    let path = "\(Self.cpu)/cpu\(cpu)/cache/index\(index)"
    files["\(path)/level"] = level + "\n"
    files["\(path)/type"] = type + "\n"
    files["\(path)/size"] = size + "\n"
    files["\(path)/coherency_line_size"] = line.map { $0 + "\n" }
    files["\(path)/ways_of_associativity"] = ways.map { $0 + "\n" }
    files["\(path)/shared_cpu_list"] = shared.map { $0 + "\n" }
  }

  /// cpuid's leaves for features, from lists of (register bits).
  mutating func setFeatures(
    leaf1ecx: [Int], leaf7ebx: [Int] = [], leaf7ecx: [Int] = [], leaf7edx: [Int] = [], leaf71eax: [Int] = []
  ) {
    func bits(_ list: [Int]) -> UInt32 { list.reduce(0) { $0 | 1 << UInt32($1) } }
    leaves[[0, 0]] = CPUIDRegisters(eax: 0x20, ebx: 0x756e_6547, ecx: 0x6c65_746e, edx: 0x4965_6e69)
    leaves[[1, 0]] = CPUIDRegisters(ecx: bits(leaf1ecx))
    leaves[[7, 0]] = CPUIDRegisters(eax: 1, ebx: bits(leaf7ebx), ecx: bits(leaf7ecx), edx: bits(leaf7edx))
    leaves[[7, 1]] = CPUIDRegisters(eax: bits(leaf71eax))
  }
}
