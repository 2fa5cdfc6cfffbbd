import WallclockCore
import WallclockFormats
import WallclockKernels
import WallclockModels

/// Runs a BERT encoder as an Assignment says: token ids in, one vector per sequence out.
///
/// Weights are quantised and packed once, here. Sequences of different lengths are laid end to end
/// without padding, so a batch costs its tokens and no more. An encoder serves one call at a time.
public final class BERTEncoder {
  public let configuration: BERTConfiguration
  public let pipeline: SentencePipeline
  private let machine: Fingerprint
  private let executor: any Executor

  private struct Layer {
    let qkv: GemmOperator
    let output: GemmOperator
    let up: GemmOperator
    let down: GemmOperator
    let attentionNorm: LayerNorm
    let ffnNorm: LayerNorm
  }

  private final class LayerNorm {
    let values: BERTWeights.Norm
    init(_ values: consuming BERTWeights.Norm) { self.values = values }
  }

  private let layers: [Layer]
  private let attention: AttentionOperator
  private let embed: RowwiseOperator
  private let norms: [BERTNormRole: RowwiseOperator]
  private let pooling: RowwiseOperator
  private let embeddingsNorm: LayerNorm
  private let words: AlignedBuffer<Float>
  private let positions: AlignedBuffer<Float>
  private let tokenTypes: AlignedBuffer<Float>

  private let gemmWorkspace = GemmWorkspace()
  private let attentionWorkspace = AttentionWorkspace()
  private var activations = Activations(rows: 0, hidden: 0, intermediate: 0, sequences: 0)

  /// Buffers of one forward pass; they grow and are kept.
  private final class Activations {
    let rows: Int
    let sequences: Int
    let x: AlignedBuffer<Float>
    let qkv: AlignedBuffer<Float>
    let context: AlignedBuffer<Float>
    let intermediate: AlignedBuffer<Float>
    let pooled: AlignedBuffer<Float>
    let wordIDs: AlignedBuffer<Int32>
    let positionIDs: AlignedBuffer<Int32>
    let typeIDs: AlignedBuffer<Int32>

    init(rows: Int, hidden: Int, intermediate: Int, sequences: Int) {
      self.rows = rows
      self.sequences = sequences
      x = AlignedBuffer(count: rows * hidden)
      qkv = AlignedBuffer(count: rows * 3 * hidden)
      context = AlignedBuffer(count: rows * hidden)
      self.intermediate = AlignedBuffer(count: rows * intermediate)
      pooled = AlignedBuffer(count: sequences * hidden)
      wordIDs = AlignedBuffer(count: rows)
      positionIDs = AlignedBuffer(count: rows)
      typeIDs = AlignedBuffer(count: rows)
    }
  }

  /// Bytes of packed weights that a pass reads.
  public let packedWeightBytes: Int

  /// Reads, quantises and packs the weights.
  ///
  /// - Parameter executor: runs every pass; its worker count should be the Assignment's.
  /// - Throws: `FormatError`, `KernelError` or `RuntimeError`.
  public init(
    parameters: ParameterSource, pipeline: SentencePipeline, assignment: Assignment,
    machine: Fingerprint, executor: any Executor
  ) throws {
    let configuration = parameters.configuration
    self.configuration = configuration
    self.pipeline = pipeline
    self.machine = machine
    self.executor = executor
    let isas = Set(machine.isa)
    var bytes = 0

    func gemm(_ layer: Int, _ role: BERTLinearRole) throws -> GemmOperator {
      let choice = try assignment.choice(for: role.rawValue)
      let kernel = try KernelTable.named(choice.schedule.kernel)
      let (n, k) = role.shape(configuration)
      let source = try parameters.linear(layer: layer, role: role)
      let quantized = try QuantizedWeights(source.weight, n: n, k: k, format: choice.format)
      let packed = try PackedWeights(quantized, for: kernel)
      bytes += packed.bytes
      return try GemmOperator(
        kernel: kernel, knobs: choice.schedule.knobs, weights: packed, bias: AlignedBuffer(source.bias.array()),
        epilogue: role.epilogue, isas: isas)
    }
    func norm(_ role: BERTNormRole, _ layer: Int) throws -> LayerNorm {
      LayerNorm(try parameters.norm(role, layer: layer))
    }
    func rowwise(_ node: String, _ op: Op) throws -> RowwiseOperator {
      let schedule = try assignment.choice(for: node).schedule
      return try RowwiseOperator(
        op, kernel: KernelTable.named(schedule.kernel), knobs: schedule.knobs, isas: isas)
    }

    layers = try (0..<configuration.layers).map { layer in
      try Layer(
        qkv: gemm(layer, .attentionQKV), output: gemm(layer, .attentionOutput),
        up: gemm(layer, .ffnUp), down: gemm(layer, .ffnDown),
        attentionNorm: norm(.attention, layer), ffnNorm: norm(.ffn, layer))
    }
    let scores = try assignment.choice(for: "attention.scores")
    attention = try AttentionOperator(
      kernel: KernelTable.named(scores.schedule.kernel), knobs: scores.schedule.knobs, isas: isas)
    embed = try rowwise("embeddings", .embedding)
    norms = try Dictionary(
      uniqueKeysWithValues: BERTNormRole.allCases.map { ($0, try rowwise($0.rawValue, .layerNorm)) })
    pooling = try rowwise("pool", .meanPool)
    embeddingsNorm = try norm(.embeddings, 0)
    words = try parameters.embedding(.word)
    positions = try parameters.embedding(.position)
    tokenTypes = try parameters.embedding(.tokenType)
    packedWeightBytes = bytes
  }

