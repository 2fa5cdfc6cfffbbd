/// Steepest descent with restarts: all Hamming neighbours of the best point known are evaluated in
/// random order, and the first that is better becomes the centre.
struct LocalSearch: SearchStrategy {
  private let space: SearchSpace
  private var starts: [Int]
  private var fresh: RandomOrder
  private var random: SearchRandom
  private var known: [Int: Evaluation] = [:]
  private var centre: (point: Int, time: Double)?
  private var open: [Int] = []

  init(_ space: SearchSpace, _ setup: SearchSetup) {
    self.space = space
    starts = setup.start.reversed()
    random = SearchRandom(seed: setup.seed)
    fresh = RandomOrder(count: space.count, random: SearchRandom(seed: setup.seed ^ 0x5EED))
  }

  mutating func ask() -> Int? {
    // All points that are held for good are looked at before the best of them is walked from.
    while let start = starts.popLast() {
      if known[start] == nil { return start }
    }
    while let point = open.popLast() {
      if known[point] == nil { return point }
    }
    // No neighbour is better: a local optimum. Begin elsewhere.
    centre = nil
    return fresh.next { known[$0] == nil }
  }

  mutating func tell(_ point: Int, _ evaluation: Evaluation) {
    known[point] = evaluation
    guard case .time(let time) = evaluation, time < centre?.time ?? .infinity else { return }
    centre = (point, time)
    // A single step is likelier to be better than a leap: it is asked first.
    let near = Set(space.neighbours(of: point, .adjacent))
    let far = space.neighbours(of: point, .hamming).filter { !near.contains($0) }
    open = far.shuffled(using: &random) + near.sorted().shuffled(using: &random)
  }
}
