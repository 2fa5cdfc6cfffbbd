import CWallclockKernels
public import WallclockCore

/// All ways a Problem may be run that are worth telling apart: the kernels that serve it, and each of
/// their knobs over its whole useful range.
///
/// Blocks are counted in register tiles (`mc/mr`, `nc/nr`, `bq/mr`, `bk/nr`), so that one parameter
/// means the same for every kernel. A point is legal when its blocks differ in effect from every
/// smaller one's and fit the caches they are meant for: B's and A's micro-panels and the block of A the
/// second level, the block of B the last (Low et al., TOMS 2016, make these inequalities the model).
public struct KnobSpace: Sendable {
  public struct Parameter: Sendable {
    public let name: String
    public let values: [ParameterValue]
  }

  public let problem: Problem
  public let threads: Int
  public let parameters: [Parameter]
  /// Legal points: for each parameter, which of its values.
  public let points: [[Int]]
  /// What the cache model recommends, kernel by kernel, the standard Schedule's first.
  public let start: [[Int]]

  private let kernels: [KernelDescriptor]
  private let knobs: [Knob]

  /// - Throws: `KernelError.unsupported` when no kernel of this build serves the Problem on the machine.
  public init(for problem: Problem, threads: Int, machine: Fingerprint) throws(KernelError) {
    _ = try ScheduleSpace.standard(for: problem, threads: threads, machine: machine)
    let serving = KernelTable.serving(problem, isas: Set(machine.isa))
    // Plain C++ is there for hosts that have nothing else.
    let vector = serving.filter { $0.isa != .scalar }
    let kernels = vector.isEmpty ? serving : vector
    let models = kernels.map { ScheduleSpace.standardKnobs($0, problem, threads: threads, machine: machine) }
    let knobs = Knob.allCases.filter { knob in models.contains { $0[knob] != nil } }
    // A kernel without the knob has the first of the others' values, which says nothing.
    let axes = knobs.map { knob in kernels.map { $0.knobs.contains(knob) ? Self.values(of: knob, $0, problem) : [] } }
    let multiples = axes.map { Set($0.joined()).sorted() }

    var points: [[Int]] = []
    var start: [[Int]] = []
    for (k, kernel) in kernels.enumerated() {
      var own = [[k]]
      for (axis, all) in zip(axes, multiples) {
        let positions = axis[k].isEmpty ? [0] : Set(axis[k]).map { all.firstIndex(of: $0)! }.sorted()
        own = own.flatMap { point in positions.map { point + [$0] } }
      }
      let fitting = own.filter { point in
        let values = zip(knobs, zip(multiples, point.dropFirst())).map { ($0, $1.0[$1.1] * Self.unit(of: $0, kernel)) }
        return Self.fits(kernel, Dictionary(uniqueKeysWithValues: values), problem, threads: threads, machine: machine)
      }
      points += fitting
      if let nearest = Self.nearest(to: models[k], in: fitting, knobs, multiples, kernel) { start.append(nearest) }
    }
    self.problem = problem
    self.threads = threads
    self.kernels = kernels
    self.knobs = knobs
    self.points = points
    self.start = start
    parameters =
      [Parameter(name: "kernel", values: kernels.map { .string($0.name) })]
      + zip(knobs, multiples).map { knob, values in
        Parameter(name: Self.name(of: knob), values: values.map { .integer($0) })
      }
  }

  /// - Parameter coordinates: a point's.
  public func schedule(at coordinates: [Int]) -> Schedule {
    let kernel = kernels[coordinates[0]]
    var values: [Knob: Int] = [:]
    for (index, knob) in knobs.enumerated() {
      guard kernel.knobs.contains(knob), case .integer(let multiple) = parameters[index + 1].values[coordinates[index + 1]] else { continue }
      values[knob] = multiple * Self.unit(of: knob, kernel)
    }
    return Schedule(kernel: kernel.name, knobs: values, threads: threads)
  }

  private static func name(of knob: Knob) -> String {
    switch knob {
    case .mc: "mc/mr"
    case .nc: "nc/nr"
    case .bq: "bq/mr"
    case .bk: "bk/nr"
    case .split: "split/nr"
    case .bc: "bc/\(ChannelPanels.channels)"
    case .kc, .prefetch, .rows, .chunk, .bt: knob.rawValue
    }
  }