  /// Runs one batch.
  ///
  /// - Parameters:
  ///   - batch: token ids of each sequence, special tokens included.
  ///   - observe: called after every node with its name and the nanoseconds it took.
  /// - Returns: one vector of `hiddenSize` per sequence, in order, pooled and normalised as the
  ///   model's pipeline says.
  /// - Throws: `RuntimeError.badInput` for an empty or overlong sequence, or an id outside the vocabulary.
  public func encode(
    _ batch: [[Int32]], observe: ((String, UInt64) -> Void)? = nil
  ) throws(RuntimeError) -> [[Float]] {
    let starts = try load(batch)
    forward(starts: starts, observe: observe)
    let h = configuration.hiddenSize
    return batch.indices.map { s in
      unsafe Array(UnsafeBufferPointer(start: activations.pooled.unsafePointer + s * h, count: h))
    }
  }

  /// Checks the ids and lays them out.
  private func load(_ batch: [[Int32]]) throws(RuntimeError) -> [Int] {
    var starts = [0]
    for (index, ids) in batch.enumerated() {
      guard !ids.isEmpty, ids.count <= configuration.maximumPositions else {
        throw RuntimeError(
          .badInput,
          "sequence \(index) has \(ids.count) tokens; the model takes 1 to \(configuration.maximumPositions)")
      }
      if let bad = ids.first(where: { $0 < 0 || Int($0) >= configuration.vocabularySize }) {
        throw RuntimeError(
          .badInput, "sequence \(index) has token id \(bad); the vocabulary has \(configuration.vocabularySize)")
      }
      starts.append(starts[index] + ids.count)
    }
    let rows = starts[batch.count]
    if activations.rows < rows || activations.sequences < batch.count {
      activations = Activations(
        rows: max(rows, activations.rows), hidden: configuration.hiddenSize,
        intermediate: configuration.intermediateSize, sequences: max(batch.count, activations.sequences))
    }
    var row = 0
    for ids in batch {
      for (position, id) in ids.enumerated() {
        unsafe activations.wordIDs.unsafePointer[row] = id
        unsafe activations.positionIDs.unsafePointer[row] = Int32(position)
        row += 1
      }
    }
    return starts
  }

