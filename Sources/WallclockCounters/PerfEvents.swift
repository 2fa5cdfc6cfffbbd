import CWallclockLinux
import WallclockMachine

#if canImport(Glibc)
  import Glibc
#endif

/// Counts through libpfm4 and perf_event_open.
///
/// Hardware events count user mode only: kernels run there, and figures stay comparable between
/// machines that allow more and machines that do not.
package struct PerfEvents: CounterProvider {
  package init() {}

  package var corePMU: String? {
    // Hybrid machines have several; a pool may straddle them, and no one table fits: generic events.
    guard let first = unsafe wcl_core_pmu(0), unsafe wcl_core_pmu(1) == nil else { return nil }
    return unsafe String(cString: first)
  }

  /// An event's numbers for perf_event_open, or libpfm4's complaint.
  package static func encode(_ name: String) -> Result<wcl_event, Complaint> {
    var event = wcl_event()
    var message = [CChar](repeating: 0, count: 128)
    let result = unsafe wcl_encode_event(name, &event, &message, message.count)
    if result == 0 { return .success(event) }
    let bytes = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return .failure(Complaint("libpfm4 does not know \(name): \(String(decoding: bytes, as: UTF8.self))"))
  }

  package struct Complaint: Error, Hashable {
    package let text: String
    init(_ text: String) { self.text = text }
  }

  package func count(
    _ events: [String], threads: [Int32], during body: () throws -> Void
  ) throws -> [RawCount] {
    var counts = [RawCount](repeating: .unavailable("not opened"), count: events.count)
    var encoded: [(index: Int, event: wcl_event)] = []
    for (index, name) in events.enumerated() {
      switch Self.encode(name) {
      case .success(var event):
        event.kernel = event.type == Self.softwareType ? 1 : 0
        encoded.append((index, event))
      case .failure(let complaint):
        counts[index] = .unavailable(complaint.text)
      }
    }
    guard !encoded.isEmpty, !threads.isEmpty else {
      try body()
      return counts
    }

    // A user without privileges may not count in the kernel. Time and faults are charged to user
    // mode; switches and migrations happen in the kernel and cannot be had then.
    var opened = unsafe Self.open(encoded.map(\.event), threads)
    let isDenied = unsafe opened.group.map { unsafe Self.anyDenied($0) } ?? Self.isDenial(opened.status)
    if isDenied, encoded.contains(where: { $0.event.kernel == 1 }) {
      unsafe wcl_group_close(opened.group)
      for i in encoded.indices where Self.countsInUserMode(encoded[i].event) { encoded[i].event.kernel = 0 }
      unsafe opened = Self.open(encoded.map(\.event), threads)
    }
    guard let group = unsafe opened.group else {
      let status = unsafe opened.status
      for (index, _) in encoded { counts[index] = .unavailable(Self.reason(status)) }
      try body()
      return counts
    }
    defer { unsafe wcl_group_close(group) }

    var values = [wcl_group_value](repeating: wcl_group_value(), count: encoded.count)
    var status = unsafe wcl_group_reset(group)
    if status == 0 { status = unsafe wcl_group_enable(group) }
    try body()
    if status == 0 { status = unsafe wcl_group_disable(group) }
    if status == 0 { status = unsafe wcl_group_read(group, &values) }
    for (value, (index, _)) in zip(values, encoded) {
      if status != 0 {
        counts[index] = .unavailable("the group could not be read: \(Self.reason(status))")
      } else if value.status != 0 {
        counts[index] = .unavailable(Self.reason(value.status))
      } else if value.enabled == 0 {
        counts[index] = .unavailable("the threads counted did not run meanwhile")
      } else {
        counts[index] = .counted(value.value, running: value.least_running)
      }
    }
    return counts
  }

  private static let softwareType: UInt32 = 1  // PERF_TYPE_SOFTWARE

  private static func open(
    _ events: [wcl_event], _ threads: [Int32]
  ) -> (status: Int32, group: OpaquePointer?) {
    var group: OpaquePointer?
    let status = unsafe wcl_group_open(events, events.count, threads, threads.count, &group)
    return unsafe (status, group)
  }

  private static func anyDenied(_ group: OpaquePointer) -> Bool {
    var values = [wcl_group_value](repeating: wcl_group_value(), count: 64)
    guard unsafe wcl_group_read(group, &values) == 0 else { return false }
    return values.contains { isDenial($0.status) }
  }

  private static func isDenial(_ status: Int32) -> Bool { status == -EACCES || status == -EPERM }

  /// PERF_COUNT_SW_ numbers of linux/perf_event.h: task-clock 1, page faults 2, 5 and 6.
  private static func countsInUserMode(_ event: wcl_event) -> Bool {
    event.type == softwareType && [1, 2, 5, 6].contains(event.config)
  }

  /// What an errno of perf_event_open means, and what would change it.
  static func reason(_ status: Int32) -> String {
    switch -status {
    case ENOENT, ENODEV, ENXIO, EOPNOTSUPP:
      return "the kernel offers no such counter here; virtual machines often have no PMU"
    case EACCES, EPERM:
      let level = HostSource().text("/proc/sys/kernel/perf_event_paranoid").map {
        $0.filter { !$0.isWhitespace }
      }
      return "not permitted (kernel.perf_event_paranoid=\(level ?? "unknown")); needs a lower level or "
        + "CAP_PERFMON, and in a container a seccomp profile that allows perf_event_open"
    case ENOSYS: return "this kernel is built without perf events"
    case EINVAL: return "the kernel or PMU refuses this event"
    case EBUSY: return "another user holds the counter"
    case EMFILE, ENFILE: return "out of file descriptors; raise the limit (ulimit -n)"
    case ESRCH: return "a thread to count has ended"
    default: return "perf_event_open failed with errno \(-status)"
    }
  }
}
