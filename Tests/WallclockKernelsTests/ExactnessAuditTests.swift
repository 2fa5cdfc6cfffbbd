import CWallclockKernels
import Testing
import WallclockCore

@testable import WallclockKernels

@Suite struct ExactnessAuditTests {
  @Test(arguments: KernelTable.all.filter { $0.op == .gemm && $0.isExact })
  func exactKernelsAreExact(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let finding = try ExactnessAudit.audit(kernel)
    #expect(finding.verdict == .exact, "\(finding)")
    #expect(finding.results > 1000)
    report(kernel, "audited, \(finding.results) results")
  }

  /// A kernel that adds pairs of products in 16 bits with saturation, and one off by one in a column.
  @Test func plantedFaultsAreFound() throws {
    let kernel = try KernelTable.named("gemm_s8s8_scalar_1x8")
    let cut = try ExactnessAudit.audit(kernel) { args in unsafe Self.gemm(&args) { min(max($0, -32768), 32767) } }
    #expect(cut.verdict == .saturates)
    #expect(cut.example != nil)
    let off = try ExactnessAudit.audit(kernel) { args in
      let status = unsafe Self.gemm(&args) { $0 }
      unsafe args.c.assumingMemoryBound(to: Float.self)[args.n - 1] += 1
      return status
    }
    #expect(off.verdict == .differs)
    let right = try ExactnessAudit.audit(kernel) { args in unsafe Self.gemm(&args) { $0 } }
    #expect(right.verdict == .exact, "\(right)")
  }

  @Test func aRefusalIsAnError() throws {
    let kernel = try KernelTable.named("gemm_s8s8_scalar_1x8")
    #expect(throws: KernelError.self) { try ExactnessAudit.audit(kernel) { _ in WC_INVALID_ARGUMENT } }
  }

  /// s8 × s8 from panels of eight columns, K not interleaved, with `pair` applied to sums of two products.
  private static func gemm(_ args: inout wc_gemm_args, pair: (Int) -> Int) -> wc_status {
    let g = unsafe args
    for i in unsafe 0..<g.m {
      for j in unsafe 0..<g.n {
        let a = unsafe g.a.assumingMemoryBound(to: Int8.self) + i * g.lda
        let b = unsafe (g.b + j / 8 * g.b_panel_bytes).assumingMemoryBound(to: Int8.self) + j % 8
        var sum = 0
        for p in unsafe stride(from: 0, to: g.k, by: 2) {
          let second = unsafe p + 1 < g.k ? Int(a[p + 1]) * Int(b[8 * (p + 1)]) : 0
          sum += pair(unsafe Int(a[p]) * Int(b[8 * p]) + second)
        }
        unsafe g.c.assumingMemoryBound(to: Float.self)[i * g.ldc + j] = Float(Int32(sum))
      }
    }
    return WC_OK
  }
}
