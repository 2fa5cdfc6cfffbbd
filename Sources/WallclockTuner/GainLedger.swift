import WallclockCore
import WallclockMeasure
import WallclockProfiles

/// What is known of the targets of a tune: their times, how fast they could be at most, and what searches
/// have gained. From that follows which target to spend time on next, and what more time would bring. Pure.
struct GainLedger {
  enum State: Equatable {
    case unsearched, cutShort, searched
  }

  private struct Entry {
    /// Nanoseconds of one run: measured, or at the ceilings.
    var nanoseconds: Double
    /// Nanoseconds of one run at the ceilings; 0 where none applies.
    let least: Double
    var state = State.unsearched
    /// The part of its time that its search saved.
    var gain = 0.0
    var searchSeconds = 0.0
    /// Passes it is a part of, and how often it occurs there.
    var uses: [(pass: Int, count: Int)] = []
  }

  /// Passes that are asked about. A target of none is a pass of its own.
  private let passes: [ForwardPass]
  private var entries: [TuneTarget: Entry] = [:]
  private let order: [TuneTarget]

  init(_ targets: [TuneTarget], in passes: [ForwardPass], ceilings: [Ceiling]) {
    order = targets
    let known = Set(targets)
    var entries: [TuneTarget: Entry] = [:]
    for target in targets {
      let least = Self.leastNanoseconds(target, ceilings)
      // Without ceilings, sizes in proportion will do.
      entries[target] = Entry(nanoseconds: max(least, target.work / 1e3), least: least)
    }
    for (index, pass) in passes.enumerated() {
      for part in pass.parts where known.contains(part.target) { entries[part.target]!.uses.append((index, part.count)) }
    }
    var all = passes
    for target in targets where entries[target]!.uses.isEmpty {
      entries[target]!.uses = [(all.count, 1)]
      all.append(
        ForwardPass(
          model: "", workload: "", format: target.problem.format, threads: target.threads,
          parts: [.init(target, count: 1)]))
    }
    self.passes = all
    self.entries = entries
  }

  /// The roofline: arithmetic at its ceiling, or operands at that of the memory they come from.
  static func leastNanoseconds(_ target: TuneTarget, _ ceilings: [Ceiling]) -> Double {
    let problem = target.problem
    func rate(_ name: String?) -> Double? {
      // 10⁹ operations or bytes per second are one per nanosecond.
      ceilings.first { $0.name == name && $0.threads == target.threads }?.value
    }
    let compute = rate(MeasuredRun.ceilingNames(for: problem).first { !$0.hasPrefix("read.") })
    let (place, bytes): (String, Double) =
      switch problem.state {
      case .hot: ("read.l1", problem.bytes)
      case .warm: ("read.l2", problem.bytes)
      case .cold:
        ("read.dram", problem.op == .gemm
          ? Double(problem.format.weightBytes(n: problem.shape[.n], k: problem.shape[.k])) : problem.bytes)
      }
    return max(compute.map { problem.operations / $0 } ?? 0, rate(place).map { bytes / $0 } ?? 0)
  }

  // MARK: - What becomes known

  mutating func measured(_ target: TuneTarget, nanoseconds: Double) { entries[target]?.nanoseconds = nanoseconds }

  mutating func searched(_ target: TuneTarget, _ record: SearchRecord) {
    guard record.ending != nil || record.seconds > 0 else { return }
    entries[target]?.state = record.ending == nil ? .cutShort : .searched
    entries[target]?.gain = record.gain
    entries[target]?.searchSeconds = record.seconds
  }

  // MARK: - What follows

  /// How much of its passes' time a target takes, summed over them: 1 is one whole pass.
  func weights() -> [TuneTarget: Double] {
    let totals = passes.map(nanoseconds)
    return entries.mapValues { entry in
      entry.uses.reduce(0) { $0 + Double($1.count) * entry.nanoseconds / totals[$1.pass] }
    }
  }

  /// The largest part of any pass that could be saved on a target.
  private func largestEffect(_ target: TuneTarget, _ totals: [Double]) -> Double {
    guard let entry = entries[target] else { return 0 }
    let share = entry.uses.map { Double($0.count) * entry.nanoseconds / totals[$0.pass] }.max() ?? 0
    return share * headroom(target)
  }

  private func nanoseconds(_ pass: ForwardPass) -> Double {
    max(1, pass.parts.reduce(0) { $0 + Double($1.count) * (entries[$1.target]?.nanoseconds ?? 0) })
  }

  /// Nanoseconds of one run at the ceilings; 0 where none applies.
  func leastNanoseconds(_ target: TuneTarget) -> Double { entries[target]?.least ?? 0 }

  /// The part of a target's time that it takes above its roofline.
  func headroom(_ target: TuneTarget) -> Double {
    guard let entry = entries[target] else { return 0 }
    return max(0, 1 - entry.least / entry.nanoseconds)
  }

  /// What a search is expected to save before any has ended, as a part of a target's time.
  static let firstGuess = 0.05
  /// How many searches that guess is worth.
  static let guessWorth = 3.0
  /// The part of a pass below which nobody sees a gain.
  static let leastEffect = 0.002

