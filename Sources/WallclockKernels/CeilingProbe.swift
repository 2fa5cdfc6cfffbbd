import CWallclockKernels
import WallclockCore

/// An instruction stream or read stream whose rate bounds what kernels can reach: a row of the
/// probe table.
@safe package struct CeilingProbe: Sendable {
  package enum Kind: String, Sendable { case int8, int4, bf16, f32, read }

  package let name: String
  package let kind: Kind
  package let isa: ISA
  /// Compute: runs `iterations` turns, returns operations. Read: reads `bytes` at `data` once per
  /// iteration, returns bytes.
  package let run: @Sendable (_ iterations: Int, _ data: UnsafeRawPointer, _ bytes: Int) -> Double

  package static let all: [CeilingProbe] = {
    var count = 0
    guard let rows = unsafe wc_probe_table(&count) else { return [] }
    return unsafe UnsafeBufferPointer(start: rows, count: count).map { row in
      unsafe CeilingProbe(row)
    }
  }()

  private init(_ row: wc_probe) {
    name = unsafe String(cString: row.name)
    kind =
      switch unsafe row.kind {
      case WC_PROBE_int8: .int8
      case WC_PROBE_int4: .int4
      case WC_PROBE_bf16: .bf16
      case WC_PROBE_f32: .f32
      case WC_PROBE_read: .read
      default: unsafe preconditionFailure("the probe table names kind \(row.kind.rawValue), which Kind does not know")
      }
    isa = unsafe ISA(row.isa)
    // A function of the C table: static and immutable.
    nonisolated(unsafe) let function = unsafe row.run!
    unsafe run = { unsafe function($0, $1, $2) }
  }
}
