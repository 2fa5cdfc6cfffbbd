public import WallclockCore

/// CPU time used and stolen since the machine started, in clock ticks.
public struct CPUTimes: Hashable, Sendable {
  public var total: UInt64
  /// Taken by the hypervisor while something here wanted to run.
  public var stolen: UInt64

  public init(total: UInt64, stolen: UInt64) {
    self.total = total
    self.stolen = stolen
  }

  /// Over the CPUs this process may use; nil where /proc/stat cannot be read.
  public static func current() -> CPUTimes? {
    CPUTimes(parsing: HostSource().text("/proc/stat"), cpus: Set(Machine.host.fingerprint.cpuset))
  }

  /// The `cpuN user nice system idle iowait irq softirq steal …` lines of proc_stat(5). Guest time
  /// is part of user time, so it is not added again.
  init?(parsing text: String?, cpus: Set<Int>) {
    var total: UInt64 = 0, stolen: UInt64 = 0, found = false
    for line in (text ?? "").split(separator: "\n") where line.hasPrefix("cpu") {
      let fields = line.split(separator: " ")
      guard let cpu = Int(fields[0].dropFirst(3)), cpus.contains(cpu) else { continue }
      let values = fields.dropFirst().prefix(8).map { UInt64($0) ?? 0 }
      guard values.count >= 4 else { continue }
      for value in values { total = total &+ value }
      if values.count == 8 { stolen = stolen &+ values[7] }
      found = true
    }
    guard found else { return nil }
    self.init(total: total, stolen: stolen)
  }

  /// The share of CPU time stolen between `start` and this, 0 … 1.
  public func stealShare(since start: CPUTimes) -> Double {
    guard total > start.total, stolen >= start.stolen else { return 0 }
    return min(1, Double(stolen - start.stolen) / Double(total - start.total))
  }
}

extension Conditions {
  /// The state of this machine now.
  ///
  /// - Parameter start: when measuring began: steal is the share since then. Without it, the share
  ///   since the machine started.
  public static func current(since start: CPUTimes? = nil) -> Conditions {
    read(HostSource(), cpus: Machine.host.fingerprint.cpuset, since: start)
  }

  static func read(
    _ source: some SystemSource, cpus: [Int], since start: CPUTimes?
  ) -> Conditions {
    let pages = Parsing.selected(source.text("/sys/kernel/mm/transparent_hugepage/enabled"))
    let frequency = "/sys/devices/system/cpu/cpu\(cpus.first ?? 0)/cpufreq"
    let governor = source.text("\(frequency)/scaling_governor").map(Parsing.trimmed)
    let load = (source.text("/proc/loadavg") ?? "").split(separator: " ").first.flatMap { Double($0) }
    let now = CPUTimes(parsing: source.text("/proc/stat"), cpus: Set(cpus))
    return Conditions(
      transparentHugePages: pages, governor: governor.flatMap { $0.isEmpty ? nil : $0 },
      loadAverage: load.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil } ?? 0,
      steal: now?.stealShare(since: start ?? CPUTimes(total: 0, stolen: 0)) ?? 0)
  }
}
