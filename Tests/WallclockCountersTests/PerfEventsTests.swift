import CWallclockLinux
import Testing
import WallclockCore

@testable import WallclockCounters

#if canImport(Glibc)
  import Glibc
#endif

/// What the kernel here really counts. Software events are everywhere but where perf_event_open is
/// forbidden.
@Suite(.serialized) struct PerfEventsTests {
  static let state = Counters.probe().state

  @Test func theProbeGivesAReason() {
    let (state, reason) = Counters.probe()
    #expect(reason.isEmpty == (state == .hardware))
  }

  @Test func softwareEventsAreReal() throws {
    guard Self.state != .none else { try Test.cancel("\(Counters.probe().reason)") }
    let pages = 300, page = sysconf(Int32(_SC_PAGESIZE))
    let session = CounterSession(groups: [.software])
    let reading = try session.measure(runs: 3) {
      let start = unsafe mmap(nil, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
      unsafe madvise(start, pages * page, MADV_NOHUGEPAGE)
      for i in 0..<pages { unsafe start.storeBytes(of: 1, toByteOffset: i * page, as: UInt8.self) }
      unsafe munmap(start, pages * page)
      usleep(2000)
    }
    let faults = try #require(reading.values["page-faults"])
    #expect(faults >= Double(pages) && faults < Double(pages) * 1.2, "one fault per page touched")
    #expect(reading.values["minor-faults"]! <= faults)
    let clock = try #require(reading.values["task-clock"])
    #expect(clock > 10_000 && clock < 2_000_000_000, "nanoseconds on the CPU; sleeping is not")
    if let switches = reading.values["context-switches"] {
      #expect(switches >= 1, "each run sleeps once")
    } else {
      #expect(reading.unavailable["context-switches"]?.contains("not permitted") == true)
    }
  }

  @Test func everyThreadIsCounted() throws {
    guard Self.state != .none else { try Test.cancel("\(Counters.probe().reason)") }
    // Two threads asleep in a pipe each touch pages when told to.
    var ends: [Int32] = [0, 0], last: [Int32] = [0, 0], back: [Int32] = [0, 0]
    #expect(unsafe pipe(&ends) == 0 && pipe(&last) == 0 && pipe(&back) == 0)
    final class Work: Sendable {
      let go: Int32, end: Int32, done: Int32
      init(_ go: Int32, _ end: Int32, _ done: Int32) {
        self.go = go
        self.end = end
        self.done = done
      }
    }
    var handles: [pthread_t] = []
    for _ in 0..<2 {
      var handle = pthread_t()
      let work = unsafe Unmanaged.passRetained(Work(ends[0], last[0], back[1]))
      unsafe pthread_create(
        &handle, nil,
        { argument in
          let work = unsafe Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
          var id = threadID(), byte: UInt8 = 0
          unsafe write(work.done, &id, 4)
          unsafe read(work.go, &byte, 1)
          let size = 200 * 4096
          let start = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
          unsafe madvise(start, size, MADV_NOHUGEPAGE)
          for i in stride(from: 0, to: size, by: 4096) {
            unsafe start.storeBytes(of: 1, toByteOffset: i, as: UInt8.self)
          }
          unsafe munmap(start, size)
          unsafe write(work.done, &id, 4)
          unsafe read(work.end, &byte, 1)
          return nil
        }, work.toOpaque())
      handles.append(handle)
    }
    func receive() -> Int32 {
      var id: Int32 = 0
      unsafe read(back[0], &id, 4)
      return id
    }
    let ids = [receive(), receive()]
    // A pipe for each step: one thread must not take the byte meant for the other.
    func release(_ pipe: [Int32]) {
      let bytes: [UInt8] = [1, 1]
      unsafe write(pipe[1], bytes, 2)
    }
    let counts = try PerfEvents().count(["perf::PAGE-FAULTS"], threads: ids) {
      release(ends)
      _ = (receive(), receive())
    }
    release(last)
    for handle in handles { pthread_join(handle, nil) }
    for end in ends + last + back { close(end) }
    guard case .counted(let faults, let running) = counts[0] else {
      Issue.record("not counted: \(counts[0])")
      return
    }
    #expect(running == 1)
    #expect(faults >= 400 * 4096 / Double(sysconf(Int32(_SC_PAGESIZE))) && faults < 600)
  }

  @Test func threadsThatEndedAreReported() throws {
    guard Self.state != .none else { try Test.cancel("\(Counters.probe().reason)") }
    var ran = false
    let counts = try PerfEvents().count(["perf::TASK-CLOCK"], threads: [0, 0x3fff_fff0]) { ran = true }
    #expect(ran)
    #expect(counts == [.unavailable("a thread to count has ended")])
  }

  @Test func unknownEventsAreReportedBesideKnownOnes() throws {
    guard Self.state != .none else { try Test.cancel("\(Counters.probe().reason)") }
    var sum = 0
    let counts = try PerfEvents().count(["spr::NO_SUCH_EVENT", "perf::TASK-CLOCK", ""], threads: [0]) {
      for i in 0..<100_000 { sum &+= i }
    }
    #expect(sum > 0)
    for index in [0, 2] {
      guard case .unavailable(let reason) = counts[index] else {
        Issue.record("counted: \(counts[index])")
        continue
      }
      #expect(reason.contains("libpfm4"))
    }
    guard case .counted(let value, _) = counts[1] else {
      Issue.record("not counted: \(counts[1])")
      return
    }
    #expect(value > 0)
  }

  /// libpfm4's own tables decide what a name means, for PMUs that are not in this machine too.
  @Test(arguments: CounterEvents.knownPMUs) func everyNameEncodes(pmu: String) throws {
    let probe = CounterEvents.native("cycles", pmu: pmu)![0].name
    guard case .success = PerfEvents.encode(probe) else {
      try Test.cancel("this libpfm4 has no table for \(pmu)")
    }
    for event in CounterEvents.hardware {
      for native in CounterEvents.native(event, pmu: pmu) ?? [] {
        switch PerfEvents.encode(native.name) {
        case .success(let encoded):
          #expect(encoded.type == 4, "\(native.name): a raw event of the core PMU")
          #expect(encoded.config != 0, "\(native.name)")
          #expect(encoded.kernel == 0)
        case .failure(let complaint): Issue.record("\(complaint.text)")
        }
      }
    }
  }

  /// Numbers of the makers' manuals: event select, unit mask (AMD's event bits 8–11 at 32–35).
  @Test(arguments: [
    ("amd64_fam19h_zen4", "cycles", 0x76), ("amd64_fam19h_zen4", "instructions", 0xc0),
    ("amd64_fam19h_zen4", "flops-f32", 0x1f03), ("amd64_fam19h_zen4", "dram-fills", 0x4844),
    ("amd64_fam19h_zen4", "frontend-stalls", 0x1_0000_01a0), ("amd64_fam19h_zen3", "branch-misses", 0xc3),
    ("amd64_fam19h_zen3", "dram-fills", 0x4844), ("amd64_fam17h_zen2", "l2-misses", 0x864),
    ("skx", "cycles", 0x3c), ("skx", "l1-misses", 0x8d1), ("icx", "dram-fills", 0x412e),
    ("spr", "dtlb-walks", 0xe12), ("spr", "instructions", 0xc0),
  ]) func encodingsAreTheManuals(pmu: String, event: String, config: Int) throws {
    let native = CounterEvents.native(event, pmu: pmu)!
    guard case .success(let encoded) = PerfEvents.encode(native[0].name) else {
      try Test.cancel("this libpfm4 has no table for \(pmu)")
    }
    #expect(encoded.config == UInt64(config))
  }
}

private func threadID() -> Int32 {
  var buffer = [CChar](repeating: 0, count: 64)
  let count = unsafe readlink("/proc/thread-self", &buffer, 63)
  let path = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
  return Int32(String(decoding: path, as: UTF8.self).split(separator: "/").last ?? "") ?? -1
}
