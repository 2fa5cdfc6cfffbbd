import Foundation
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// What PyTorch makes of the published definitions in f64, written by scripts/fixtures/recurrences.py.
@Suite struct RecurrenceFixtureTests {
  private struct Fixture: Decodable {
    var op: Op
    var tokens, dk, dv: Int
    var log_decay, skip, scale, epsilon: Float
    var operands: [String: [Float]]
    var expected: [String: [Double]]

    func oracle() throws -> RecurrenceOracle {
      var oracle = RecurrenceOracle(op, tokens: tokens, dk: dk, dv: dv, seed: 1)
      func operand(_ name: String) throws -> [Float] { try #require(operands[name], "\(op) has no \(name)") }
      oracle.q = try operand("q")
      oracle.k = try operand("k")
      oracle.v = try operand("v")
      oracle.a = try operand("a")
      oracle.b = try operand("b")
      oracle.decay = try operand("decay")
      oracle.rate = try operand("rate")
      oracle.bonus = try operand("bonus")
      oracle.state = try operand("state")
      oracle.z = try operand("z")
      (oracle.logDecay, oracle.skip, oracle.scale, oracle.epsilon) = (log_decay, skip, scale, epsilon)
      return oracle
    }
  }

  private static func fixtures() throws -> [Fixture] {
    let url = try #require(Bundle.module.url(forResource: "recurrences", withExtension: "json", subdirectory: "Fixtures"))
    return try JSONDecoder().decode([Fixture].self, from: Data(contentsOf: url))
  }

  @Test func everyRuleHasOne() throws {
    let rules = try Self.fixtures().map(\.op)
    #expect(rules == Op.recurrences)
  }

  @Test func oracleAgrees() throws {
    for fixture in try Self.fixtures() {
      let result = try fixture.oracle().result()
      var parts = [("o", result.o), ("state", result.state)]
      if fixture.op == .linearAttention { parts.append(("z", result.z)) }
      for (name, found) in parts {
        let expected = try #require(fixture.expected[name])
        try #require(found.count == expected.count)
        for (one, other) in zip(found, expected) {
          #expect(abs(one - other) <= 1e-12 * max(1, abs(other)), "\(fixture.op), \(name)")
        }
      }
    }
  }

  @Test(arguments: RecurrenceKernelTests.kernels) func kernelsAgree(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let caller = RecurrenceCaller(kernel)
    let fixture = try #require(try Self.fixtures().first { $0.op == kernel.op })
    let oracle = try fixture.oracle()
    // The oracle's sizes, the fixture's values.
    var expected = oracle.result()
    expected.o = try #require(fixture.expected["o"])
    expected.state = try #require(fixture.expected["state"])
    for chunk in RecurrenceKernelTests.chunks {
      let (output, wrong) = caller.run(oracle, chunk: chunk)
      let made = try #require(output, "\(wrong!)")
      let mismatch = RecurrenceCaller.mismatch(made, expected, of: kernel.op)
      #expect(mismatch == nil, "\(kernel.name), chunk=\(chunk): \(mismatch!)")
    }
  }
}
