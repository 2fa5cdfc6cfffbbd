import CWallclockLinux
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// A testing aid: makes kernels misbehave in the processes that a tune starts, to see that it survives it.
///
/// `WALLCLOCK_FAULTS=gemm_f32f32_avx2_6x16:segfault,layer_norm_f32_avx2:timed-loop` names kernels and what each
/// does wrong, in its trial or only when it is timed. Nothing else heeds it, and a tune under it keeps its rejections apart from those of
/// others (see `BuildIdentity`).
package struct FaultInjection {
  enum Fault: String, CaseIterable {
    /// Writes to an address that is not mapped.
    case segfault
    /// Never returns.
    case loop
    /// Leaves the first range of every region undone.
    case wrong
    /// Takes and touches memory without end.
    case leak
    /// Ends the process without a word.
    case exit
    /// Writes something else to the channel before its verdict.
    case garbage
    /// Ends the process after its verdict, while nothing is asked of it.
    case late
    /// Behaves in its trial, and does as `segfault` or `loop` when it is timed.
    case timedSegfault = "timed-segfault"
    case timedLoop = "timed-loop"
  }

  package static let variable = "WALLCLOCK_FAULTS"
  private var faults: [String: Fault] = [:]

  /// - Throws: `TuneError.workerFailed` when the value cannot be read.
  init(_ text: String = Self.environment) throws(TuneError) {
    for entry in text.split(separator: ",") {
      let parts = entry.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, let fault = Fault(rawValue: String(parts[1])) else {
        throw TuneError(
          .workerFailed,
          "\(Self.variable): \"\(entry)\" is no KERNEL:FAULT; faults are "
            + Fault.allCases.map(\.rawValue).joined(separator: ", "))
      }
      faults[String(parts[0])] = fault
    }
  }

  func inTrial(of kernel: String) -> Fault? {
    faults[kernel].flatMap { $0 == .timedSegfault || $0 == .timedLoop ? nil : $0 }
  }

  func whenTimed(_ kernel: String) -> Fault? {
    switch faults[kernel] {
    case .timedSegfault: .segfault
    case .timedLoop: .loop
    default: nil
    }
  }

  package static var environment: String { unsafe getenv(variable).map { unsafe String(cString: $0) } ?? "" }
}

/// A pool whose ranges go wrong, on the thread that runs them.
final class FaultyExecutor: Executor {
  private let base: any Executor
  private let fault: FaultInjection.Fault

  init(_ base: any Executor, _ fault: FaultInjection.Fault) {
    self.base = base
    self.fault = fault
  }

  var workerCount: Int { base.workerCount }

  func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    let fault = fault
    base.forEachRange(of: count, grain: grain) { range, worker in
      if fault != .wrong || range.lowerBound > 0 { body(range, worker) }
      Self.misbehave(fault)
    }
  }

  private static func misbehave(_ fault: FaultInjection.Fault) {
    switch fault {
    case .segfault:
      // The first page is never mapped.
      unsafe UnsafeMutablePointer<UInt64>(bitPattern: 8)!.pointee = 1
    case .loop:
      while true { wcl_pause() }
    case .leak:
      let step = 16 << 20
      while true {
        let more = unsafe mmap(nil, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        // It never looks whether there was any: writing to what mmap fails with is how this ends.
        for offset in stride(from: 0, to: step, by: 4096) {
          unsafe (more + offset).storeBytes(of: 1, as: UInt8.self)
        }
      }
    case .exit: _exit(0)
    case .wrong, .garbage, .late, .timedSegfault, .timedLoop: break
    }
  }
}
