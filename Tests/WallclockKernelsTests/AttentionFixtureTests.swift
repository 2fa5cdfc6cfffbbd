import Foundation
import Testing
import WallclockCore
@testable import WallclockKernels
import WallclockTestSupport

/// What PyTorch computes in float64 (`scripts/fixtures/attention.py`).
private struct AttentionFixture: Decodable, Sendable, CustomTestStringConvertible {
  var mask: String
  var tokens, keys, heads, kvHeads, headDim: Int
  var q, k, v, o: Data
  var testDescription: String { "\(mask), \(tokens) of \(keys), \(heads)/\(kvHeads) heads of \(headDim)" }

  static let all: [AttentionFixture] = {
    struct File: Decodable { var cases: [AttentionFixture] }
    let url = Bundle.module.url(forResource: "attention", withExtension: "json", subdirectory: "Fixtures")!
    return try! JSONDecoder().decode(File.self, from: Data(contentsOf: url)).cases
  }()

  static func values<T: BitwiseCopyable>(_ data: Data, of type: T.Type) -> [T] {
    unsafe data.withUnsafeBytes { unsafe Array($0.bindMemory(to: T.self)) }
  }
}

@Suite struct AttentionFixtureTests {
  @Test(arguments: AttentionFixture.all)
  private func f32KernelsAgreeWithPyTorch(_ fixture: AttentionFixture) throws {
    let mask = try #require(Mask(rawValue: fixture.mask))
    let (width, kvWidth) = (fixture.heads * fixture.headDim, fixture.kvHeads * fixture.headDim)
    let q = AlignedBuffer(AttentionFixture.values(fixture.q, of: Float.self))
    let k = AlignedBuffer(AttentionFixture.values(fixture.k, of: Float.self))
    let v = AlignedBuffer(AttentionFixture.values(fixture.v, of: Float.self))
    let expected = AttentionFixture.values(fixture.o, of: Double.self)
    try #require(q.count == fixture.tokens * width && expected.count == q.count && k.count == fixture.keys * kvWidth)
    let norm = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for kernel in KernelTable.rows(.attention, isas: testedISAs) where kernel.serves(.f32) {
      let cache = KVCache(
        kernel: kernel, sequences: 1, kvHeads: fixture.kvHeads, headDim: fixture.headDim, capacity: fixture.keys)
      try unsafe cache.append(
        to: 0, count: fixture.keys, k: k.unsafePointer, v: v.unsafePointer, stride: kvWidth, on: SerialExecutor())
      for split in [0, 16] {
        let attention = try AttentionOperator(kernel: kernel, knobs: [.split: split], isas: testedISAs)
        let o = AlignedBuffer<Float>(count: q.count)
        unsafe attention.run(
          starts: [0, fixture.tokens].span, cache: cache, heads: fixture.heads, q: q.unsafePointer, ldq: width,
          o: o.unsafePointer, ldo: width, scale: 1 / Float(fixture.headDim).squareRoot(), mask: mask,
          workspace: AttentionWorkspace(), on: SerialExecutor())
        let error = zip(o.array(), expected).reduce(0) { $0 + pow(Double($1.0) - $1.1, 2) }.squareRoot()
        #expect(error <= Tolerance.attention(norm: norm, magnitude: 0), "\(kernel.name), split \(split)")
      }
    }
  }
}