  /// The pass over what `load` laid out.
  private func forward(starts: [Int], observe: ((String, UInt64) -> Void)?) {
    let h = configuration.hiddenSize
    let i = configuration.intermediateSize
    let rows = starts[starts.count - 1]
    let a = activations
    let clock = NodeClock(observe)
    let x = unsafe a.x.unsafePointer
    let qkv = unsafe a.qkv.unsafePointer
    let context = unsafe a.context.unsafePointer
    let intermediate = unsafe a.intermediate.unsafePointer

    unsafe embed.embedding(
      x, rows: rows, columns: h,
      tables: (
        UnsafePointer(words.unsafePointer), UnsafePointer(positions.unsafePointer),
        UnsafePointer(tokenTypes.unsafePointer)
      ),
      ids: (
        UnsafePointer(a.wordIDs.unsafePointer), UnsafePointer(a.positionIDs.unsafePointer),
        UnsafePointer(a.typeIDs.unsafePointer)
      ), on: executor)
    clock.lap("embeddings")
    unsafe normalise(x, rows, embeddingsNorm, .embeddings)
    clock.lap(BERTNormRole.embeddings.rawValue)

    for layer in layers {
      unsafe layer.qkv.run(
        m: rows, a: x, lda: h, c: qkv, ldc: 3 * h, workspace: gemmWorkspace, on: executor)
      clock.lap(BERTLinearRole.attentionQKV.rawValue)
      unsafe starts.withUnsafeBufferPointer { starts in
        unsafe attention.run(
          starts: Span(_unsafeElements: starts), heads: configuration.heads,
          headDim: configuration.headDim, q: qkv, k: qkv + h, v: qkv + 2 * h, stride: 3 * h,
          o: context, ldo: h, scale: 1 / Float(configuration.headDim).squareRoot(), mask: .full,
          workspace: attentionWorkspace, on: executor)
      }
      clock.lap("attention.scores")
      unsafe layer.output.run(
        m: rows, a: context, lda: h, c: x, ldc: h, residual: x, ldr: h, workspace: gemmWorkspace,
        on: executor)
      clock.lap(BERTLinearRole.attentionOutput.rawValue)
      unsafe normalise(x, rows, layer.attentionNorm, .attention)
      clock.lap(BERTNormRole.attention.rawValue)
      unsafe layer.up.run(
        m: rows, a: x, lda: h, c: intermediate, ldc: i, workspace: gemmWorkspace, on: executor)
      clock.lap(BERTLinearRole.ffnUp.rawValue)
      unsafe layer.down.run(
        m: rows, a: intermediate, lda: i, c: x, ldc: h, residual: x, ldr: h,
        workspace: gemmWorkspace, on: executor)
      clock.lap(BERTLinearRole.ffnDown.rawValue)
      unsafe normalise(x, rows, layer.ffnNorm, .ffn)
      clock.lap(BERTNormRole.ffn.rawValue)
    }
    pool(starts: starts, x: a.x, pooled: a.pooled)
    clock.lap("pool")
  }

  private func normalise(
    _ x: UnsafeMutablePointer<Float>, _ rows: Int, _ norm: LayerNorm, _ role: BERTNormRole
  ) {
    unsafe norms[role]?.layerNorm(
      x, rows: rows, columns: configuration.hiddenSize, weight: norm.values.gamma,
      bias: norm.values.beta, epsilon: norm.values.epsilon, on: executor)
  }

  /// Mean over a sequence's rows, or its first row (a sequence of length one), then L2 if asked.
  private func pool(
    starts: [Int], x: borrowing AlignedBuffer<Float>, pooled: borrowing AlignedBuffer<Float>
  ) {
    let h = configuration.hiddenSize
    switch pipeline.pooling {
    case .mean:
      let bounds = starts.map(Int64.init)
      unsafe pooling.meanPool(
        UnsafePointer(x.unsafePointer), starts: bounds.span, columns: h, y: pooled.unsafePointer,
        normalize: pipeline.normalizes, on: executor)
    case .cls:
      for s in 0..<starts.count - 1 {
        let bounds = [Int64(starts[s]), Int64(starts[s]) + 1]
        unsafe pooling.meanPool(
          UnsafePointer(x.unsafePointer), starts: bounds.span, columns: h,
          y: pooled.unsafePointer + s * h, normalize: pipeline.normalizes, on: executor)
      }
    }
  }
}

/// Laps between the nodes of a pass; reads no clock when nobody observes.
private final class NodeClock {
  private let observe: ((String, UInt64) -> Void)?
  private var last: ContinuousClock.Instant?

  init(_ observe: ((String, UInt64) -> Void)?) {
    self.observe = observe
    last = observe == nil ? nil : .now
  }

  func lap(_ name: String) {
    guard let observe, let last else { return }
    let now = ContinuousClock.Instant.now
    observe(name, UInt64(max(0, (now - last) / .nanoseconds(1))))
    self.last = .now
  }
}
