/// What counting one native event gave.
package enum RawCount: Hashable, Sendable {
  /// Summed over threads, scaled; `running` is the least share of its time any thread's group was
  /// on the hardware, 0 … 1.
  case counted(Double, running: Double)
  case unavailable(String)
}

/// Who counts: the kernel, or a recording of what another machine's kernel said.
package protocol CounterProvider: Sendable {
  /// libpfm4's name of this machine's core PMU; nil when it knows none.
  var corePMU: String? { get }

  /// Counts the events, as one group on each of `threads`, while `body` runs.
  ///
  /// - Returns: one count per event, in order; `body` has run, whatever could be counted.
  func count(_ events: [String], threads: [Int32], during body: () throws -> Void) throws -> [RawCount]
}
