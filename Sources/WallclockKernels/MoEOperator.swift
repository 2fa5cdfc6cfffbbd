import CWallclockKernels
import WallclockCore

/// Memory of mixtures of experts beside their operands; one serves any operators that run one at a time.
package final class MoEWorkspace {
  fileprivate let inputs = GemmWorkspace()
  fileprivate let hidden = GemmWorkspace()
  /// rows×hidden: what the gated products left.
  package fileprivate(set) var h = AlignedBuffer<Float>(count: 0)
  /// rows×channels: each row's part of its token's output, before its weight.
  package fileprivate(set) var parts = AlignedBuffer<Float>(count: 0)
  fileprivate var perWorker = AlignedBuffer<UInt8>(count: 0)

  package init() {}

  fileprivate func reserve(h a: Int, parts b: Int, perWorker c: Int) {
    if h.count < a { h = AlignedBuffer(count: a) }
    if parts.count < b { parts = AlignedBuffer(count: b) }
    if perWorker.count < c { perWorker = AlignedBuffer(count: c) }
  }
}

/// A mixture of gated experts: for each token, Y = Σ p·((act(X·Wg) ⊙ (X·Wu))·Wd) over the experts it chose, summed in
/// the order of its choices.
///
/// Tokens are narrowed once, whatever the number of their experts; rows of one expert are gathered a strip at a
/// time. The bits do not depend on the number of threads.
public final class MoEOperator: Sendable {
  /// One expert's weights: gates and ups as `2·hidden × channels`, and `channels × hidden`.
  package let gateUp: [GemmOperator]
  package let down: [GemmOperator]
  public let channels: Int
  public let hidden: Int

  /// - Parameters:
  ///   - gateUp: of each expert, `2·hidden × channels`, packed for a gated epilogue.
  ///   - down: of each expert, `channels × hidden`.
  ///   - activation: of the gate.
  /// - Throws: `KernelError` for what `GemmOperator` refuses, and for experts of different sizes.
  public init(
    kernel: KernelDescriptor, knobs: [Knob: Int], gateUp: [PackedWeights], down: [PackedWeights],
    activation: Epilogue, isas: Set<ISA>
  ) throws(KernelError) {
    guard let first = gateUp.first, let last = down.first, gateUp.count == down.count else {
      throw KernelError(
        .shapeMismatch, "\(gateUp.count) gate and up and \(down.count) down matrices; expected as many of each, and one at least")
    }
    channels = first.k
    hidden = last.k
    for (e, (up, down)) in zip(gateUp, down).enumerated() {
      guard up.k == channels, up.n == 2 * hidden, down.k == hidden, down.n == channels else {
        throw KernelError(
          .shapeMismatch,
          "expert \(e) has \(up.n)×\(up.k) and \(down.n)×\(down.k); expected \(2 * hidden)×\(channels) and \(channels)×\(hidden)")
      }
    }
    func operators(_ all: [PackedWeights], _ epilogue: Epilogue) throws(KernelError) -> [GemmOperator] {
      var made: [GemmOperator] = []
      for weights in all {
        made.append(
          try GemmOperator(
            kernel: kernel, knobs: knobs, weights: weights, bias: AlignedBuffer(count: 0), epilogue: epilogue,
            isas: isas))
      }
      return made
    }
    self.gateUp = try operators(gateUp, activation.union(.gated))
    self.down = try operators(down, [])
  }

