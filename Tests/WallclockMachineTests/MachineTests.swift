import Testing
import WallclockCore

@testable import WallclockMachine

@Suite struct MachineTests {
  @Test func hostIsWhole() {
    let machine = Machine.host.fingerprint
    #expect(machine.isa.first == .scalar)
    #expect(machine.isa == machine.isa.sorted())
    #expect(!machine.cpuset.isEmpty)
    #expect(machine.logicalCPUs >= machine.physicalCores)
    #expect(machine.physicalCores >= machine.sockets)
    #expect(!machine.nodes.isEmpty)
    #expect(machine.nodes.flatMap(\.cpus).allSatisfy(machine.cpuset.contains))
    #expect(machine.pageBytes >= 4096)
    #expect(machine == Machine(reading: HostSource()).fingerprint, "read twice, the same machine")
    #expect(Machine.host.notes.allSatisfy { !$0.isEmpty })
  }

  @Test func hostAgreesWithTheKernelsOwnFlags() throws {
    guard HostSource().architecture == "x86_64",
      let flags = Parsing.cpuinfo(HostSource().text("/proc/cpuinfo")).first?["flags"]
    else { try Test.cancel("no x86 flags in /proc/cpuinfo") }
    let words = Set(flags.split(separator: " ").map(String.init))
    let isa = Machine.host.fingerprint.isa
    let expected: [(ISA, [String])] = [
      (.avx2, ["avx2", "fma", "f16c"]), (.avxvnni, ["avx_vnni"]),
      (.avx512, ["avx512f", "avx512bw", "avx512dq", "avx512vl"]), (.avx512vnni, ["avx512_vnni"]),
      (.avx512bf16, ["avx512_bf16"]),
    ]
    for (level, names) in expected {
      #expect(isa.contains(level) == names.allSatisfy(words.contains), "\(level)")
    }
  }

  @Test func twoSocketsWithSMT() throws {
    let source = RecordedSource.server(cores: 4, ways: 2)
    let machine = Machine(reading: source)
    let f = machine.fingerprint
    #expect((f.sockets, f.physicalCores, f.logicalCPUs, f.threadsPerCore) == (2, 8, 16, 2))
    #expect(f.nodes.map(\.cpus) == [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]])
    #expect(f.cpuModel == "Intel(R) Xeon(R) Platinum 8480+")
    #expect(f.microcode == "0x2b000620")

    let choose = { (threads: Int, node: Int?) throws in
      try machine.topology.chooseCPUs(threads: threads, within: f.cpuset, nodes: f.nodes, node: node)
    }
    #expect(try choose(3, nil) == [0, 1, 2], "neighbours, one per core")
    #expect(try choose(8, nil) == [0, 1, 2, 3, 4, 5, 6, 7], "every core before any sibling")
    #expect(try choose(10, nil).suffix(2) == [8, 9])
    #expect(try choose(4, 1) == [4, 5, 6, 7])
    #expect(try choose(5, 1) == [4, 5, 6, 7, 12])
    #expect(throws: MachineError.self) { try choose(9, 1) }
    #expect(throws: MachineError.self) { try choose(17, nil) }
    #expect(throws: MachineError.self) { try choose(1, 2) }
  }

