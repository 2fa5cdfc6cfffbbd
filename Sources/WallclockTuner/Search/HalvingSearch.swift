/// Successive halving (Jamieson and Talwalkar, AISTATS 2016) by paired comparisons: the points of a
/// field are evaluated in turn, so that what disturbs one round disturbs all of it; the half that wins
/// fewer of its rounds against the field's leader leaves, and the rest are sampled twice as often.
///
/// The winner's neighbours and fresh random points are the next field. Points are asked for again and
/// again: that is its means against noise.
struct HalvingSearch: SearchStrategy {
  private static let fieldSize = 16
  private let space: SearchSpace
  private var fresh: RandomOrder
  private var random: SearchRandom
  private var starts: [Int]
  private var entered: Set<Int> = []
  /// Who won the last field.
  private(set) var champion: Int?
  private var field: [Int] = []
  private var samples: [Int: [Double]] = [:]
  private var round: [Int] = []
  private var roundsLeft = 0
  private var roundsPerRung = 1

  init(_ space: SearchSpace, _ setup: SearchSetup) {
    self.space = space
    starts = setup.start
    random = SearchRandom(seed: setup.seed)
    fresh = RandomOrder(count: space.count, random: SearchRandom(seed: setup.seed ^ 0x5EED))
  }

  mutating func ask() -> Int? {
    while true {
      if let point = round.popLast() { return point }
      if roundsLeft > 0 {
        roundsLeft -= 1
        round = field.reversed()
      } else if field.count > 1 {
        endRung()
      } else {
        champion = field.first ?? champion
        guard beginField() else { return nil }
      }
    }
  }

  mutating func tell(_ point: Int, _ evaluation: Evaluation) {
    switch evaluation {
    case .time(let time): samples[point, default: []].append(time)
    case .failed:
      field.removeAll { $0 == point }
      round.removeAll { $0 == point }
    }
  }

  /// Whether there was anything new to put into it.
  private mutating func beginField() -> Bool {
    var next = starts
    starts = []
    if let champion {
      next += space.neighbours(of: champion).shuffled(using: &random).prefix(Self.fieldSize / 2)
    }
    next = next.filter { !entered.contains($0) }
    while next.count < Self.fieldSize, let point = fresh.next(where: { !entered.contains($0) && !next.contains($0) }) {
      next.append(point)
    }
    guard !next.isEmpty else { return false }
    entered.formUnion(next)
    field = (champion.map { [$0] } ?? []) + next
    samples = [:]
    roundsPerRung = 1
    roundsLeft = 1
    return true
  }

  private mutating func endRung() {
    let medians = samples.mapValues { Self.median($0) }
    guard let leader = field.min(by: { medians[$0, default: .infinity] < medians[$1, default: .infinity] }),
      let pace = samples[leader]
    else {
      field = []
      return
    }
    // Paired by round: the ratio to the leader's sample of the same round.
    let ratios = field.map { point in
      (point, Self.median(zip(samples[point] ?? [], pace).map { $0 / $1 }))
    }
    field = ratios.sorted { ($0.1, $0.0) < ($1.1, $1.0) }.prefix((field.count + 1) / 2).map(\.0)
    samples = [:]
    roundsPerRung = min(roundsPerRung * 2, 16)
    roundsLeft = field.count > 1 ? roundsPerRung : 0
  }

  private static func median(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return .infinity }
    let sorted = values.sorted()
    return sorted[sorted.count / 2]
  }
}
