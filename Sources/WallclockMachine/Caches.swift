import WallclockCore

extension Cache {
  /// The caches of one CPU, level by level: from /sys, or from cpuid where /sys has none.
  static func read(_ source: some SystemSource, cpu: Int, notes: inout [String]) -> [Cache] {
    let fromFiles = readFiles(source, cpu: cpu, notes: &notes)
    if !fromFiles.isEmpty { return fromFiles }
    let fromCPUID = source.architecture == "x86_64" ? readCPUID(source) : []
    notes.append(
      fromCPUID.isEmpty
        ? "no cache is described in /sys or by cpuid: cache sizes are unknown"
        : "no cache is described in /sys: sizes are cpuid's, and who shares one is its upper bound")
    return fromCPUID
  }

  private static func readFiles(
    _ source: some SystemSource, cpu: Int, notes: inout [String]
  ) -> [Cache] {
    let directory = "/sys/devices/system/cpu/cpu\(cpu)/cache"
    var caches: [Cache] = []
    for index in 0..<16 {
      let path = "\(directory)/index\(index)"
      guard let level = Parsing.integer(source.text("\(path)/level")) else { continue }
      let kind: Kind
      switch source.text("\(path)/type").map(Parsing.trimmed) {
      case "Data": kind = .data
      case "Instruction": kind = .instruction
      case "Unified": kind = .unified
      default: continue
      }
      guard (1...9).contains(level), let bytes = Parsing.byteSize(source.text("\(path)/size")) else {
        notes.append("\(path) gives no size: that cache is left out")
        continue
      }
      let line = Parsing.integer(source.text("\(path)/coherency_line_size")).flatMap { positive($0) }
      if line == nil { notes.append("\(path) gives no line size: taking 64 bytes") }
      let sharing = Parsing.cpuList(source.text("\(path)/shared_cpu_list"))
      if sharing == nil { notes.append("\(path) does not say who shares it: taking one CPU") }
      let lineBytes = line ?? 64
      // Fully associative caches say 0 ways; so does a file that is missing.
      let ways = Parsing.integer(source.text("\(path)/ways_of_associativity")).flatMap { positive($0) }
      caches.append(
        Cache(
          level: level, kind: kind, bytes: bytes, lineBytes: lineBytes,
          ways: ways ?? max(1, bytes / lineBytes), sharedBy: sharing?.count ?? 1))
    }
    return caches
  }

  /// Leaf 4 (Intel SDM vol. 2A) or 0x8000001D (AMD APM vol. 3, E.4.15): the same fields.
  private static func readCPUID(_ source: some SystemSource) -> [Cache] {
    for leaf in [4, 0x8000_001d] as [UInt32] {
      let most = source.cpuid(leaf & 0x8000_0000, 0).eax
      guard most >= leaf else { continue }
      var caches: [Cache] = []
      for subleaf in 0..<16 as Range<UInt32> {
        let r = source.cpuid(leaf, subleaf)
        let kind: Kind
        switch r.eax & 31 {
        case 1: kind = .data
        case 2: kind = .instruction
        case 3: kind = .unified
        default: return caches.isEmpty ? [] : caches
        }
        let line = Int(r.ebx & 0xfff) + 1
        let partitions = Int(r.ebx >> 12 & 0x3ff) + 1
        let ways = Int(r.ebx >> 22) + 1
        let sets = Int(r.ecx) + 1
        let (bytes, overflow) = (line * partitions * ways).multipliedReportingOverflow(by: sets)
        guard !overflow, bytes <= 1 << 40 else { continue }
        caches.append(
          Cache(
            level: Int(r.eax >> 5 & 7), kind: kind, bytes: bytes, lineBytes: line, ways: ways,
            sharedBy: Int(r.eax >> 14 & 0xfff) + 1))
      }
      if !caches.isEmpty { return caches }
    }
    return []
  }

  private static func positive(_ value: Int) -> Int? { value > 0 && value <= 1 << 20 ? value : nil }
}
