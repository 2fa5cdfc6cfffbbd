/// Every legal point in order.
struct ExhaustiveSearch: SearchStrategy {
  private let count: Int
  private var next = 0

  init(_ space: SearchSpace) { count = space.count }

  mutating func ask() -> Int? {
    guard next < count else { return nil }
    next += 1
    return next - 1
  }

  mutating func tell(_ point: Int, _ evaluation: Evaluation) {}
}

/// Legal points in random order: what every strategy is judged against.
struct RandomSearch: SearchStrategy {
  private var points: RandomOrder

  init(_ space: SearchSpace, _ setup: SearchSetup) {
    points = RandomOrder(count: space.count, random: SearchRandom(seed: setup.seed))
  }

  mutating func ask() -> Int? { points.next() }
  mutating func tell(_ point: Int, _ evaluation: Evaluation) {}
}

/// `0..<count` in random order, each once (Fisher and Yates), drawn as needed.
struct RandomOrder {
  private var rest: [Int]
  var random: SearchRandom

  init(count: Int, random: SearchRandom) {
    rest = Array(0..<count)
    self.random = random
  }

  mutating func next() -> Int? {
    guard !rest.isEmpty else { return nil }
    rest.swapAt(random.below(rest.count), rest.count - 1)
    return rest.removeLast()
  }

  /// The next one that `isWanted` admits.
  mutating func next(where isWanted: (Int) -> Bool) -> Int? {
    while let point = next() {
      if isWanted(point) { return point }
    }
    return nil
  }
}
