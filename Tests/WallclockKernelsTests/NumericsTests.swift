import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// A row of a GEMM has the same bits in every Schedule of one numerics class, alone or among others.
@Suite struct NumericsTests {
  static let classes: [NumericsClass] = {
    var seen: Set<NumericsClass> = []
    return KernelTable.all.compactMap(\.numerics).filter { seen.insert($0).inserted }
  }()

  private static func random(_ count: Int, seed: UInt64) -> AlignedBuffer<Float> {
    var random = TestRandom(seed: seed)
    return AlignedBuffer((0..<count).map { _ in Float(random.normal()) })
  }

  @Test(arguments: classes, [1, 384]) func rowsDoNotDependOnM(_ numerics: NumericsClass, groups: Int) throws {
    let kernels = KernelTable.all.filter { $0.numerics == numerics && $0.runs(on: testedISAs) }
    guard let first = kernels.first else { return print("\(numerics): not run: no kernel of it runs here") }
    // Deep enough for several K blocks of any group; odd where types have none.
    let k = first.b!.groupSize == nil ? groups + 1 : 384
    let rows = 3 * kernels.map(\.mr).max()! + 1
    let n = 101
    let format = try #require(Format.all.first { first.serves($0) })
    let quantized = try QuantizedWeights(Self.random(n * k, seed: 1), n: n, k: k, format: format)
    let a = Self.random(rows * k, seed: 2)
    let residual = Self.random(rows * n, seed: 3)
    let ends: Epilogue = [.bias, .gelu, .residual]
    let workspace = GemmWorkspace()

    // Rows `begin` ..< `begin + m`, computed by themselves.
    func bits(_ kernel: KernelDescriptor, _ knobs: [Knob: Int], begin: Int, m: Int) throws -> [UInt32] {
      let gemm = try GemmOperator(
        kernel: kernel, knobs: knobs, weights: PackedWeights(quantized, for: kernel), bias: Self.random(n, seed: 4),
        epilogue: ends, isas: testedISAs)
      let c = AlignedBuffer<Float>(count: m * n)
      unsafe gemm.run(
        m: m, a: a.unsafePointer + begin * k, lda: k, c: c.unsafePointer, ldc: n,
        residual: residual.unsafePointer + begin * n, ldr: n, workspace: workspace, on: SerialExecutor())
      return c.array().map(\.bitPattern)
    }

    let expected = try bits(first, [:], begin: 0, m: rows)
    #expect(Set(expected).count > rows)
    var compared = 0
    for kernel in kernels {
      let step = kernel.blockStep * max(1, 128 / kernel.blockStep)
      let split: [Knob: Int] = [.mc: kernel.mr + 1, .nc: kernel.nr, .kc: step, .prefetch: 512]
      for knobs in [[:], split] {
        for m in Set([1, 2, kernel.mr - 1, kernel.mr, kernel.mr + 1, rows]) where m > 0 {
          for begin in Set([0, 1, rows - m]) where begin + m <= rows {
            let found = try bits(kernel, knobs, begin: begin, m: m)
            let agrees = found == Array(expected[begin * n..<(begin + m) * n])
            try #require(
              agrees,
              "\(kernel.name) \(knobs), rows \(begin) to \(begin + m): other bits than \(first.name) gave them among \(rows)")
            compared += m
          }
        }
      }
    }
    print("\(numerics): \(kernels.count) kernels, \(compared) rows")
  }
}
