import WallclockCore
import WallclockKernels

/// A search of all Schedules of a target, from what the cache model recommends: asked for one, told how
/// it did.
struct KnobSearch {
  private let knobs: KnobSpace
  private let space: SearchSpace
  private var strategy: any SearchStrategy

  /// - Throws: `KernelError.unsupported` when no kernel of this build serves the Problem on `machine`.
  init(_ target: TuneTarget, machine: Fingerprint, method: SearchMethod) throws(KernelError) {
    let knobs = try KnobSpace(for: target.problem, threads: target.threads, machine: machine)
    let space = SearchSpace(
      parameters: knobs.parameters.map { SearchSpace.Parameter($0.name, $0.values) }, points: knobs.points)
    let start = knobs.start.compactMap { space.index(of: $0.map(UInt16.init)) }
    self.knobs = knobs
    self.space = space
    strategy = method.start(on: space, SearchSetup(seed: 0, start: start))
  }

  /// The next Schedule to evaluate and its point; nil when there is no more to ask.
  mutating func next() -> (point: Int, schedule: Schedule)? {
    strategy.ask().map { ($0, knobs.schedule(at: space.coordinates(of: $0).map(Int.init))) }
  }

  mutating func tell(_ point: Int, _ evaluation: Evaluation) { strategy.tell(point, evaluation) }
}
