import ArgumentParser
import struct Foundation.Data
import class Foundation.FileHandle
import struct Foundation.URL
import Wallclock

extension Format: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public static var allValueStrings: [String] { all.map(\.description) }
}
extension Op: ExpressibleByArgument {}
extension OperandState: ExpressibleByArgument {}
extension Mask: ExpressibleByArgument {
  public init?(argument: String) { self.init(rawValue: argument) }
  public var defaultValueDescription: String { rawValue }
}
/// What `--state` means: where operands lie, or the size of that name.
enum StateArgument: ExpressibleByArgument {
  case operands(OperandState)
  case size(Int)
  init?(argument: String) {
    if let state = OperandState(rawValue: argument) {
      self = .operands(state)
    } else if let size = Int(argument) {
      self = .size(size)
    } else {
      return nil
    }
  }
}
extension Epilogue: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// The flags that name Problems: sizes, formats, states.
struct ProblemOptions: ParsableArguments {
  @Option(name: [.customLong("op"), .customLong("ops")], parsing: .upToNextOption, help: "Ops, e.g. gemm attention layer-norm.")
  var ops: [Op] = []
  @Option(name: .long, parsing: .upToNextOption, help: "Formats of GEMM weights and activations, e.g. f32 w8a8 w4a8-g32, and of attention's keys and values.")
  var types: [Format] = []
  @Option(name: .long, parsing: .upToNextOption, help: "GEMM: rows of A and C.") var m: [Int] = []
  @Option(name: .long, help: "GEMM: columns of C.") var n: Int?
  @Option(name: .long, help: "GEMM: columns of A.") var k: Int?
  @Option(name: .long, help: "Sequences.") var batch: Int?
  @Option(name: .long, parsing: .upToNextOption, help: "Tokens per sequence.") var tokens: [Int] = []
  @Option(name: .long, help: "Attention heads.") var heads: Int?
  @Option(name: .customLong("head-dim"), help: "Values per head.") var headDim: Int?
  @Option(name: .customLong("kv-heads"), help: "Attention: heads of keys and values, each serving as many of queries; recurrences: heads of keys and queries, or groups; default all, mamba2 1.") var kvHeads: Int?
  @Option(name: .long, help: "Attention: keys in a cache; without it the tokens attend to themselves. --tokens 1 --context 4096 is decode.") var context: Int?
  @Option(name: .long, help: "Row-wise ops: rows.") var rows: Int?
  @Option(name: .long, help: "Row-wise ops: columns.") var channels: Int?
  @Option(name: .long, help: "Mixture of experts: channels inside an expert.") var hidden: Int?
  @Option(name: .long, help: "Mixture of experts: experts.") var experts: Int?
  @Option(name: .customLong("top-k"), help: "Mixture of experts: experts each token goes to; top-k and sampling: the greatest of a row, 1 to 256.") var topK: Int?
  @Option(name: .long, help: "Attention: \(Mask.form).") var mask: Mask = .full
  @Option(name: .long, help: "What follows in the same pass: GEMM, e.g. bias+gelu; short convolutions, silu.") var epilogue: Epilogue = []
  @Option(
    name: .customLong("state"),
    help: "hot (operands in cache), warm (as in a model that fits the last-level cache) or cold (weights from DRAM); a number: values of state per channel, or rows of a recurrence's. May be given twice.")
  var states: [StateArgument] = []
  @Option(name: .long, help: "Short convolutions: taps.") var width: Int?
  @Option(name: .long, help: "Rotary embeddings: values of a head that are turned; default all.") var rotary: Int?
  @Option(name: .long, help: "A .shapes file: one Problem a line.") var shapes: String?

  /// Where operands lie.
  var state: OperandState? { states.compactMap { if case .operands(let state) = $0 { state } else { nil } }.last }
  /// The size of that name.
  private var stateRows: Int? { states.compactMap { if case .size(let rows) = $0 { rows } else { nil } }.last }

