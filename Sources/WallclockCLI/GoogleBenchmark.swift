import Foundation
import Wallclock

// Foundation has a Measurement too.
import struct WallclockCore.Measurement

/// The JSON of Google Benchmark 1.8, which its compare.py reads, with Wallclock's own fields added.
struct GoogleBenchmark: Encodable {
  struct Context: Encodable {
    struct CacheInfo: Encodable {
      var type: String
      var level: Int
      var size: Int
      var num_sharing: Int
    }
    var date: String
    var host_name: String
    var executable: String
    var num_cpus: Int
    var mhz_per_cpu: Int
    var cpu_scaling_enabled: Bool
    var caches: [CacheInfo]
    var load_avg: [Double]
    var library_version: String
    var library_build_type: String

    init(machine: Fingerprint) {
      date = Date().formatted(.iso8601)
      host_name = ProcessInfo.processInfo.hostName
      executable = "wallclock"
      num_cpus = machine.logicalCPUs
      // Not knowable without counters; compare.py does not use it.
      mhz_per_cpu = 0
      let conditions = Conditions.current()
      cpu_scaling_enabled = conditions.governor.map { $0 != "performance" } ?? false
      caches = machine.caches.map {
        CacheInfo(
          type: $0.kind.rawValue.capitalized, level: $0.level, size: $0.bytes, num_sharing: $0.sharedBy)
      }
      load_avg = [conditions.loadAverage]
      library_version = Wallclock.version
      library_build_type = "release"
    }
  }

  struct Entry: Encodable {
    var name: String
    var run_name: String
    var run_type = "iteration"
    var family_index: Int
    var per_family_instance_index = 0
    var repetitions: Int
    var repetition_index: Int
    var threads: Int
    var iterations: Int
    var real_time: Double
    var cpu_time: Double
    var time_unit = "ns"
    var items_per_second: Double
    var bytes_per_second: Double
    /// Of ops on sequences.
    var tokens_per_second: Double?
    var fraction_of_peak: Double?
    var fraction_of_bandwidth: Double?
    var kernel: String
    var schedule: String
    var problem: String
    var state: String
    var interval: ClosedRange<Double>
    var minimum: Double
    var dropped: Int
    var stop: String
    var worst_error_over_tolerance: Double
    var ceilings: [Ceiling]
    var counters: CounterReading
    /// Nanoseconds a plug-in backend took to pack the weights, which is part of no run.
    var prepare_time: Double?

    /// - Parameter family: numbers Problem and Schedule; repetitions share it.
    init(_ m: Measurement, family: Int, repetition: Int, of repetitions: Int) {
      family_index = family
      self.repetitions = repetitions
      repetition_index = repetition
      let label = "\(m.problem)/\(m.schedule.kernel)/threads:\(m.schedule.threads)"
      name = label
      run_name = label
      threads = m.schedule.threads
      iterations = m.samples.count
      real_time = m.samples.medianNanoseconds
      cpu_time = m.samples.medianNanoseconds
      items_per_second = m.itemsPerSecond
      bytes_per_second = m.bytesPerSecond
      if m.problem.shape.sizes[.tokens] != nil {
        tokens_per_second = Double(m.problem.shape[.batch] * m.problem.shape[.tokens]) * 1e9 / real_time
      }
      fraction_of_peak = m.ceilings.first { !$0.name.hasPrefix("read.") && $0.unit != "ns" }
        .map { m.itemsPerSecond / ($0.value * 1e9) }
      fraction_of_bandwidth = m.ceilings.first { $0.name.hasPrefix("read.") }
        .map { m.bytesPerSecond / ($0.value * 1e9) }
      kernel = m.schedule.kernel
      schedule = "\(m.schedule)"
      problem = "\(m.problem)"
      state = m.problem.state.rawValue
      interval = m.samples.intervalNanoseconds
      minimum = m.samples.minimumNanoseconds
      dropped = m.samples.dropped
      stop = m.samples.stop.rawValue
      worst_error_over_tolerance = m.check.worstErrorOverTolerance
      ceilings = m.ceilings
      counters = m.counters
    }
  }

  var context: Context
  var benchmarks: [Entry]

  static func table(_ entries: [Entry]) -> String {
    var table = TextTable(columns: [
      ("problem", .left), ("kernel", .left), ("threads", .right), ("median", .right), ("±", .right),
      ("samples", .right), ("GOP/s", .right), ("of peak", .right), ("GB/s", .right), ("of DRAM", .right),
    ])
    table.rows = entries.map { e in
      let half = (e.interval.upperBound - e.interval.lowerBound) / 2 / e.real_time
      func percent(_ value: Double?) -> String { value.map { String(format: "%.0f %%", 100 * $0) } ?? "–" }
      return [
        e.problem, e.kernel, "\(e.threads)", Units.time(e.real_time), String(format: "%.1f %%", 100 * half),
        "\(e.iterations)", String(format: "%.1f", e.items_per_second / 1e9), percent(e.fraction_of_peak),
        String(format: "%.1f", e.bytes_per_second / 1e9), percent(e.fraction_of_bandwidth),
      ]
    }
    return table.lines.joined(separator: "\n")
  }
}