  @Test func aCpusetNarrowsEverything() throws {
    var source = RecordedSource.server(cores: 4, ways: 2)
    source.affinity = [1, 5, 9]
    let machine = Machine(reading: source), f = machine.fingerprint
    #expect(f.cpuset == [1, 5, 9])
    #expect(f.nodes.map(\.cpus) == [[1, 9], [5]])
    #expect(f.physicalCores == 8, "the machine's identity is the whole machine")
    let chosen = try machine.topology.chooseCPUs(threads: 3, within: f.cpuset, nodes: f.nodes)
    #expect(chosen == [1, 5, 9], "9 is the sibling of 1")
    #expect(throws: MachineError.self) {
      try machine.topology.chooseCPUs(threads: 4, within: f.cpuset, nodes: f.nodes)
    }
  }

  @Test func hybridCoresPreferTheFastOnes() throws {
    // Two fast cores with SMT (0–3) and four small ones (4–7).
    var source = RecordedSource()
    source.files["\(RecordedSource.cpu)/online"] = "0-7"
    source.files["/sys/devices/cpu_atom/cpus"] = "4-7\n"
    for id in 0..<8 {
      let topology = "\(RecordedSource.cpu)/cpu\(id)/topology"
      source.files["\(topology)/thread_siblings_list"] = id < 4 ? "\(id / 2 * 2)-\(id / 2 * 2 + 1)" : "\(id)"
      source.files["\(topology)/physical_package_id"] = "0"
    }
    source.addCache(cpu: 0, index: 0, level: "1", type: "Data", size: "48K", shared: "0-1")
    source.addCache(cpu: 4, index: 0, level: "1", type: "Data", size: "32K", shared: "4")
    source.affinity = [4, 5, 6, 7, 0, 1, 2, 3]
    let machine = Machine(reading: source), f = machine.fingerprint
    #expect((f.sockets, f.physicalCores, f.threadsPerCore) == (1, 6, 2))
    #expect(f.cacheBytes(level: 1) == 48 << 10, "as the fastest core sees it")
    #expect(machine.notes.contains { $0.contains("hybrid") })
    let order = try machine.topology.chooseCPUs(threads: 8, within: f.cpuset, nodes: f.nodes)
    #expect(order == [0, 2, 4, 5, 6, 7, 1, 3])
  }

  @Test func withoutAnyFileThereIsStillAMachine() throws {
    var source = RecordedSource()
    source.affinity = [2, 3]
    let machine = Machine(reading: source), f = machine.fingerprint
    #expect(f.cpuset == [2, 3])
    #expect(f.nodes.map(\.cpus) == [[2, 3]])
    #expect((f.logicalCPUs, f.physicalCores, f.sockets) == (2, 2, 1))
    #expect(f.isa == [.scalar])
    #expect(f.cacheBytes(level: 1) == nil)
    #expect(f.cpuQuota == nil)
    #expect(!machine.hasNUMA)
    #expect((f.cpuVendor, f.cpuModel, f.microcode) == ("unknown", "unknown", "unknown"))
    for word in ["online", "cores", "cache", "NUMA", "MemTotal", "microcode"] {
      #expect(machine.notes.contains { $0.contains(word) }, "what is missing is said: \(word)")
    }

    source.affinity = nil
    #expect(Machine(reading: source).fingerprint.cpuset == [0])
  }

  @Test func garbageTrapsNothing() {
    let garbage = [
      "", "\n", "-1", "0-", "-", "1-0", "0-99999999999", "9223372036854775807", "18446744073709551616", "0,0,0",
      "4294967296K", "9223372036854775807G", "\u{0}\u{0}", "0x10", "NaN", "∞", "a:b:c\n:::\n0::", "[]", "[[", "]",
      "cpu0 1 2\ncpu0\ncpux 1 2 3 4\ncpu0 a b c d", "max max", "0 0", "-5 0", "1 0",
      String(repeating: ",", count: 1000),
    ]
    let paths = [
      "online", "cpu0/topology/physical_package_id", "cpu0/topology/thread_siblings_list", "cpu0/cpu_capacity",
      "cpu0/cache/index0/level", "cpu0/cache/index0/type", "cpu0/cache/index0/size",
      "cpu0/cache/index0/coherency_line_size", "cpu0/cache/index0/ways_of_associativity",
      "cpu0/cache/index0/shared_cpu_list", "cpu0/cpufreq/scaling_governor",
    ].map { "\(RecordedSource.cpu)/\($0)" } + [
      "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/self/cgroup",
      "/proc/self/mountinfo", "/sys/fs/cgroup/cpu.max", "/sys/devices/cpu_atom/cpus",
      "/sys/kernel/mm/transparent_hugepage/enabled",
    ]
    for text in garbage {
      // All files at once, and each alone in an otherwise sound machine.
      var all = RecordedSource()
      all.affinity = [0]
      for path in paths { all.files[path] = text }
      check(all)
      for path in paths {
        var one = RecordedSource.server(cores: 2, ways: 2)
        one.addCache(cpu: 0, index: 0, level: "1", type: "Data", size: "32K", shared: "0,4")
        one.files["/proc/self/cgroup"] = "0::/"
        one.files["/proc/self/mountinfo"] = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
        one.files[path] = text
        check(one)
      }
    }
    // cpuid that answers nonsense everywhere.
    for word in [UInt32.max, 0x8000_0000, 1, 0x1f] {
      var source = RecordedSource()
      let all = CPUIDRegisters(eax: word, ebx: word, ecx: word, edx: word)
      for leaf in [0, 1, 4, 7, 0x8000_0000, 0x8000_0002, 0x8000_001d] as [UInt32] {
        for subleaf in 0..<16 as Range<UInt32> { source.leaves[[leaf, subleaf]] = all }
      }
      source.xcr0 = UInt64.max
      check(source)
    }
  }

  private func check(_ source: RecordedSource) {
    let f = Machine(reading: source).fingerprint
    #expect(!f.cpuset.isEmpty)
    #expect(f.caches.allSatisfy { $0.bytes > 0 && $0.lineBytes > 0 && $0.ways > 0 && $0.sharedBy > 0 })
    #expect(f.sockets >= 1 && f.physicalCores >= 1 && f.logicalCPUs >= 1 && f.threadsPerCore >= 1)
    #expect(f.cpuQuota.map { $0 > 0 && $0.isFinite } ?? true)
    #expect(f.nodes.allSatisfy { $0.memoryBytes >= 0 })
    let conditions = Conditions.read(source, cpus: f.cpuset, since: nil)
    #expect((0...1).contains(conditions.steal))
    #expect(conditions.loadAverage.isFinite && conditions.loadAverage >= 0)
  }

  @Test func cachesFromFiles() {
    var source = RecordedSource.server(cores: 2, ways: 2)
    source.addCache(cpu: 0, index: 0, level: "1", type: "Data", size: "48K", ways: "12", shared: "0,4")
    source.addCache(cpu: 0, index: 1, level: "1", type: "Instruction", size: "32K", shared: "0,4")
    source.addCache(cpu: 0, index: 2, level: "2", type: "Unified", size: "2048K", ways: "16", shared: "0,4")
    source.addCache(cpu: 0, index: 3, level: "3", type: "Unified", size: "105M", ways: "0", shared: "0-1,4-5")
    source.addCache(cpu: 0, index: 4, level: "4", type: "Unified", size: "?", shared: nil)
    let machine = Machine(reading: source), f = machine.fingerprint
    #expect(f.caches.count == 4)
    #expect(f.caches[0] == Cache(level: 1, kind: .data, bytes: 48 << 10, lineBytes: 64, ways: 12, sharedBy: 2))
    #expect(f.cacheBytes(level: 2) == 2 << 20)
    #expect(f.lastLevelCacheBytes == 105 << 20)
    #expect(f.caches[3].sharedBy == 4)
    #expect(machine.notes.contains { $0.contains("index4") })
  }

  @Test(arguments: [4, 0x8000_001d] as [UInt32]) func cachesFromCPUIDWhereThereAreNoFiles(leaf: UInt32) {
    var source = RecordedSource()
    source.affinity = [0]
    source.leaves[[leaf & 0x8000_0000, 0]] = CPUIDRegisters(eax: leaf)
    // 32 KiB, 8 ways of 64 sets; 1 MiB, 8 ways of 2048 sets shared by 2; then the end.
    source.leaves[[leaf, 0]] = CPUIDRegisters(eax: 1 | 1 << 5, ebx: 7 << 22 | 63, ecx: 63)
    source.leaves[[leaf, 1]] = CPUIDRegisters(eax: 3 | 2 << 5 | 1 << 14, ebx: 7 << 22 | 63, ecx: 2047)
    let machine = Machine(reading: source)
    #expect(
      machine.fingerprint.caches == [
        Cache(level: 1, kind: .data, bytes: 32 << 10, lineBytes: 64, ways: 8, sharedBy: 1),
        Cache(level: 2, kind: .unified, bytes: 1 << 20, lineBytes: 64, ways: 8, sharedBy: 2),
      ])
    #expect(machine.notes.contains { $0.contains("cpuid") })
  }
}