  /// - Parameters:
  ///   - routing: of as many experts as there are.
  ///   - x: `tokens×channels` f32, row stride `ldx`.
  ///   - y: as many, row stride `ldy`; overwritten; not x.
  package func run(
    _ routing: ExpertRouting, x: UnsafePointer<Float>, ldx: Int, y: UnsafeMutablePointer<Float>, ldy: Int,
    workspace: MoEWorkspace, on executor: any Executor
  ) {
    precondition(routing.experts == gateUp.count, "routing to \(routing.experts) experts, there are \(gateUp.count)")
    guard routing.tokens > 0 else { return }
    let longest = (0..<routing.experts).map { routing.starts[$0 + 1] - routing.starts[$0] }.max() ?? 0
    let strip = StripMemory(gateUp[0], rows: longest)
    let blockBytes = max(strip.bytes, down[0].blockBytes(rows: longest))
    workspace.reserve(
      h: routing.rows * hidden, parts: routing.rows * channels, perWorker: blockBytes * executor.workerCount)
    let memory = unsafe UnsafeMutableRawPointer(workspace.perWorker.unsafePointer)
    let h = unsafe workspace.h.unsafePointer
    let parts = unsafe workspace.parts.unsafePointer

    let tokens = unsafe gateUp[0].activations(
      m: routing.tokens, a: x, lda: ldx, workspace: workspace.inputs, on: executor)
    forEachBlock(of: gateUp, routing, executor) { rows, expert, n0, worker in
      let own = unsafe memory + worker * blockBytes
      var block = unsafe strip.gather(routing.tokenOfRow, rows, of: tokens, to: own)
      unsafe block.c = UnsafeMutableRawPointer(h + rows.lowerBound * hidden + n0 / 2)
      unsafe block.ldc = hidden
      unsafe gateUp[expert].runBlock(&block, n0: n0, memory: own)
    }
    let narrowed = unsafe down[0].activations(
      m: routing.rows, a: h, lda: hidden, workspace: workspace.hidden, on: executor)
    forEachBlock(of: down, routing, executor) { rows, expert, n0, worker in
      var block = unsafe narrowed.rows(from: rows.lowerBound, count: rows.count, elementBytes: down[0].activationBytes)
      unsafe block.c = UnsafeMutableRawPointer(parts + rows.lowerBound * channels + n0)
      unsafe block.ldc = channels
      unsafe down[expert].runBlock(&block, n0: n0, memory: memory + worker * blockBytes)
    }
    executor.forEachRange(of: routing.tokens, grain: 4) { range, _ in
      for token in range {
        let out = unsafe y + token * ldy
        for choice in token * routing.topK..<(token + 1) * routing.topK {
          let part = unsafe parts + routing.rowOfChoice[choice] * channels
          let weight = routing.weights[choice]
          if choice == token * routing.topK {
            for c in 0..<channels { unsafe out[c] = weight * part[c] }
          } else {
            for c in 0..<channels { unsafe out[c] += weight * part[c] }
          }
        }
      }
    }
  }

  /// Calls `body` for each expert's columns, `nc` at a time, and its rows, `mc` at a time; experts with most rows
  /// come first in every worker's share.
  private func forEachBlock(
    of operators: [GemmOperator], _ routing: ExpertRouting, _ executor: any Executor,
    _ body: (_ rows: Range<Int>, _ expert: Int, _ n0: Int, _ worker: Int) -> Void
  ) {
    let blocking = operators[0].blocking
    let n = operators[0].weights.n
    let starts = routing.starts
    let sizes: [Int] = (0..<routing.experts).map { expert in starts[expert + 1] - starts[expert] }
    var experts: [Int] = (0..<routing.experts).filter { expert in sizes[expert] > 0 }
    experts.sort { a, b in sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b }
    let blocks = (n + blocking.nc - 1) / blocking.nc
    let count = experts.count * blocks
    // A worker begins with a contiguous share: deal the tasks out.
    var dealt: [Int] = []
    dealt.reserveCapacity(count)
    for worker in 0..<executor.workerCount {
      for task in stride(from: worker, to: count, by: executor.workerCount) { dealt.append(task) }
    }
    executor.forEachRange(of: count, grain: 1) { range, worker in
      for place in range {
        let expert = experts[dealt[place] / blocks]
        let n0 = dealt[place] % blocks * blocking.nc
        for m0 in stride(from: starts[expert], to: starts[expert + 1], by: blocking.mc) {
          body(m0..<min(m0 + blocking.mc, starts[expert + 1]), expert, n0, worker)
        }
      }
    }
  }
}

