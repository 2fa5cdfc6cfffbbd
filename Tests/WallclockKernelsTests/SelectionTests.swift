import CWallclockKernels
import Testing
import WallclockCore
import WallclockKernels
import WallclockTestSupport

#if canImport(Glibc)
  import Glibc
#endif

/// argmax, top-k and sampling of the table against sorting and f64 sums.
@Suite struct SelectionTests {
  static func kernels(_ ops: Op...) -> [KernelDescriptor] { KernelTable.all.filter { ops.contains($0.op) } }
  private static let widths = [1, 2, 7, 8, 15, 16, 17, 63, 64, 65, 130, 257, 1000, 4099, 20_011]

  /// Rows in which something is hard: ties, zeros of both signs, order, −∞ as of masked tokens, no numbers.
  private static func rows(_ columns: Int, _ random: inout TestRandom) -> [[Float]] {
    var rows: [[Float]] = (0..<2).map { _ in (0..<columns).map { _ in Float(random.normal()) * 3 } }
    rows.append((0..<columns).map { _ in Float(random.integer(-2...2)) })
    rows.append((0..<columns).map { _ in random.integer(0...1) == 0 ? 0 : -0.0 })
    rows.append((0..<columns).map { Float($0) * 0.001 })
    rows.append((0..<columns).map { Float(-$0) * 0.001 })
    rows.append((0..<columns).map { _ in random.integer(0...2) == 0 ? Float(random.normal()) : -.infinity })
    rows.append(Array(repeating: -.infinity, count: columns))
    rows.append((0..<columns).map { $0 == columns - 1 ? 9 : Float(random.normal()) })
    for special in [Float.nan, .infinity] {
      var row = (0..<columns).map { _ in random.signed() }
      row[random.integer(0...columns - 1)] = special
      rows.append(row)
      row = Array(repeating: -.infinity, count: columns)
      row[columns - 1] = special
      rows.append(row)
    }
    return rows
  }