  /// The Problems the flags and the file name together; empty when neither names any.
  func problems() throws -> [Problem] {
    var result: [Problem] = []
    if let shapes {
      result += try Problem.list(shapes: InputText.read(shapes), source: shapes)
      if let state { result = result.map { var p = $0; p.state = state; return p } }
      if !ops.isEmpty { result = result.filter { ops.contains($0.op) } }
      if !types.isEmpty { result = result.filter { types.contains($0.format) } }
      return result
    }
    for op in ops {
      var base = Shape([:])
      for (dimension, value) in [
        (WallclockCore.Dimension.n, n), (.k, k), (.batch, batch), (.heads, heads), (.headDim, headDim), (.rows, rows),
        (.channels, channels), (.hidden, hidden), (.experts, experts), (.topK, topK), (.kvHeads, kvHeads), (.state, stateRows),
        (.width, width),
      ] {
        if let value, Problem.requiredDimensions(of: op).contains(dimension) { base[dimension] = value }
      }
      if op == .attention || op.isSequence, batch == nil { base[.batch] = 1 }
      if op == .attention {
        if let context { base[.context] = context }
        if let kvHeads, kvHeads != heads { base[.kvHeads] = kvHeads }
      }
      if op.isRope {
        if batch == nil { base[.batch] = 1 }
        if let rotary { base[.rotary] = rotary }
      }
      if op == .sampling, let topK { base[.topK] = topK }
      let varied: (dimension: WallclockCore.Dimension, values: [Int])? =
        switch op {
        case .gemm: (.m, m)
        case .attention, .moeGemm: (.tokens, tokens)
        case _ where op.isRecurrence || op.isSequence || op.isRope: (.tokens, tokens)
        default: nil
        }
      for format in (op.kernelOp == .gemm || op == .attention) && !types.isEmpty ? types : [.f32] {
        for value in varied?.values ?? [0] {
          var shape = base
          if let varied { shape[varied.dimension] = value }
          var problem = Problem(
            op, format: format, shape: shape, epilogue: op == .gemm || op == .causalConv1d || (op == .moeGemm && !epilogue.isEmpty) ? epilogue : op == .moeGemm ? [.silu, .gated] : [], mask: mask,
            state: state ?? .hot)
          if let bad = shape.sizes.first(where: { !(1...Problem.largestSize).contains($0.value) }) {
            throw ValidationError("--\(bad.key.rawValue) \(bad.value): expected 1 to \(Problem.largestSize)")
          }
          problem.fillRecurrence()
          try problem.checkFlags()
          result.append(problem)
        }
        if let varied, varied.values.isEmpty {
          throw ValidationError("\(op.rawValue) needs --\(varied.dimension.rawValue)")
        }
      }
    }
    return result
  }
}

extension Problem {
  /// - Throws: `ValidationError`: a size is missing or does not fit, and came from the command line.
  func checkFlags() throws {
    do { try checkSizes() } catch { throw ValidationError(error.message) }
  }
}

/// Small text files named on the command line.
enum InputText {
  static func read(_ path: String, limit: Int = 16 << 20) throws -> String {
    guard let handle = try? FileHandle(forReadingFrom: URL(filePath: path)) else {
      throw InputError(.noInput, "cannot read \(path); expected a readable text file")
    }
    defer { try? handle.close() }
    let data = (try? handle.read(upToCount: limit + 1)) ?? Data()
    guard data.count <= limit, let text = String(data: data, encoding: .utf8) else {
      throw InputError(.badData, "\(path) is not UTF-8 text of at most \(limit >> 20) MiB")
    }
    return text
  }
}

/// What the command line itself finds wrong with its input.
struct InputError: Diagnostic {
  enum Code: String, Sendable { case noInput, badData, unavailable }
  let code: Code
  let message: String
  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  var exitStatus: ExitStatus {
    switch code {
    case .noInput: .noInput
    case .badData: .badData
    case .unavailable: .unavailable
    }
  }
}
