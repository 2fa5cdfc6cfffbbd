/// A steady-state genetic algorithm: two parents by tournament, uniform crossover, mutation of a
/// parameter in `1/parameters`; the child takes the place of the worst. Children that are not legal or
/// were seen are bred again.
struct GeneticSearch: SearchStrategy {
  private static let size = 16
  private let space: SearchSpace
  private var fresh: RandomOrder
  private var random: SearchRandom
  private var starts: [Int]
  private var seen: Set<Int> = []
  private var population: [(point: Int, time: Double)] = []

  init(_ space: SearchSpace, _ setup: SearchSetup) {
    self.space = space
    starts = setup.start.reversed()
    random = SearchRandom(seed: setup.seed)
    fresh = RandomOrder(count: space.count, random: SearchRandom(seed: setup.seed ^ 0x5EED))
  }

  mutating func ask() -> Int? {
    while let start = starts.popLast() {
      if seen.insert(start).inserted { return start }
    }
    if population.count >= Self.size {
      for _ in 0..<64 {
        if let child = breed(), seen.insert(child).inserted { return child }
      }
    }
    let point = fresh.next { !seen.contains($0) }
    if let point { seen.insert(point) }
    return point
  }

  mutating func tell(_ point: Int, _ evaluation: Evaluation) {
    guard case .time(let time) = evaluation else { return }
    population.append((point, time))
    guard population.count > Self.size else { return }
    let worst = population.indices.max { population[$0].time < population[$1].time }!
    population.remove(at: worst)
  }

  private mutating func parent() -> Int {
    let a = population[random.below(population.count)]
    let b = population[random.below(population.count)]
    return a.time < b.time ? a.point : b.point
  }

  private mutating func breed() -> Int? {
    let a = space.coordinates(of: parent())
    let b = space.coordinates(of: parent())
    let child = zip(zip(a, b), space.parameters).map { pair, parameter -> UInt16 in
      if random.below(space.parameters.count) == 0 { return UInt16(random.below(parameter.values.count)) }
      return random.below(2) == 0 ? pair.0 : pair.1
    }
    return space.index(of: child)
  }
}
