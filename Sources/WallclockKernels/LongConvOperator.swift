import CWallclockKernels
import WallclockCore

/// Filters as long as a sequence, one per channel, as one kernel takes them: for the FFT their spectrum, in its order.
public struct LongConvFilter: ~Copyable {
  public let length: Int
  public let channels: Int
  /// The kernel it was packed for.
  public let kernel: KernelDescriptor
  let shared: AlignedBuffer<UInt8>
  let panels: AlignedBuffer<UInt8>
  let skip: AlignedBuffer<Float>
  let panelBytes: Int

  /// - Parameters:
  ///   - taps: `length×channels`, row-major, the newest row's tap first.
  ///   - skip: what the input itself is added times, `channels`, or nothing.
  /// - Throws: `KernelError.shapeMismatch` when sizes do not fit, `.unsupported` when the kernel computes another op.
  public init(
    taps: borrowing AlignedBuffer<Float>, length: Int, channels: Int, skip: [Float] = [], for kernel: KernelDescriptor
  ) throws(KernelError) {
    guard kernel.isLongConvolution else {
      throw KernelError(.unsupported, "\(kernel.name) computes \(kernel.op.rawValue), and no convolution with a filter as long as the sequence")
    }
    guard length >= 1, channels >= 1, taps.count == length * channels else {
      throw KernelError(.shapeMismatch, "the filters have \(taps.count) values, not length × channels = \(length) × \(channels)")
    }
    try ChannelPanels.requireEach(skip, of: channels, "the skip")
    let memory = unsafe kernel.row.pointee.long_conv_memory!
    let count = (channels + ChannelPanels.channels - 1) / ChannelPanels.channels
    let panelBytes = unsafe memory.pointee.panel_bytes(length)
    let shared = AlignedBuffer<UInt8>(count: unsafe memory.pointee.shared_bytes(length))
    let panels = AlignedBuffer<UInt8>(count: panelBytes * count)
    let scratch = AlignedBuffer<UInt8>(count: unsafe memory.pointee.scratch_bytes(length))
    try unsafe check(memory.pointee.share(length, shared.unsafePointer), "\(kernel.name), preparing \(length) taps")
    try unsafe check(
      memory.pointee.pack(
        length, channels, taps.unsafePointer, channels, shared.unsafePointer, panels.unsafePointer, scratch.unsafePointer),
      "\(kernel.name), packing \(length) taps of \(channels) channels")
    self.length = length
    self.channels = channels
    self.kernel = kernel
    self.shared = shared
    self.panels = panels
    self.skip = AlignedBuffer(skip)
    self.panelBytes = panelBytes
  }
}

/// Memory a long convolution needs beside its operands: some for each worker.
package final class LongConvWorkspace {
  fileprivate var scratch = AlignedBuffer<UInt8>(count: 0)
  package init() {}
}

/// A causal convolution along time with a filter as long as the sequence.
public final class LongConvOperator: Sendable {
  public let kernel: KernelDescriptor
  private let bc: Int

  public init(kernel: KernelDescriptor, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    try kernel.requireSequence(kernel.isLongConvolution ? kernel.op : .longConv, knobs: knobs, isas: isas)
    self.kernel = kernel
    bc = knobs[.bc] ?? 64
  }

  /// Runs `tokens`, at most the filter's length, of each of `batch` sequences. The filter is this kernel's.
  ///
  /// - Parameters:
  ///   - x: `batch·tokens×channels`, row-major without gaps.
  ///   - y: the same; overwritten. Not x.
  package func run(
    batch: Int, tokens: Int, filter: borrowing LongConvFilter, x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>,
    workspace: LongConvWorkspace, on executor: any Executor
  ) {
    precondition(filter.kernel.name == kernel.name, "the filter was packed for \(filter.kernel.name), not \(kernel.name)")
    precondition(tokens <= filter.length, "\(tokens) tokens are more than the filter's \(filter.length) taps")
    let channels = filter.channels
    let function = unsafe kernel.row.pointee.long_conv!
    let bytes = unsafe (kernel.row.pointee.long_conv_memory!.pointee.scratch_bytes(filter.length) + 63) / 64 * 64
    if workspace.scratch.count < bytes * executor.workerCount {
      workspace.scratch = AlignedBuffer(count: bytes * executor.workerCount)
    }
    let scratch = unsafe workspace.scratch.unsafePointer
    var all = unsafe wc_long_conv_args()
    unsafe all.tokens = tokens
    unsafe all.length = filter.length
    unsafe all.x = x
    unsafe all.ldx = channels
    unsafe all.shared = UnsafeRawPointer(filter.shared.unsafePointer)
    unsafe all.filter = UnsafeRawPointer(filter.panels.unsafePointer)
    if filter.skip.count > 0 { unsafe all.skip = UnsafePointer(filter.skip.unsafePointer) }
    unsafe all.y = y
    unsafe all.ldy = channels
    let panelBytes = filter.panelBytes
    let call = unsafe all
    ChannelRanges(batch: batch, channels: channels, perRange: bc).forEach(on: executor) { sequence, range, worker in
      var args = unsafe call
      let first = range.lowerBound
      unsafe args.channels = range.count
      unsafe args.x += sequence * tokens * channels + first
      unsafe args.y += sequence * tokens * channels + first
      unsafe args.filter += first / ChannelPanels.channels * panelBytes
      if unsafe args.skip != nil { unsafe args.skip += first }
      unsafe args.scratch = UnsafeMutableRawPointer(scratch + worker * bytes)
      // Every field is within what the header allows.
      _ = unsafe function(&args)
    }
  }
}
