import CWallclockKernels
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Calls kernels on sequences through the C ABI, on operands that end at pages which may not be touched.
@safe final class SequenceCaller {
  private var memories: [GuardedMemory] = []
  var used = 0

  struct Result: Equatable {
    /// `tokens×channels`, then the state, `channels×count`; compared bit for bit.
    var y: [Float]
    var state: [Float]
    static func == (a: Result, b: Result) -> Bool {
      a.y.map(\.bitPattern) == b.y.map(\.bitPattern) && a.state.map(\.bitPattern) == b.state.map(\.bitPattern)
    }
  }

  func memory() -> GuardedMemory {
    if used == memories.count { memories.append(GuardedMemory(capacity: 1 << 17)) }
    used += 1
    return memories[used - 1]
  }

  /// `rows` rows of `columns` with `gap` NaN between them.
  func place(_ values: some RandomAccessCollection<Float>, _ rows: Int, _ columns: Int, gap: Int) -> UnsafeMutablePointer<Float> {
    let stride = columns + gap
    let p = unsafe memory().place(rows == 0 ? 0 : (rows - 1) * stride + columns, of: Float.self)
    for (i, value) in values.enumerated() { unsafe p[i / columns * stride + i % columns] = value }
    return unsafe p
  }

  func panels(_ values: some RandomAccessCollection<Float>, channels: Int, count: Int) -> UnsafeMutablePointer<Float> {
    let packed = ChannelPanels.pack(values, channels: channels, count: count)
    return unsafe place(packed.array(), 1, packed.count, gap: 0)
  }

  func read(_ p: UnsafeMutablePointer<Float>, _ rows: Int, _ columns: Int, gap: Int) -> [Float] {
    (0..<rows * columns).map { unsafe p[$0 / columns * (columns + gap) + $0 % columns] }
  }

  func readPanels(_ p: UnsafeMutablePointer<Float>, channels: Int, count: Int) -> [Float] {
    (0..<channels * count).map {
      unsafe p[ChannelPanels.place(channel: $0 / count, index: $0 % count, count: count)]
    }
  }

  /// The gaps of an output are as they were, and so is what lies around every operand.
  func isIntact(_ y: UnsafeMutablePointer<Float>, _ rows: Int, _ columns: Int, gap: Int) -> Bool {
    for r in 0..<max(0, rows - 1) {
      for c in columns..<columns + gap where unsafe y[r * (columns + gap) + c].bitPattern != 0xFFFF_FFFF { return false }
    }
    return memories[..<used].allSatisfy(\.isIntact)
  }

  /// Tokens `range` of the oracle's sequence, from `state` on (channels×states).
  func mamba1(
    _ kernel: KernelDescriptor, _ oracle: Mamba1Oracle, _ range: Range<Int>, state: [Float], bt: Int, gap: Int = 0
  ) -> (result: Result, wrong: String?) {
    used = 0
    let (channels, states, tokens) = (oracle.channels, oracle.states, range.count)
    func rows(_ values: [Float], _ columns: Int) -> UnsafeMutablePointer<Float> {
      unsafe place(values[range.lowerBound * columns..<range.upperBound * columns], tokens, columns, gap: gap)
    }
    var args = unsafe wc_mamba1_args()
    unsafe args.tokens = tokens
    unsafe args.channels = channels
    unsafe args.states = states
    unsafe args.u = UnsafePointer(rows(oracle.u, channels))
    unsafe args.delta = UnsafePointer(rows(oracle.delta, channels))
    unsafe args.z = UnsafePointer(rows(oracle.z, channels))
    unsafe args.ldu = channels + gap
    unsafe args.ld_delta = channels + gap
    unsafe args.ldz = channels + gap
    unsafe args.b = UnsafePointer(rows(oracle.b, states))
    unsafe args.c = UnsafePointer(rows(oracle.c, states))
    unsafe args.ldb = states + gap
    unsafe args.ldc = states + gap
    unsafe args.skip = UnsafePointer(place(oracle.skip, 1, channels, gap: 0))
    unsafe args.delta_bias = UnsafePointer(place(oracle.deltaBias, 1, channels, gap: 0))
    unsafe args.a = UnsafePointer(
      panels(oracle.a.map { Float(Double($0) * 1.4426950408889634) }, channels: channels, count: states))
    unsafe args.state = panels(state, channels: channels, count: states)
    unsafe args.y = memory().place(tokens == 0 ? 0 : (tokens - 1) * (channels + gap) + channels, of: Float.self)
    unsafe args.ldy = channels + gap
    unsafe args.bt = bt
    let status = unsafe kernel.row.pointee.mamba1!(&args)
    let result = unsafe Result(
      y: read(args.y, tokens, channels, gap: gap), state: readPanels(args.state, channels: channels, count: states))
    if status != WC_OK { return (result, "status \(status.rawValue)") }
    return (result, unsafe isIntact(args.y, tokens, channels, gap: gap) ? nil : "wrote outside its output")
  }

  func conv1d(
    _ kernel: KernelDescriptor, _ oracle: Conv1dOracle, _ range: Range<Int>, state: [Float], gap: Int = 0
  ) -> (result: Result, wrong: String?) {
    used = 0
    let (channels, width, tokens) = (oracle.channels, oracle.width, range.count)
    var args = unsafe wc_conv1d_args()
    unsafe args.tokens = tokens
    unsafe args.channels = channels
    unsafe args.width = width
    unsafe args.x = UnsafePointer(
      place(oracle.x[range.lowerBound * channels..<range.upperBound * channels], tokens, channels, gap: gap))
    unsafe args.ldx = channels + gap
    unsafe args.weight = UnsafePointer(panels(oracle.weight, channels: channels, count: width))
    unsafe args.bias = UnsafePointer(place(oracle.bias, 1, channels, gap: 0))
    unsafe args.state = panels(state, channels: channels, count: width - 1)
    unsafe args.y = memory().place(tokens == 0 ? 0 : (tokens - 1) * (channels + gap) + channels, of: Float.self)
    unsafe args.ldy = channels + gap
    unsafe args.silu = oracle.silu ? 1 : 0
    let status = unsafe kernel.row.pointee.conv1d!(&args)
    let result = unsafe Result(
      y: read(args.y, tokens, channels, gap: gap), state: readPanels(args.state, channels: channels, count: width - 1))
    if status != WC_OK { return (result, "status \(status.rawValue)") }
    return (result, unsafe isIntact(args.y, tokens, channels, gap: gap) ? nil : "wrote outside its output")
  }
}
