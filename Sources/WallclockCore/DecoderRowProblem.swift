/// The row-wise ops of a decoder.
extension Op {
  public var isDecoderRow: Bool {
    switch self {
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .rope, .ropeInterleaved, .argmax, .topK, .sampling: true
    default: false
    }
  }

  /// Whether it turns heads of queries or keys by their positions.
  public var isRope: Bool { self == .rope || self == .ropeInterleaved }
}

extension Problem {
  /// A rotary embedding of a `batch × tokens × heads × headDim` tensor.
  ///
  /// - Parameter rotary: values of each head that are turned, an even number; all of them by default.
  public static func rope(
    _ op: Op = .rope, batch: Int = 1, tokens: Int, heads: Int, headDim: Int, rotary: Int? = nil, state: OperandState = .hot
  ) -> Problem {
    var shape: Shape = [.batch: batch, .tokens: tokens, .heads: heads, .headDim: headDim]
    if let rotary { shape[.rotary] = rotary }
    return Problem(op, shape: shape, state: state)
  }

  /// The `topK` greatest of each row of logits, or a draw among them, or, without, among all.
  public static func selection(_ op: Op, rows: Int, channels: Int, topK: Int? = nil, state: OperandState = .hot) -> Problem {
    var problem = Problem.rowwise(op, rows: rows, channels: channels, state: state)
    if let topK { problem.shape[.topK] = topK }
    return problem
  }

  public var decoderRows: Int { op.isRope ? shape[.batch] * shape[.tokens] : shape[.rows] }
  public var decoderColumns: Int { op.isRope ? shape[.heads] * shape[.headDim] : shape[.channels] }

  /// Values of each head that a rotary embedding turns.
  public var rotary: Int { shape.sizes[.rotary] ?? shape[.headDim] }

  var decoderElements: Double { Double(decoderRows) * Double(decoderColumns) }

  /// As `bytes`: what is read and written, once each; a rotary embedding's angles are read for each token.
  var decoderBytes: Double {
    switch op {
    case .swiglu: 12 * decoderElements
    case .argmax, .topK, .sampling: 4 * decoderElements
    case .rope: 8 * decoderElements + 4 * Double(shape[.tokens]) * Double(rotary)
    case .ropeInterleaved: 8 * decoderElements + 8 * Double(shape[.tokens]) * Double(rotary)
    default: 8 * decoderElements
    }
  }

  /// - Throws: when the sizes fit no kernel, or there is an epilogue.
  func checkDecoderRow() throws(ProblemTextError) {
    guard epilogue.isEmpty else {
      throw ProblemTextError(message: "epilogue=\(epilogue): \(op.rawValue) takes none")
    }
    if op.isRope {
      guard rotary % 2 == 0, (2...max(2, shape[.headDim])).contains(rotary), rotary <= shape[.headDim] else {
        throw ProblemTextError(
          message: "rotary=\(rotary) of head-dim=\(shape[.headDim]): expected an even number from 2 to head-dim")
      }
    }
    if op == .topK || op == .sampling {
      guard shape[.topK] <= min(256, shape[.channels]) else {
        throw ProblemTextError(
          message: "top-k=\(shape[.topK]) of channels=\(shape[.channels]): expected at most \(min(256, shape[.channels]))")
      }
    }
    if op == .sampling, shape[.channels] > 1 << 20 {
      throw ProblemTextError(message: "channels=\(shape[.channels]): sampling takes at most \(1 << 20)")
    }
  }
}
