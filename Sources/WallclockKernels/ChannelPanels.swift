import CWallclockKernels
import WallclockCore

/// The layout of what belongs to a channel and does not change from token to token: `[channels/16][count][16]`, the
/// last panel padded with zeros. The same for every ISA, so that a state may pass from one kernel to another.
public enum ChannelPanels {
  public static let channels = Int(WC_CHANNEL_PANEL)

  /// Values that panels of `count` for each of `channels` take.
  public static func size(channels: Int, count: Int) -> Int {
    (channels + self.channels - 1) / self.channels * self.channels * count
  }

  /// Where value `index` of `channel` lies.
  public static func place(channel: Int, index: Int, count: Int) -> Int {
    (channel / channels * count + index) * channels + channel % channels
  }

  /// How many channels values of `count` a channel are for, row-major.
  ///
  /// - Parameter name: what the values are, in the words of its caller: "A", "the filters".
  /// - Throws: `KernelError.shapeMismatch` when there are none, or they are no rows of `count`.
  static func channels(of values: [Float], each count: Int, _ name: String) throws(KernelError) -> Int {
    guard count >= 1, !values.isEmpty, values.count % count == 0 else {
      throw KernelError(
        .shapeMismatch, "\(name): \(values.count) values are no rows of \(count); give \(max(1, count)) for each channel")
    }
    return values.count / count
  }

  /// - Throws: `KernelError.shapeMismatch` when there are values, but not `count` for each channel.
  static func requireEach(
    _ values: [Float], of channels: Int, count: Int = 1, _ name: String, optional: Bool = true
  ) throws(KernelError) {
    guard values.count == channels * count || (optional && values.isEmpty) else {
      throw KernelError(
        .shapeMismatch,
        "\(name): \(values.count) values for \(channels) channels; give \(count) for each\(optional ? ", or none" : "")")
    }
  }

  /// From `[channel][index]`, row-major.
  public static func pack(_ rows: some RandomAccessCollection<Float>, channels: Int, count: Int) -> AlignedBuffer<Float> {
    precondition(rows.count == channels * count, "\(rows.count) values are not \(channels)×\(count)")
    let panels = AlignedBuffer<Float>(count: size(channels: channels, count: count))
    for (i, value) in rows.enumerated() {
      unsafe panels.unsafePointer[place(channel: i / count, index: i % count, count: count)] = value
    }
    return panels
  }

  /// Back to `[channel][index]`, row-major.
  public static func unpack(_ panels: borrowing AlignedBuffer<Float>, channels: Int, count: Int) -> [Float] {
    (0..<channels * count).map { panels[place(channel: $0 / count, index: $0 % count, count: count)] }
  }
}

/// How a batch of sequences is shared out: `batch` times the channels, in ranges of whole panels. Channels do not
/// mix, so results have the same bits for any ranges.
struct ChannelRanges {
  let channels: Int
  let perRange: Int
  let perSequence: Int
  let count: Int

  init(batch: Int, channels: Int, perRange: Int) {
    self.channels = channels
    self.perRange = max(1, (perRange + ChannelPanels.channels - 1) / ChannelPanels.channels) * ChannelPanels.channels
    perSequence = (channels + self.perRange - 1) / self.perRange
    count = batch * perSequence
  }

  /// Runs `body(sequence, channels, worker)` for all of them.
  func forEach(on executor: any Executor, _ body: (Int, Range<Int>, Int) -> Void) {
    executor.forEachRange(of: count, grain: 1) { range, worker in
      for task in range {
        let first = task % perSequence * perRange
        body(task / perSequence, first..<min(channels, first + perRange), worker)
      }
    }
  }
}

extension KernelDescriptor {
  /// - Throws: `KernelError` when the kernel computes another op, the host lacks its ISA, or it has no such knob.
  func requireSequence(_ op: Op, knobs: [Knob: Int], isas: Set<ISA>) throws(KernelError) {
    guard self.op == op else {
      throw KernelError(.unsupported, "\(name) computes \(self.op.rawValue), not \(op.rawValue)")
    }
    guard runs(on: isas) else { throw KernelError(.missingISA, "\(name) needs \(isa.rawValue), which this host lacks") }
    for (knob, value) in knobs {
      guard self.knobs.contains(knob) else { throw KernelError(.badKnob, "\(name) has no knob \(knob.rawValue)") }
      let largest = knob == .bt ? Int(WC_LARGEST_BT) : 1 << 24
      guard (1...largest).contains(value) else {
        throw KernelError(.badKnob, "\(name): \(knob.rawValue)=\(value) is outside 1…\(largest)")
      }
    }
  }
}

extension ScheduleSpace {
  /// One range of channels a thread where they are many, so that rows are read in long pieces.
  static func sequenceKnobs(_ kernel: KernelDescriptor, _ problem: Problem, threads: Int) -> [Knob: Int] {
    let (batch, channels) = (problem.shape[.batch], problem.shape[.channels])
    // A buffer takes 64 channels at a time.
    if kernel.isLongConvolution { return [.bc: evenPart(of: channels, atMost: 64, multipleOf: ChannelPanels.channels)] }
    let parts = threads == 1 ? 1 : max(1, (2 * threads + batch - 1) / batch)
    let most = (channels + parts - 1) / parts
    let bc = evenPart(of: channels, atMost: most, multipleOf: ChannelPanels.channels)
    // A short block of every panel walks whole rows in order, at the cost of moving the state in and out of registers.
    let bt = problem.op == .rwkv4 ? 4 : problem.op == .s4d ? 16 : 32
    return [.bt: min(bt, max(1, problem.shape[.tokens])), .bc: bc]
  }

  static func sequenceValues(of knob: Knob, around value: Int, _ problem: Problem) -> [Int] {
    let s = problem.shape
    guard knob == .bc else { return [problem.op == .rwkv4 ? 4 : 16, 32, Int(WC_LARGEST_BT)].filter { $0 <= s[.tokens] } }
    var found: [Int] = []
    for limit in [value / 2, value * 2] where limit >= ChannelPanels.channels {
      found.append(evenPart(of: s[.channels], atMost: limit, multipleOf: ChannelPanels.channels))
    }
    return found
  }
}
