import ArgumentParser
import Foundation
import Wallclock

struct HostCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "host",
    abstract: "Shows this host: topology, ISA, caches, NUMA, counters, plug-in backends, measured ceilings.",
    discussion: """
      Example:
        wallclock host --json
      A ceiling is the best of many probes: instruction mixes, accumulator chains, streams,
      prefetch distances and page sizes. Its spread is half the width of the middle 95 % of the samples.
      """)

  @OptionGroup var output: OutputOptions
  @Flag(name: .customLong("no-ceilings"), help: "Skip measuring ceilings, which takes some seconds.")
  var noCeilings = false
  @OptionGroup var backends: BackendOptions

  struct Counters: Encodable {
    var state: CounterState
    var reason: String
    /// Events that can be read and what they counted in a short loop.
    var events: [String: Double]
    var unavailable: [String: String]
  }

  /// A plug-in library that was found.
  struct Backend: Encodable {
    /// Absent when it could not be asked.
    var name: String?
    /// Of what computes.
    var version: String?
    var path: String
    var problems: [String]
    /// `FoundBackend.State`.
    var state: String
    var reason: String

    init(_ found: FoundBackend) {
      name = found.description?.name
      version = found.description?.version
      path = found.path
      problems = (found.description?.problems ?? []).map(\.description)
      state = found.state.rawValue
      reason = found.reason
    }
  }

  struct Report: Encodable {
    var version: String
    var isa: [String]
    var fingerprint: Fingerprint
    var identity: String
    var conditions: Conditions
    var counters: Counters
    var ceilings: [Ceiling]
    var kernels: [String: Int]
    var backends: [Backend]
    var notes: [String]
  }

  func run() async throws {
    try await reportingFailures {
      let machine = Machine.host.fingerprint
      let catalog = try backends.catalog()
      var ceilings: [Ceiling] = []
      if !noCeilings {
        let probes = CeilingProbes(machine: machine)
        let progress = Progress("measuring ceilings")
        let counts = TuneTargets.threadCounts(machine: machine)
        let names = probes.names
        for (index, threads) in counts.enumerated() {
          let pool = try ThreadPool.onePerCore(of: machine, threads: threads)
          defer { pool.shutdown() }
          for (position, name) in names.enumerated() {
            progress.update(
              done: index * names.count + position, total: counts.count * names.count,
              detail: "\(name), \(threads) thread\(threads == 1 ? "" : "s")")
            if let ceiling = probes.measure(name, on: pool, samples: 15) { ceilings.append(ceiling) }
          }
        }
        progress.clear()
      }
      // A short loop to count: a tenth of a second of sums.
      let reading = try CounterSession().measure {
        var sum = 0.0
        for i in 0..<20_000_000 { sum += Double(i) }
        precondition(sum > 0)
      }
      let isas = Set(machine.isa)
      let runnable = Dictionary(grouping: KernelTable.all.filter { $0.runs(on: isas) }, by: \.isa.rawValue)
      let report = Report(
        version: Wallclock.version, isa: machine.isa.map(\.rawValue), fingerprint: machine,
        identity: machine.identityHash, conditions: .current(),
        counters: Counters(
          state: reading.state, reason: reading.reason, events: reading.values,
          unavailable: reading.unavailable),
        ceilings: ceilings, kernels: runnable.mapValues(\.count), backends: catalog.found.map(Backend.init),
        notes: Machine.host.notes + catalog.notes)
      try output.print(report, text: Self.text(report))
    }
  }

  static func text(_ report: Report) -> String {
    let f = report.fingerprint
    var lines = [
      "\(f.cpuModel) (\(f.cpuVendor)), \(f.architecture), microcode \(f.microcode), Linux \(f.kernelRelease)",
      "ISA         \(report.isa.joined(separator: " "))",
      "CPUs        \(f.sockets) socket\(f.sockets == 1 ? "" : "s"), \(f.physicalCores) cores, "
        + "\(f.logicalCPUs) logical, \(f.threadsPerCore) per core; this process may use \(f.cpuset.count)"
        + (f.cpuQuota.map { " (quota \($0))" } ?? ""),
      "Caches      "
        + f.caches.filter { $0.kind != .instruction }.map {
          "L\($0.level) \($0.bytes >> 10) KiB ×\($0.sharedBy)"
        }.joined(separator: ", ") + "  (×: CPUs that share it)",
      "NUMA        "
        + f.nodes.map { "node \($0.id): \($0.cpus.count) CPUs, \($0.memoryBytes >> 30) GiB" }
        .joined(separator: "; "),
      "Huge pages  \(report.conditions.transparentHugePages ?? "not reported")",
      "Counters    \(report.counters.state.rawValue)\(report.counters.reason.isEmpty ? "" : ": \(report.counters.reason)")",
      "Kernels     "
        + report.kernels.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "),
    ]
    lines += report.backends.map { backend in
      let who = backend.name.map { "\($0) (\(backend.version ?? ""))" } ?? backend.path
      let what = backend.reason.isEmpty ? backend.problems.joined(separator: ", ") : "\(backend.state): \(backend.reason)"
      return "Backend     \(who): \(what)"
    }
    lines += report.notes.map { "Note        \($0)" }
    if !report.ceilings.isEmpty {
      var table = TextTable(columns: [
        ("ceiling", .left), ("threads", .right), ("best", .right), ("spread", .right), ("probe", .left),
      ])
      table.rows = report.ceilings.map {
        [
          $0.name, "\($0.threads)", String(format: "%.1f %@", $0.value, $0.unit),
          String(format: "±%.1f %%", 100 * $0.spread), $0.probe,
        ]
      }
      lines += [""] + table.lines
    }
    return lines.joined(separator: "\n")
  }
}