  /// What a parameter's value counts.
  private static func unit(of knob: Knob, _ kernel: KernelDescriptor) -> Int {
    switch knob {
    case .mc, .bq: kernel.mr
    case .nc, .bk, .split: kernel.nr
    case .bc: ChannelPanels.channels
    case .kc, .prefetch, .rows, .chunk, .bt: 1
    }
  }

  /// 1, 2, 3, 4, 6, 8, 12, …: steps of a half to a third, as far as `needed`, which ends them.
  private static func steps(upTo needed: Int) -> [Int] {
    var result: [Int] = []
    var power = 1
    while power < needed {
      result.append(power)
      if power > 1, power / 2 * 3 < needed { result.append(power / 2 * 3) }
      power *= 2
    }
    return result + [needed]
  }

  private static func values(of knob: Knob, _ kernel: KernelDescriptor, _ problem: Problem) -> [Int] {
    let s = problem.kernelShape
    func tiles(_ size: Int, _ tile: Int) -> Int { max(1, (size + tile - 1) / tile) }
    switch knob {
    case .mc: return steps(upTo: tiles(s[.m], kernel.mr))
    case .nc where problem.op.isRecurrence: return RecurrenceOperator.columns(kernel, problem).map { $0 / kernel.nr }
    case .chunk: return RecurrenceOperator.chunks
    case .nc: return steps(upTo: tiles(s[.n], kernel.nr))
    case .kc:
      let step = GemmBlocking.kStep(of: kernel)
      let units = max(1, 32 / step)
      let whole = tiles(s[.k], step) * step
      return steps(upTo: tiles(s[.k], step * units)).map { min($0 * step * units, whole) }
    case .prefetch where problem.op == .attention: return [0, 1]
    case .prefetch: return [0, 256, 512, 1024, 2048, 4096, 8192]
    case .bq: return Array(1...min(64, tiles(s[.tokens] * max(1, s[.heads] / max(1, problem.kvHeads)), kernel.mr)))
    case .bk: return Array(1...min(64, tiles(problem.keys, kernel.nr)))
    // As many keys as there are is the same as all, which is 0.
    case .split: return [0] + steps(upTo: tiles(problem.keys, kernel.nr)).dropLast()
    case .rows: return steps(upTo: s[.rows])
    case .bt: return steps(upTo: min(s[.tokens], Int(WC_LARGEST_BT)))
    case .bc: return steps(upTo: tiles(s[.channels], ChannelPanels.channels))
    }
  }

  private static func fits(
    _ kernel: KernelDescriptor, _ knobs: [Knob: Int], _ problem: Problem, threads: Int, machine: Fingerprint
  ) -> Bool {
    guard problem.op.kernelOp == .gemm, let kc = knobs[.kc], let mc = knobs[.mc], let nc = knobs[.nc] else { return true }
    let l2 = Double(machine.cacheBytes(level: 2) ?? 512 << 10)
    let last = Double(max(machine.lastLevelCacheBytes, 1 << 20))
    let a = (kernel.a?.bitsPerValue ?? 32) / 8
    let b = (kernel.b?.bitsPerValue ?? 32) / 8
    let k = Double(kc)
    return k * (Double(kernel.mr) * a + Double(kernel.nr) * b) <= l2 / 2
      && k * Double(mc) * a <= l2 && k * Double(nc) * b <= last / Double(threads)
  }

  /// The legal point whose knobs lie nearest to `model`, by the logarithm of their ratio.
  private static func nearest(
    to model: [Knob: Int], in points: [[Int]], _ knobs: [Knob], _ multiples: [[Int]], _ kernel: KernelDescriptor
  ) -> [Int]? {
    func distance(_ point: [Int]) -> Int {
      var sum = 0
      for (index, knob) in knobs.enumerated() {
        let value = multiples[index][point[index + 1]] * unit(of: knob, kernel)
        let (low, high) = (min(value, model[knob] ?? 0), max(value, model[knob] ?? 0))
        // In thousandths of the smaller; 0 only equals 0.
        sum += low == high ? 0 : min(1_000_000, (high - low) * 1000 / max(1, low))
      }
      return sum
    }
    return points.min { distance($0) < distance($1) }
  }
}
