import WallclockCore

/// Compares what a kernel made of some panels of channels with the reference, as Frobenius norms.
struct SequenceCheck {
  private var worst = 0.0
  private var elements = 0

  /// The panels to compare: the first, the last, two between. A reference takes seconds for all channels.
  static func panels(channels: Int) -> [Range<Int>] {
    let size = ChannelPanels.channels
    let count = (channels + size - 1) / size
    return Set([0, count / 3, count / 2, count - 1]).sorted().map { $0 * size..<min(channels, ($0 + 1) * size) }
  }

  mutating func compare(count: Int, _ pair: (Int) -> (found: Float, expected: Double)) {
    var difference = 0.0
    var norm = 0.0
    for i in 0..<count {
      let (found, expected) = pair(i)
      difference += (Double(found) - expected) * (Double(found) - expected)
      norm += expected * expected
    }
    elements += count
    let error = excess(difference.squareRoot(), 0, allowed: Tolerance.sequence(norm: norm.squareRoot()))
    worst = max(worst, difference.isNaN ? .infinity : error)
  }

  /// - Throws: `KernelError.wrongResult` when something was further off than the tolerance.
  func result(_ schedule: Schedule, _ problem: Problem) throws(KernelError) -> CorrectnessCheck {
    guard worst <= 1 else {
      throw KernelError(
        .wrongResult, "\(schedule) on \(problem): the Frobenius error is \(worst)× the tolerance",
        worstErrorOverTolerance: worst)
    }
    return CorrectnessCheck(worstErrorOverTolerance: worst, elementsChecked: elements)
  }
}
