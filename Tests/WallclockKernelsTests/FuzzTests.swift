import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// Random Problems under random Schedules through the same check that bench and tune make.
@Suite struct FuzzTests {
  /// Knobs an operator takes, standard or not.
  private func randomKnobs(_ kernel: KernelDescriptor, _ random: inout TestRandom) -> [Knob: Int] {
    var knobs: [Knob: Int] = [:]
    for knob in kernel.knobs where random.integer(0...3) > 0 {
      knobs[knob] =
        switch knob {
        case .mc: random.integer(1...64)
        case .nc: kernel.nr * random.integer(1...5)
        case .kc: (kernel.b?.groupSize ?? Swift.max(kernel.kr, 4)) * random.integer(1...9)
        case .prefetch: random.integer(0...4096)
        case .bq, .bk: random.integer(1...100)
        case .rows: random.integer(1...40)
        case .split: random.integer(0...100)
        case .chunk: 1 << random.integer(0...3)
        case .bt: random.integer(1...64)
        case .bc: random.integer(1...100)
        }
    }
    return knobs
  }

  @Test(arguments: KernelTable.all) func everyKernelOnRandomProblems(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let filter = "FuzzTests"
    // Each kernel has its own stream, so that a run is repeated whatever the order of kernels.
    let stream = kernel.name.utf8.reduce(TestScope.fuzzSeed) { $0 &* 1_099_511_628_211 ^ UInt64($1) }
    var random = TestRandom(seed: stream)
    let wanted = TestScope.isWhole ? 2000 : 25
    let host = testedMachine
    let executor = ScramblingExecutor(workers: 3, seed: random.next())
    var done = 0
    var tried = 0
    while done < wanted, tried < 400 * wanted {
      tried += 1
      var problem = randomProblem(&random, largest: 200)
      problem.state = .hot
      guard KernelTable.serving(problem, isas: testedISAs).contains(where: { $0.name == kernel.name })
        || (kernel.op == .quantize && problem.op == .quantize)
      else { continue }
      done += 1
      let schedule = Schedule(kernel: kernel.name, knobs: randomKnobs(kernel, &random))
      do {
        let prepared = try problem.prepare(schedule, machine: host, seed: random.next())
        _ = try prepared.check(on: executor)
      } catch {
        Issue.record("\(error); \(problem); to repeat: \(TestScope.rerun(filter))")
        return
      }
    }
    #expect(done == wanted, "\(kernel.name) served only \(done) of \(tried) random problems")
    report(kernel, "\(done) random problems; repeat: \(TestScope.rerun(filter))")
  }
}