  @Test(arguments: kernels(.argmax, .topK)) func findsTheGreatest(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    var random = TestRandom(seed: 21)
    for columns in Self.widths {
      let rows = Self.rows(columns, &random)
      let orders = rows.map { DecoderRowOracle.topK($0, min(256, columns)) }
      for k in kernel.op == .argmax ? [1] : Set([1, 2, 50, 255, 256].map { min($0, columns) }).sorted() {
        let caller = DecoderRowCaller(kernel, rows, gap: k % 3)
        let (found, values, wrong) = caller.select(k)
        try #require(wrong == nil, "\(kernel.name), \(k) of \(columns): \(wrong!)")
        let reference = caller.reference(rows.count * k)
        for i in rows.indices {
          let expected = Array(orders[i].prefix(k))
          try #require(found[i] == expected, "\(kernel.name), \(k) of \(columns), row \(i)")
          #expect(Array(reference[i * k..<(i + 1) * k]) == expected.map(Double.init), "the library's reference")
          for (value, index) in zip(values.isEmpty ? [] : values[i], expected) {
            #expect(index < 0 ? value.isNaN : value.bitPattern == rows[i][Int(index)].bitPattern)
          }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths")
  }

  @Test(arguments: kernels(.topK, .sampling, .argmax)) func badArgumentsAreRefused(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    for k in [0, 11, 257] where kernel.op == .topK {
      #expect(DecoderRowCaller(kernel, [Array(repeating: 1, count: k == 257 ? 300 : 10)]).select(k).wrong != nil, "k = \(k)")
    }
    for (temperature, topP, uniform, k) in [
      (-1, 1, 0, 0), (.nan, 1, 0, 0), (1, 0, 0, 0), (1, 1.5, 0, 0), (1, 1, 1, 0), (1, 1, -0.5, 0), (1, 1, .nan, 0), (1, 1, 0, 257),
    ] as [(Float, Float, Double, Int)] where kernel.op == .sampling {
      let caller = DecoderRowCaller(kernel, [[1, 2, 3]])
      caller.set([uniform], temperature: temperature, topK: k, topP: topP)
      #expect(caller.select(1).wrong != nil, "\(temperature) \(topP) \(uniform) \(k)")
    }
    #expect(DecoderRowCaller(kernel, [[]]).select(1).wrong != nil)
  }

  @Test(arguments: kernels(.sampling)) func draws(_ kernel: KernelDescriptor) throws {
    try requireRunnable(kernel)
    let scalar = KernelTable.all.first { $0.op == .sampling && $0.isa == .scalar }!
    var random = TestRandom(seed: 22)
    for columns in Self.widths {
      let rows = Self.rows(columns, &random)
      for (turn, (temperature, topK, topP)) in ([
        (1, nil, 1), (0.7, nil, 0.95), (5, nil, 0.95), (1, 50, 1), (0.7, 50, 0.9), (2, 3, 0.5), (0, nil, 1), (0, 5, 0.9), (1, 256, 0.999),
      ] as [(Float, Int?, Float)]).enumerated() {
        let uniform = rows.indices.map { i in
          i == 0 && turn % 2 == 0 ? 0 : i == 1 && turn % 2 == 0 ? 1 - 0x1p-53 : Double(random.next() >> 11) * 0x1p-53
        }
        func draw(_ kernel: KernelDescriptor) throws -> (found: [[Int32]], shares: [Double]) {
          let caller = DecoderRowCaller(kernel, rows, gap: 0)
          caller.set(uniform, temperature: temperature, topK: topK ?? 0, topP: topP)
          let (found, _, wrong) = caller.select(1)
          try #require(wrong == nil, "\(kernel.name), \(columns) columns: \(wrong!)")
          return (found, caller.reference(2 * rows.count))
        }
        let (found, shares) = try draw(kernel)
        #expect(try found == draw(scalar).found, "\(kernel.name): the scalar kernel draws others")
        for i in rows.indices {
          let token = Int(found[i][0])
          let greatest = rows[i].max() ?? 0
          guard !rows[i].contains(where: \.isNaN), greatest.isFinite else {
            try #require(token == -1, "\(kernel.name), row \(i): \(token)")
            #expect(shares[2 * i] == -1 && shares[2 * i + 1] == -1)
            continue
          }
          let share = DecoderRowOracle.share(of: token, rows[i], temperature: temperature, topK: topK, topP: topP)
          let allowed = share.map { TokenSampling.admits(uniform[i], before: $0.before, with: $0.with) } ?? false
          try #require(allowed, "\(kernel.name), \(columns) columns, row \(i), turn \(turn): \(token) for \(uniform[i]), share \(String(describing: share))")
          #expect(TokenSampling.admits(uniform[i], before: shares[2 * i], with: shares[2 * i + 1]), "the library's reference")
          if let share { #expect(abs(shares[2 * i] - share.before) < 1e-5 && abs(shares[2 * i + 1] - share.with) < 1e-5) }
        }
      }
    }
    report(kernel, "\(Self.widths.count) widths")
  }

  /// Over many numbers each token comes as often as its weight says.
  @Test func drawsByWeight() throws {
    let kernel = try #require(KernelTable.all.last { $0.op == .sampling && $0.runs(on: hostISAs) })
    let rows = try RowwiseOperator(.sampling, kernel: kernel, knobs: [.rows: 3], isas: hostISAs)
    let logits: [Float] = [1, -2, 0.5, 1, -.infinity, 2]
    let count = 3000
    let all = (0..<count).flatMap { _ in logits }
    let uniform = (0..<count).map { (Double($0) + 0.5) / Double(count) }
    let tokens = try rows.sample(
      all.span, vocabulary: 6, sampling: TokenSampling(topK: 4), uniform: uniform.span, on: ScramblingExecutor(workers: 2, seed: 1))
    let kept = [0, 2, 3, 5].map { exp(Double(logits[$0])) }
    let sum = kept.reduce(0, +)
    for (token, weight) in zip([0, 2, 3, 5], kept) {
      let times = tokens.count { Int($0) == token }
      #expect(abs(Double(times) - weight / sum * Double(count)) <= 2, "token \(token) came \(times) times")
    }
    #expect(tokens == tokens.sorted(), "draws go by the order of indices")
  }

  @Test func hostileCallsAreRefused() throws {
    let kernel = try KernelTable.named("sampling_f32_scalar")
    let rows = try RowwiseOperator(.sampling, kernel: kernel, knobs: [:], isas: hostISAs)
    func code(_ body: () throws(KernelError) -> Void) -> KernelError.Code? {
      do { try body() } catch { return error.code }
      return nil
    }
    let logits: [Float] = [1, 2, 3, 4]
    for (vocabulary, uniform) in [(4, [0.5]), (2, [0.5]), (0, [0.5]), (4, [1.0]), (4, [.nan]), (4, [])] as [(Int, [Double])] {
      let found = code { () throws(KernelError) in
        _ = try rows.sample(logits.span, vocabulary: vocabulary, sampling: TokenSampling(), uniform: uniform.span, on: SerialExecutor())
      }
      #expect(found == (vocabulary == 4 && uniform == [0.5] ? nil : .shapeMismatch))
    }
    for (temperature, topK, topP) in [(-1, 1, 1), (.nan, 1, 1), (1, 0, 1), (1, 257, 1), (1, 1, 0), (1, 1, 2)] as [(Float, Int, Float)] {
      #expect(code { () throws(KernelError) in _ = try TokenSampling(temperature: temperature, topK: topK, topP: topP) } == .shapeMismatch)
    }
    let other = try RowwiseOperator(.argmax, kernel: KernelTable.named("argmax_f32_scalar"), knobs: [:], isas: hostISAs)
    #expect(code { () throws(KernelError) in
      _ = try other.sample(logits.span, vocabulary: 4, sampling: TokenSampling(), uniform: [0.5].span, on: SerialExecutor())
    } == .unsupported)
  }
}

extension DecoderRowCaller {
  func set(_ uniform: [Double], temperature: Float, topK: Int, topP: Float) {
    unsafe args.uniform = UnsafePointer(place([uniform]))
    unsafe args.temperature = temperature
    unsafe args.k = topK
    unsafe args.top_p = topP
  }
}
