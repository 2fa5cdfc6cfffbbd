import CWallclockInstructionModel
import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockMachine
import WallclockTestSupport

/// The ISAs of this host.
let hostISAs = Set(Machine.host.fingerprint.isa)

/// ISAs that this host lacks and whose instructions are executed in software.
let modelledISAs: Set<ISA> = {
  FaultReport.install()
  return wc_model_instructions() == 0 ? [] : Set([.avx512bf16, .amxint8, .amxbf16]).subtracting(hostISAs)
}()

/// This host, with what is modelled: what tests may run.
let testedMachine = {
  var machine = Machine.host.fingerprint
  machine.isa += modelledISAs.sorted()
  return machine
}()
let testedISAs = Set(testedMachine.isa)

/// Says that `kernel` is not run, and why, and ends the test case as cancelled.
func requireRunnable(_ kernel: KernelDescriptor) throws {
  FaultReport.running(kernel.name)
  if kernel.runs(on: testedISAs) { return }
  let reason = "\(kernel.name): not run: this CPU lacks \(kernel.isa.rawValue)"
  print(reason)
  try Test.cancel("\(reason)")
}

/// Ends the sentence every kernel test prints.
func report(_ kernel: KernelDescriptor, _ done: String) {
  print("\(kernel.name): \(done)\(kernel.runs(on: modelledISAs) ? ", its instructions modelled" : "")")
}

extension KernelDescriptor {
  /// What a K block must be a multiple of, unless it is the last of an ungrouped type.
  var blockStep: Int { b?.groupSize ?? kr }

  /// K values at which something changes: nothing, one, the edges of kr and of unrolled loops; whole
  /// groups for grouped types.
  var edgeDepths: [Int] {
    if let group = b?.groupSize { return [0, group, 2 * group, 3 * group, 5 * group] }
    return Set([0, 1, kr - 1, kr, kr + 1, 2 * kr + 1, 7, 31, 64, 129, 258]).filter { $0 >= 0 }.sorted()
  }

  var edgeRows: [Int] { Set([0, 1, 2, mr - 1, mr, mr + 1, 2 * mr + 1]).filter { $0 >= 0 }.sorted() }
  var edgeColumns: [Int] { Set([1, nr - 1, nr, nr + 1, 2 * nr, 2 * nr + 3]).sorted() }

  /// Ways to cut K into calls.
  func splits(of k: Int) -> [[Int]] {
    guard accumulates, k > blockStep else { return [[k]] }
    let step = blockStep
    var result = [[k], [step, k - step], [(k - 1) / step * step, k - (k - 1) / step * step]]
    if k > 2 * step { result.append([step, step, k - 2 * step]) }
    return result
  }
}

extension Epilogue {
  /// Some of `all`, others for each turn: in a few turns every part has met every other.
  static func some(of all: [Epilogue], turn: Int, count: Int = 6) -> [Epilogue] {
    (0..<count).map { all[(turn * 7 + $0 * 13) % all.count] }
  }
}
