/// A line of a .shapes file, or flags, that name no Problem.
public struct ProblemTextError: Diagnostic {
  public enum Code: String, Sendable { case malformed }
  public let code = Code.malformed
  public let message: String
  public var exitStatus: ExitStatus { .badData }
}

extension Problem {
  /// Reads the form that `description` writes: `gemm w8a8 m=128 n=1536 k=384 epilogue=bias state=cold`.
  /// Words may follow the op in any order; a missing format is f32, a missing state hot.
  ///
  /// - Throws: `ProblemTextError` naming the word that is wrong and what could stand there.
  public init(text: some StringProtocol) throws(ProblemTextError) {
    var words = text.split(whereSeparator: \.isWhitespace)
    guard let first = words.first, let op = Op(rawValue: String(first)) else {
      throw ProblemTextError(
        message: "\"\(text)\" names no op first; known: \(Op.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    words.removeFirst()
    self.init(op, shape: Shape([:]), epilogue: op == .moeGemm ? [.silu, .gated] : [])
    for word in words {
      guard let equals = word.firstIndex(of: "=") else {
        guard let format = Format(String(word)) else {
          throw ProblemTextError(
            message: "\"\(word)\" is not a format; known: \(Format.all.map(\.description).joined(separator: ", "))")
        }
        self.format = format
        continue
      }
      try set(String(word[..<equals]), to: String(word[word.index(after: equals)...]))
    }
    fillRecurrence()
    try checkSizes()
  }

  private mutating func set(_ key: String, to value: String) throws(ProblemTextError) {
    switch key {
    case "epilogue":
      guard let epilogue = Epilogue(value) else {
        throw ProblemTextError(
          message:
            "epilogue=\(value): known parts are \(Epilogue.partNames.joined(separator: ", ")), joined by +, with one activation and one conversion at most"
        )
      }
      self.epilogue = epilogue
    case "mask":
      guard let mask = Mask(rawValue: value) else {
        throw ProblemTextError(message: "mask=\(value): expected \(Mask.form)")
      }
      self.mask = mask
    // Where operands lie; a number is the size of that name.
    case "state" where Int(value) == nil:
      guard let state = OperandState(rawValue: value) else {
        throw ProblemTextError(message: "state=\(value): known are hot, warm, cold, or a size")
      }
      self.state = state
    default:
      guard let dimension = Dimension(rawValue: key) else {
        throw ProblemTextError(
          message: "\"\(key)\" is not a size; known: \(Dimension.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      guard let size = Int(value), (1...Problem.largestSize).contains(size) else {
        throw ProblemTextError(message: "\(key)=\(value): expected a whole number from 1 to \(Problem.largestSize)")
      }
      shape[dimension] = size
    }
  }

  /// No size of a Problem from outside may be larger: operands must fit a machine's memory.
  public static var largestSize: Int { 1 << 24 }

  /// The sizes an op needs; all must be given.
  public static func requiredDimensions(of op: Op) -> [Dimension] {
    switch op {
    case .gemm: [.m, .n, .k]
    case .moeGemm: [.tokens, .channels, .hidden, .experts, .topK]
    case .attention: [.batch, .tokens, .heads, .headDim]
    case .quantize, .layerNorm, .gelu, .residual, .embedding, .meanPool: [.rows, .channels]
    case .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2:
      [.batch, .tokens, .heads, .kvHeads, .headDim, .state]
    case .longConv, .rwkv4: [.batch, .tokens, .channels]
    case .mamba1, .s4d: [.batch, .tokens, .channels, .state]
    case .causalConv1d: [.batch, .tokens, .channels, .width]
    case .rmsNorm, .silu, .geluTanh, .softplus, .swiglu, .softmax, .argmax, .sampling: [.rows, .channels]
    case .topK: [.rows, .channels, .topK]
    case .rope, .ropeInterleaved: [.batch, .tokens, .heads, .headDim]
    }
  }

  /// - Throws: when a size is missing, or the operands would take more than 64 GiB.
  public func checkSizes() throws(ProblemTextError) {
    let missing = Problem.requiredDimensions(of: op).filter { shape.sizes[$0] == nil }
    guard missing.isEmpty else {
      throw ProblemTextError(
        message: "\(op.rawValue) needs \(missing.map { "\($0.rawValue)=…" }.joined(separator: " "))")
    }
    guard bytes < Double(64 << 30) else {
      throw ProblemTextError(message: "\(self) has operands of \(Int(bytes / 1e9)) GB; the limit is 64 GiB")
    }
    if op == .moeGemm { try checkMixture() }
    if op == .attention { try checkAttention() }
    if op.isRecurrence { try checkRecurrence() }
    if op.isSequence { try checkSequence() }
    if op.isDecoderRow { try checkDecoderRow() }
    if op == .gemm, epilogue.contains(.gated), shape[.n] % 2 != 0 {
      throw ProblemTextError(message: "a gated epilogue needs n to be even, half gates and half ups, found n=\(shape[.n])")
    }
    if op == .gemm, !format.admits(k: shape[.k]) {
      throw ProblemTextError(
        message: "\(format) needs k to be a multiple of \(format.groupSize ?? 1), found k=\(shape[.k])")
    }
  }

  private func checkMixture() throws(ProblemTextError) {
    guard shape[.topK] <= shape[.experts] else {
      throw ProblemTextError(message: "top-k=\(shape[.topK]) of experts=\(shape[.experts]): a token goes to each expert once at most")
    }
    guard epilogue.contains(.gated), epilogue.subtracting([.gated, .activations]).isEmpty else {
      throw ProblemTextError(message: "epilogue=\(epilogue): a mixture takes an activation and gated, as in silu+gated")
    }
    guard Double(weightBytes) < Double(64 << 30) else {
      throw ProblemTextError(message: "\(self) has weights of \(weightBytes >> 30) GiB; the limit is 64")
    }
    for dimension in [Dimension.channels, .hidden] where !format.admits(k: shape[dimension]) {
      throw ProblemTextError(
        message:
          "\(format) needs \(dimension.rawValue) to be a multiple of \(format.groupSize ?? 1), found \(dimension.rawValue)=\(shape[dimension])")
    }
  }

  /// Every Problem of a .shapes file: one a line, `#` begins a comment.
  public static func list(shapes text: String, source: String) throws(ProblemTextError) -> [Problem] {
    var problems: [Problem] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let content = line.prefix { $0 != "#" }
      guard content.contains(where: { !$0.isWhitespace }) else { continue }
      do {
        problems.append(try Problem(text: content))
      } catch {
        throw ProblemTextError(message: "\(source):\(number + 1): \(error.message)")
      }
    }
    return problems
  }
}
