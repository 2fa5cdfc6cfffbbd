import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// Every kernel of long convolutions against direct sums in f64.
@Suite struct LongConvTests {
  static let kernels = KernelTable.all.filter { $0.op == .longConv }

  /// What goes wrong in one call on operands that end at pages which may not be touched, or nil.
  private func mismatch(_ kernel: KernelDescriptor, _ o: LongConvOracle, gap: Int) -> String? {
    let memory = unsafe kernel.row.pointee.long_conv_memory!.pointee
    var guarded: [GuardedMemory] = []
    func place(_ bytes: Int, alignment: Int = 4) -> UnsafeMutableRawPointer {
      guarded.append(GuardedMemory(capacity: bytes + 4096))
      return unsafe UnsafeMutableRawPointer(guarded.last!.place(bytes, of: UInt8.self, alignment: alignment))
    }
    func rows(_ values: [Float], _ rows: Int, _ columns: Int, gap: Int) -> UnsafeMutablePointer<Float> {
      let stride = columns + gap
      let p = unsafe place(rows == 0 ? 0 : ((rows - 1) * stride + columns) * 4).assumingMemoryBound(to: Float.self)
      for (i, value) in values.enumerated() { unsafe p[i / columns * stride + i % columns] = value }
      return unsafe p
    }
    let panels = (o.channels + ChannelPanels.channels - 1) / ChannelPanels.channels
    let shared = unsafe place(memory.shared_bytes(o.length), alignment: 64)
    let filter = unsafe place(memory.panel_bytes(o.length) * panels, alignment: 64)
    let scratch = unsafe place(memory.scratch_bytes(o.length), alignment: 64)
    let taps = unsafe rows(o.taps, o.length, o.channels, gap: gap)
    guard unsafe memory.share(o.length, shared) == WC_OK,
      unsafe memory.pack(o.length, o.channels, taps, o.channels + gap, shared, filter, scratch) == WC_OK
    else { return "packing failed" }
    var args = unsafe wc_long_conv_args()
    unsafe args.tokens = o.tokens
    unsafe args.channels = o.channels
    unsafe args.length = o.length
    unsafe args.x = UnsafePointer(rows(o.x, o.tokens, o.channels, gap: gap))
    unsafe args.ldx = o.channels + gap
    unsafe args.shared = UnsafeRawPointer(shared)
    unsafe args.filter = UnsafeRawPointer(filter)
    unsafe args.scratch = scratch
    unsafe args.skip = UnsafePointer(rows(o.skip, 1, o.channels, gap: 0))
    let y = unsafe rows([], o.tokens, o.channels, gap: gap)
    unsafe args.y = y
    unsafe args.ldy = o.channels + gap
    let status = unsafe kernel.row.pointee.long_conv!(&args)
    guard status == WC_OK else { return "status \(status.rawValue)" }
    guard guarded.allSatisfy(\.isIntact) else { return "wrote outside its output" }
    for t in 0..<o.tokens {
      for c in 0..<o.channels + (t + 1 < o.tokens ? gap : 0) {
        let found = unsafe y[t * (o.channels + gap) + c]
        if c >= o.channels {
          if found.bitPattern != 0xFFFF_FFFF { return "wrote right of row \(t)" }
          continue
        }
        let i = t * o.channels + c
        guard abs(Double(found) - o.y[i]) <= o.bounds[i] else {
          return "y[\(t), \(c)] is \(found), not \(o.y[i]) within \(o.bounds[i])"
        }
      }
    }
    return nil
  }

  @Test(arguments: kernels) func matchesDirectSums(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    var turn = 0
    for length in [1, 2, 7, 8, 9, 15, 16, 17, 24, 48, 49, 64, 65, 100, 130, 200, 290] {
      for channels in [1, 16, 35, 70] {
        turn += 1
        // Sequences as long as their filters, and shorter ones.
        let tokens = turn % 3 == 0 ? (length + 1) / 2 : turn % 11 == 0 ? 0 : length
        let oracle = LongConvOracle(tokens: tokens, channels: channels, length: length, seed: UInt64(turn))
        let wrong = mismatch(kernel, oracle, gap: turn % 3)
        try #require(wrong == nil, "\(kernel.name): \(tokens) tokens, \(length) taps, \(channels) channels: \(wrong!)")
      }
    }
    report(kernel, "\(turn) shapes")
  }

  /// Long sequences, where levels of every radix meet, against the library's reference; the tolerance of Problems.
  @Test(arguments: [1500, 2048, 4000]) func longSequencesAreRight(tokens: Int) throws {
    let problem = Problem.longConv(tokens: tokens, channels: 24)
    let executor = ScramblingExecutor(workers: 2, seed: 1)
    for kernel in Self.kernels where kernel.runs(on: hostISAs) {
      let prepared = try problem.prepare(Schedule(kernel: kernel.name, knobs: [.bc: 16]), machine: Machine.host.fingerprint)
      #expect(try prepared.check(on: executor).passed, "\(kernel.name)")
    }
  }

  @Test func shortSequencesAreSummed() throws {
    for (tokens, direct) in [(1, true), (64, true), (65, false), (4096, false)] {
      let schedule = try ScheduleSpace.standard(for: .longConv(tokens: tokens, channels: 64), threads: 1, machine: Machine.host.fingerprint)
      #expect(schedule.kernel.contains("direct") == direct, "\(tokens) tokens: \(schedule)")
    }
  }

  @Test func hostileFiltersAreRefused() throws {
    let kernel = Self.kernels[0]
    let taps = AlignedBuffer<Float>(count: 6)
    func code(_ body: () throws(KernelError) -> Void) -> KernelError.Code? {
      do { try body() } catch { return error.code }
      return nil
    }
    #expect(code { () throws(KernelError) in _ = try LongConvFilter(taps: taps, length: 2, channels: 3, for: kernel) } == nil)
    #expect(code { () throws(KernelError) in _ = try LongConvFilter(taps: taps, length: 2, channels: 2, for: kernel) } == .shapeMismatch)
    #expect(code { () throws(KernelError) in _ = try LongConvFilter(taps: taps, length: 0, channels: 3, for: kernel) } == .shapeMismatch)
    #expect(code { () throws(KernelError) in _ = try LongConvFilter(taps: taps, length: 2, channels: 3, skip: [1], for: kernel) } == .shapeMismatch)
    let other = try KernelTable.named("gelu_f32_scalar")
    #expect(code { () throws(KernelError) in _ = try LongConvFilter(taps: taps, length: 2, channels: 3, for: other) } == .unsupported)
  }
}
