import CWallclockKernels
import Testing
import WallclockCore
@testable import WallclockKernels
import WallclockMachine
import WallclockTestSupport
import WallclockThreads

@Suite struct RecurrenceOperatorTests {
  private static let host = Machine.host.fingerprint

  /// What a Schedule leaves in o, the state and z after one run.
  private func results(_ problem: Problem, _ schedule: Schedule, on executor: any Executor) throws -> [UInt32] {
    let operands = RecurrenceOperands(problem, isas: testedISAs, copies: 1, seed: 3)
    try PreparedRecurrence(operands, schedule).run(copy: 0, on: executor)
    return (operands.o.array() + operands.state.array() + operands.z.array()).map(\.bitPattern)
  }

  @Test(arguments: RecurrenceKernelTests.kernels)
  func sameBitsForAnyWorkersAndParts(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let problem = Problem.recurrence(
      kernel.op, batch: 2, tokens: 19, heads: 4, keyHeads: 2, headDim: 70, stateRows: 24)
    let whole = Schedule(kernel: kernel.name, knobs: [.chunk: 4])
    let serial = try results(problem, whole, on: SerialExecutor())
    #expect(!serial.allSatisfy { $0 == 0 })
    let pool = try ThreadPool(cpus: [Self.host.cpuset[0], Self.host.cpuset.last!])
    defer { pool.shutdown() }
    for columns in [16, 48, 80] {
      let split = Schedule(kernel: kernel.name, knobs: [.chunk: 4, .nc: columns])
      for executor in [SerialExecutor(), pool, ScramblingExecutor(workers: 4, seed: 2)] as [any Executor] {
        let found = try results(problem, split, on: executor)
        #expect((found == serial) as Bool, "\(kernel.name), nc=\(columns)")
      }
    }
    report(kernel, "\(problem)")
  }

  /// Each head has operands of its own: what one makes is what it makes alone.
  @Test(arguments: Op.recurrences) func headsAndSequencesHaveTheirOwn(_ op: Op) throws {
    let problem = Problem.recurrence(op, batch: 2, tokens: 5, heads: 6, keyHeads: 3, headDim: 9, stateRows: 11)
    for threads in [1, 8] {
      let schedule = try ScheduleSpace.standard(for: problem, threads: threads, machine: Self.host)
      let prepared = try problem.prepare(schedule, machine: Self.host)
      #expect(try prepared.check(on: SerialExecutor()).passed)
      // On the state that the run before left, too.
      #expect(try prepared.check(on: SerialExecutor()).passed)
    }
  }

  @Test(arguments: Op.recurrences) func staysBoundedOnItsOwnState(_ op: Op) throws {
    let problem = Problem.recurrence(op, tokens: 40, heads: 2, headDim: 16)
    let schedule = try ScheduleSpace.standard(for: problem, threads: 1, machine: Self.host)
    let operands = RecurrenceOperands(problem, isas: testedISAs, copies: 1, seed: 1)
    let prepared = try PreparedRecurrence(operands, schedule)
    for _ in 0..<300 { prepared.run(copy: 0, on: SerialExecutor()) }
    #expect(operands.state.array().allSatisfy { abs($0) < 1e6 })
    #expect(try prepared.check(on: SerialExecutor()).passed)
  }

  @Test func refusesWrongKnobsAndKernels() throws {
    let kernel = try KernelTable.named("retention_f32_avx2")
    func code(_ kernel: KernelDescriptor, _ knobs: [Knob: Int], _ isas: Set<ISA> = [.avx2]) -> KernelError.Code? {
      do throws(KernelError) { _ = try RecurrenceOperator(kernel: kernel, knobs: knobs, isas: isas) } catch {
        return error.code
      }
      return nil
    }
    #expect(code(kernel, [:]) == nil)
    #expect(code(kernel, [.chunk: 8, .nc: 16]) == nil)
    #expect(code(kernel, [.chunk: 3]) == .badKnob)
    #expect(code(kernel, [.nc: 12]) == .badKnob)
    #expect(code(kernel, [.nc: 0]) == .badKnob)
    #expect(code(kernel, [.mc: 8]) == .badKnob)
    #expect(code(kernel, [:], [.scalar]) == .missingISA)
    #expect(code(try KernelTable.named("attention_f32f32_scalar_4x4"), [:], [.scalar]) == .unsupported)
  }

  @Test func problemsAreReadAndWritten() throws {
    let problem = try Problem(text: "mamba2 tokens=512 heads=24 head-dim=64 state=128 state=cold")
    #expect(problem == .recurrence(.mamba2, tokens: 512, heads: 24, keyHeads: 1, headDim: 64, stateRows: 128, state: .cold))
    let again = try Problem(text: problem.description)
    #expect(again == problem)
    let plain = try Problem(text: "gated-delta-net tokens=1 heads=16 head-dim=128")
    #expect(plain.shape[.state] == 128 && plain.shape[.kvHeads] == 16 && plain.shape[.batch] == 1)
    // 6·dk·dv for each token and head; the state moves twice.
    #expect(plain.operations == 1_572_864)
    #expect(plain.bytes == 2_130_048)
    #expect(throws: ProblemTextError.self) { try Problem(text: "gla tokens=1 heads=3 kv-heads=2 head-dim=8") }
    #expect(throws: ProblemTextError.self) { try Problem(text: "gla tokens=1 heads=3") }
    #expect(throws: ProblemTextError.self) { try Problem(text: "gla tokens=1 heads=3 head-dim=4 state=warmish") }
  }
}
