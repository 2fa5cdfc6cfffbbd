import Foundation
import Testing
import WallclockCore
@testable import WallclockKernels
import WallclockTestSupport

/// Attention over a cache: sequences of different lengths, split among workers.
@Suite struct CachedAttentionTests {
  private static func random(_ count: Int, seed: UInt64) -> [Float] {
    var random = TestRandom(seed: seed)
    return (0..<count).map { _ in Float(random.normal()) }
  }

  /// Queries and keys of four sequences, one of them without queries and one without keys.
  private static let starts = [0, 1, 1, 9, 10]
  private static let lengths = [70, 3, 200, 0]
  private static let (heads, kvHeads, headDim) = (6, 2, 40)

  private static func cache(_ kernel: KernelDescriptor, on executor: any Executor) throws -> KVCache {
    let cache = KVCache(kernel: kernel, sequences: 4, kvHeads: kvHeads, headDim: headDim, capacity: 210)
    let width = kvHeads * headDim
    for s in 0..<4 {
      let kv = AlignedBuffer(random(lengths[s] * 2 * width, seed: UInt64(s)))
      let half = lengths[s] / 3
      for (first, count) in [(0, half), (half, lengths[s] - half)] {
        let k = unsafe UnsafePointer(kv.unsafePointer) + first * 2 * width
        try unsafe cache.append(to: s, count: count, k: k, v: k + width, stride: 2 * width, on: executor)
      }
    }
    return cache
  }

  @Test(arguments: AttentionKernelTests.kernels)
  func sequencesOfDifferentLengthsSplitAsOne(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let width = Self.heads * Self.headDim
    let q = AlignedBuffer(Self.random(Self.starts.last! * width, seed: 9))
    for mask in Mask.kinds {
      var results: [[Float]] = []
      for (executor, split) in [(SerialExecutor() as any Executor, 0), (SerialExecutor(), 64), (ManyWorkers(), 64)] {
        let attention = try AttentionOperator(kernel: kernel, knobs: [.bq: 8, .bk: 32, .split: split], isas: testedISAs)
        let cache = try Self.cache(kernel, on: executor)
        let o = AlignedBuffer([Float](repeating: .nan, count: Self.starts.last! * width))
        unsafe attention.run(
          starts: Self.starts.span, cache: cache, heads: Self.heads, q: q.unsafePointer, ldq: width,
          o: o.unsafePointer, ldo: width, scale: 1 / Float(Self.headDim).squareRoot(), mask: mask,
          workspace: AttentionWorkspace(), on: executor)
        results.append(o.array())
      }
      #expect((results[1] == results[2]) as Bool, "\(kernel.name), \(mask.rawValue): bits depend on the workers")
      for s in 0..<4 {
        try compare(results, sequence: s, kernel, mask)
      }
    }
  }

  private func compare(_ results: [[Float]], sequence s: Int, _ kernel: KernelDescriptor, _ mask: Mask) throws {
    let (d, width, kvWidth) = (Self.headDim, Self.heads * Self.headDim, Self.kvHeads * Self.headDim)
    let queries = Self.starts[s + 1] - Self.starts[s]
    let kv = Self.random(Self.lengths[s] * 2 * kvWidth, seed: UInt64(s))
    let q = Self.random(Self.starts.last! * width, seed: 9)
    let slopes = Mask.alibiSlopes(heads: Self.heads)
    let group = Self.heads / Self.kvHeads
    for kvHead in 0..<Self.kvHeads {
      func rows(_ first: Int) -> [Float] {
        (0..<Self.lengths[s]).flatMap { kv[($0 * 2 * kvWidth + first + kvHead * d)...].prefix(d) }
      }
      let oracle = AttentionOracle(
        q: (0..<queries).flatMap { q[((Self.starts[s] + $0) * width + kvHead * group * d)...].prefix(group * d) },
        k: rows(0), v: rows(kvWidth), d: d, group: group)
      let seen = AttentionOracle(oracle, roundedTo: kernel.a!, cache: kernel.b!)
      for i in 0..<queries {
        for h in 0..<group {
          let own = Array(slopes[(kvHead * group)...].prefix(group))
          let expected = seen.output(i, head: h, mask: mask, slopes: own)
          let norm = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
          let magnitude = seen.magnitude(i, head: h, mask: mask, slopes: own).reduce(0) { $0 + $1 * $1 }.squareRoot()
          for found in results {
            let at = (Self.starts[s] + i) * width + (kvHead * group + h) * d
            let error = zip(found[at..<at + d], expected).reduce(0) { $0 + pow(Double($1.0) - $1.1, 2) }.squareRoot()
            #expect(
              error <= Tolerance.attention(norm: norm, magnitude: magnitude, narrow: kernel.a == .bf16),
              "\(kernel.name), \(mask.rawValue): sequence \(s), query \(i), head \(kvHead * group + h)")
          }
        }
      }
    }
  }

  @Test func aFullCacheTakesNoMore() throws {
    let kernel = try KernelTable.named("attention_f32f32_scalar_4x4")
    let cache = KVCache(kernel: kernel, sequences: 1, kvHeads: 1, headDim: 4, capacity: 3)
    let rows = AlignedBuffer<Float>(count: 32)
    func append(_ count: Int, to sequence: Int = 0) throws {
      try unsafe cache.append(
        to: sequence, count: count, k: rows.unsafePointer, v: rows.unsafePointer, stride: 4, on: SerialExecutor())
    }
    try append(2)
    #expect(throws: KernelError.self) { try append(2) }
    #expect(throws: KernelError.self) { try append(1, to: 1) }
    #expect(cache.lengths == [2])
    try append(1)
    #expect(cache.lengths == [3])
  }
}

/// Five workers that take tasks one by one, the last first.
private final class ManyWorkers: Executor {
  var workerCount: Int { 5 }
  func forEachRange(of count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    for i in (0..<count).reversed() { body(i..<i + 1, i % 5) }
  }
}
