import WallclockMeasure

#if canImport(Glibc)
  import Glibc
#endif

/// Successive halving over paired samples: in each round every candidate left is sampled once, in turn, so
/// that what slows the host for a while slows them all. After 3, 6, 12, … rounds the slower half leaves; one
/// that is slower than the fastest beyond doubt leaves at once. Pure.
struct PairedHalving {
  /// The chance that a candidate is called slower than the fastest when it is not, however often one looks.
  static let errorRate = 0.05
  private static let firstRung = 3
  /// The last two are not told apart any further: a decision follows.
  private static let lastRound = 24

  /// Candidates left, by number.
  private(set) var field: [Int]
  /// The logarithm of each one's time, round by round as long as it was in the field.
  private var logarithms: [[Double]]
  private var rounds = 0
  private var rung = PairedHalving.firstRung

  init(count: Int) {
    field = Array(0..<count)
    logarithms = Array(repeating: [], count: count)
  }

  var isOver: Bool { field.count <= 1 || rounds >= Self.lastRound }

  /// Takes one time of each candidate in `field`, in its order.
  mutating func append(_ times: [Double]) {
    for (candidate, time) in zip(field, times) { logarithms[candidate].append(log(time)) }
    rounds += 1
    let leader = fastest
    field = field.filter { $0 == leader || !isSlower($0, than: leader) }
    if rounds == rung {
      rung *= 2
      field = Array(field.sorted { ratio($0, to: leader) < ratio($1, to: leader) }.prefix((field.count + 1) / 2))
    }
  }

  /// The candidate with the least time, by medians of paired ratios to the first of the field.
  var fastest: Int { field.min { ratio($0, to: field[0]) < ratio($1, to: field[0]) }! }

  /// The median ratio of two candidates' times over the rounds that both were in.
  func ratio(_ a: Int, to b: Int) -> Double {
    guard !logarithms[a].isEmpty, !logarithms[b].isEmpty else { return 1 }
    return exp(OrderStatistics.median(zip(logarithms[a], logarithms[b]).map { $0 - $1 }))
  }

  private func isSlower(_ a: Int, than b: Int) -> Bool {
    var sequence = MedianSequence(errorRate: Self.errorRate)
    for (x, y) in zip(logarithms[a], logarithms[b]) { sequence.append(x - y) }
    return sequence.interval.map { $0.lowerBound > 0 } ?? false
  }
}