/// Where one worker has a strip of rows that do not follow each other: after the memory of the block itself.
private struct StripMemory {
  private let blockBytes: Int
  private let elementBytes: Int
  private let valueBytes: Int
  private let rowBytes: Int
  private let groups: Int
  private let scalesPerRow: Int
  private let capacity: Int

  init(_ gemm: GemmOperator, rows: Int) {
    blockBytes = gemm.blockBytes(rows: rows)
    elementBytes = gemm.activationBytes
    let kr = gemm.kernel.kr
    valueBytes = (gemm.weights.k + kr - 1) / kr * kr * elementBytes
    rowBytes = (valueBytes + 63) / 64 * 64
    groups = gemm.group > 0 ? gemm.weights.k / gemm.group : 0
    scalesPerRow = gemm.kernel.b == .s8g32 ? groups : 1
    capacity = min(rows, gemm.blocking.mc)
  }

  private var scaleBytes: Int { (capacity * scalesPerRow * 4 + 63) / 64 * 64 }
  private var sumBytes: Int { (capacity * groups * 4 + 63) / 64 * 64 }
  var bytes: Int { blockBytes + capacity * rowBytes + 2 * scaleBytes + sumBytes }

  /// The A side of the tokens of `rows`: in place where they follow each other, else copied.
  func gather(
    _ tokenOfRow: [Int], _ rows: Range<Int>, of all: wc_gemm_args, to memory: UnsafeMutableRawPointer
  ) -> wc_gemm_args {
    let first = tokenOfRow[rows.lowerBound]
    if tokenOfRow[rows.upperBound - 1] - first == rows.count - 1 {
      return unsafe all.rows(from: first, count: rows.count, elementBytes: elementBytes)
    }
    let a = unsafe memory + blockBytes
    let scales = unsafe (a + capacity * rowBytes).assumingMemoryBound(to: Float.self)
    let offsets = unsafe (a + capacity * rowBytes + scaleBytes).assumingMemoryBound(to: Float.self)
    let sums = unsafe (a + capacity * rowBytes + 2 * scaleBytes).assumingMemoryBound(to: Int32.self)
    for (place, row) in rows.enumerated() {
      let token = tokenOfRow[row]
      unsafe (a + place * rowBytes).copyMemory(from: all.a! + token * all.lda * elementBytes, byteCount: valueBytes)
      if let from = unsafe all.a_scale {
        unsafe (scales + place * scalesPerRow).update(from: from + token * scalesPerRow, count: scalesPerRow)
      }
      if let from = unsafe all.a_offset { unsafe offsets[place] = from[token] }
      if let from = unsafe all.a_sum {
        unsafe (sums + place * groups).update(from: from + token * all.lda_sum, count: groups)
      }
    }
    var block = unsafe all
    unsafe block.m = rows.count
    unsafe block.a = UnsafeRawPointer(a)
    unsafe block.lda = rowBytes / elementBytes
    if unsafe all.a_scale != nil { unsafe block.a_scale = UnsafePointer(scales) }
    if unsafe all.a_offset != nil { unsafe block.a_offset = UnsafePointer(offsets) }
    if unsafe all.a_sum != nil { unsafe block.a_sum = UnsafePointer(sums) }
    unsafe block.lda_sum = groups
    return unsafe block
  }
}

extension wc_gemm_args {
  /// The A side of `count` of its rows.
  package func rows(from first: Int, count: Int, elementBytes: Int) -> wc_gemm_args {
    var part = unsafe self
    unsafe part.m = count
    unsafe part.a = a.map { unsafe $0 + first * lda * elementBytes }
    unsafe part.a_scale = a_scale.map { unsafe $0 + first * max(1, lda_scale) }
    unsafe part.a_offset = a_offset.map { unsafe $0 + first }
    unsafe part.a_sum = a_sum.map { unsafe $0 + first * lda_sum }
    return unsafe part
  }
}