  /// The part of each open target's time that going on with its search is expected to save: what searches of
  /// its op and format have, on average, as far as the roofline leaves it. Targets that are not worth a search
  /// are left out.
  func expectedGains() -> [TuneTarget: Double] {
    struct Kind: Hashable {
      var op: Op
      var format: Format
    }
    func mean(_ gains: [Double], guess: Double) -> Double {
      (gains.reduce(0, +) + Self.guessWorth * guess) / (Double(gains.count) + Self.guessWorth)
    }
    let ended = entries.filter { $0.value.state == .searched }
    let overall = mean(ended.map(\.value.gain), guess: Self.firstGuess)
    let byKind = Dictionary(grouping: ended) { Kind(op: $0.key.problem.op, format: $0.key.problem.format) }
    let totals = passes.map(nanoseconds)
    var result: [TuneTarget: Double] = [:]
    for (target, entry) in entries where entry.state != .searched {
      guard largestEffect(target, totals) >= Self.leastEffect else { continue }
      let alike = byKind[Kind(op: target.problem.op, format: target.problem.format)] ?? []
      let expected = mean(alike.map(\.value.gain), guess: overall)
      // Of one that was begun, part has been had.
      result[target] = min(headroom(target), entry.state == .cutShort ? expected / 2 : expected)
    }
    return result
  }

  /// Targets worth a search, by the expected gain over all passes, most first, with that gain.
  func worthSearching() -> [(target: TuneTarget, score: Double)] {
    let weights = weights()
    let gains = expectedGains()
    return order.compactMap { target in gains[target].map { (target, $0 * weights[target]!) } }
      .sorted { $0.1 > $1.1 }
  }

  /// By the time they take in their passes, most first; equal ones as they were given.
  func byWeight(_ targets: [TuneTarget]) -> [TuneTarget] {
    let weights = weights()
    return targets.enumerated().sorted {
      let (a, b) = (weights[$0.element]!, weights[$1.element]!)
      return a == b ? $0.offset < $1.offset : a > b
    }.map(\.element)
  }

  func outlook() -> TuneOutlook {
    let gains = expectedGains()
    struct Name: Hashable {
      var model: String
      var workload: String
    }
    var workloads: [TuneOutlook.Workload] = []
    var places: [Name: Int] = [:]
    var counts: [Int] = []
    for pass in passes where !pass.model.isEmpty {
      let name = Name(model: pass.model, workload: pass.workload)
      let place = places[name, default: workloads.count]
      if place == workloads.count {
        places[name] = place
        workloads.append(.init(model: pass.model, workload: pass.workload))
        counts.append(0)
      }
      counts[place] += 1
      let total = nanoseconds(pass)
      for part in pass.parts {
        guard let entry = entries[part.target] else { continue }
        let share = Double(part.count) * entry.nanoseconds / total
        workloads[place].add(share, of: entry.state, expected: gains[part.target], headroom: headroom(part.target))
      }
    }
    for index in workloads.indices { workloads[index].divide(by: Double(counts[index])) }
    return TuneOutlook(workloads: workloads, open: gains.count, secondsNeeded: secondsNeeded(for: Set(gains.keys)))
  }

  /// Seconds that the searches still open would take: what others took, for each evaluation's fixed cost and
  /// each of its runs alike.
  private func secondsNeeded(for open: Set<TuneTarget>) -> Double {
    func cost(_ entry: Entry) -> Double { 100 * (0.02 + 14 * entry.nanoseconds / 1e9) }
    let ended = entries.values.filter { $0.state == .searched && $0.searchSeconds > 0 }
    let expected = ended.reduce(0) { $0 + cost($1) }
    let pace = expected > 0 ? ended.reduce(0) { $0 + $1.searchSeconds } / expected : 1
    return open.reduce(0) { sum, target in
      let entry = entries[target]!
      return sum + max(0.2 * pace * cost(entry), pace * cost(entry) - entry.searchSeconds)
    }
  }
}

/// What a tune has searched, by the time it takes in the models it was for, and what more time could gain.
public struct TuneOutlook: Hashable, Sendable, Codable {
  /// Averages over the formats and thread counts tuned for.
  public struct Workload: Hashable, Sendable, Codable {
    public var model: String
    public var workload: String
    /// Parts of its time in targets searched to the end, cut short, not searched, and not worth it: at
    /// their roofline, or too small to matter.
    public var searched = 0.0
    public var cutShort = 0.0
    public var unsearched = 0.0
    public var negligible = 0.0
    /// The part of its time that more searching is expected to save, by what it has saved so far.
    public var expectedGain = 0.0
    /// What it could save at most: everything above the roofline in what is not searched to the end.
    public var possibleGain = 0.0

    init(model: String, workload: String) {
      self.model = model
      self.workload = workload
    }

    fileprivate mutating func add(_ share: Double, of state: GainLedger.State, expected: Double?, headroom: Double) {
      switch (state, expected) {
      case (.searched, _): searched += share
      case (_, nil): negligible += share
      case (.cutShort, _): cutShort += share
      case (.unsearched, _): unsearched += share
      }
      guard let expected else { return }
      expectedGain += share * expected
      possibleGain += share * headroom
    }

    fileprivate mutating func divide(by count: Double) {
      searched /= count
      cutShort /= count
      unsearched /= count
      negligible /= count
      expectedGain /= count
      possibleGain /= count
    }
  }

  public var workloads: [Workload]
  /// Targets whose search may go on and is worth it.
  public var open: Int
  /// Seconds that would take, by what it took so far.
  public var secondsNeeded: Double
}
