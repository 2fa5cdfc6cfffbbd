/// The CPU time the control groups of this process allow.
enum ControlGroup {
  /// In CPUs; nil when no group on the way to the root sets a limit.
  ///
  /// Versions 1 and 2 (Documentation/admin-guide/cgroup-v1, cgroup-v2.rst): each ancestor may
  /// limit, so the least counts.
  static func cpuQuota(_ source: some SystemSource) -> Double? {
    let mounts = parseMounts(source.text("/proc/self/mountinfo") ?? "")
    var quota: Double?
    for line in (source.text("/proc/self/cgroup") ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isV2 = fields[0] == "0" && fields[1].isEmpty
      let controllers = fields[1].split(separator: ",")
      guard isV2 || controllers.contains("cpu") else { continue }
      let mount = mounts.first { $0.isV2 == isV2 && (isV2 || $0.controllers.contains("cpu")) }
      guard let mount else { continue }
      for directory in ancestors(of: String(fields[2]), in: mount) {
        let limit = isV2 ? readV2(source, directory) : readV1(source, directory)
        if let limit { quota = min(quota ?? limit, limit) }
      }
    }
    return quota
  }

  struct Mount: Hashable {
    var point: String
    /// The part of the hierarchy that is mounted: not `/` in a container without its own namespace.
    var root: String
    var isV2: Bool
    var controllers: [String]
  }

  /// proc_pid_mountinfo(5): `id parent dev root point options … - type source superoptions`.
  static func parseMounts(_ text: String) -> [Mount] {
    text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 1 else { return nil }
      let type = fields[dash + 1]
      guard type == "cgroup" || type == "cgroup2" else { return nil }
      let options = fields.count > dash + 3 ? fields[dash + 3].split(separator: ",").map(String.init) : []
      return Mount(
        point: String(fields[4]), root: String(fields[3]), isV2: type == "cgroup2", controllers: options)
    }
  }

  /// The directories from a group up to the mount point; at most 64, deeper than any real nesting.
  private static func ancestors(of path: String, in mount: Mount) -> [String] {
    var relative = path[...]
    if mount.root != "/" {
      let inside = path == mount.root || path.hasPrefix(mount.root + "/")
      relative = inside ? path.dropFirst(mount.root.count) : ""
    }
    let parts = relative.split(separator: "/")
    // A path that climbs out of its namespace names nothing we can see.
    guard parts.count < 64, !parts.contains("..") else { return [mount.point] }
    return (0...parts.count).map { depth in
      ([mount.point[...]] + parts.prefix(depth)).joined(separator: "/")
    }
  }

  private static func readV2(_ source: some SystemSource, _ directory: String) -> Double? {
    let fields = (source.text("\(directory)/cpu.max") ?? "").split(whereSeparator: \.isWhitespace)
    guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]) else { return nil }
    return ratio(quota, period)
  }

  private static func readV1(_ source: some SystemSource, _ directory: String) -> Double? {
    guard let quota = Parsing.integer(source.text("\(directory)/cpu.cfs_quota_us")),
      let period = Parsing.integer(source.text("\(directory)/cpu.cfs_period_us"))
    else { return nil }
    return ratio(quota, period)
  }

  private static func ratio(_ quota: Int, _ period: Int) -> Double? {
    quota > 0 && period > 0 ? Double(quota) / Double(period) : nil
  }
}
