extension Op {
  /// Linear attention and its family: a state of `state`×`headDim` for each head, changed and read token by token.
  public static let recurrences: [Op] = [
    .linearAttention, .retention, .gla, .rwkv6, .rwkv7, .deltaNet, .gatedDeltaNet, .mamba2,
  ]
  public var isRecurrence: Bool { Op.recurrences.contains(self) }

  /// Whether a token reads the state before it writes it.
  fileprivate var isDeltaRule: Bool { self == .deltaNet || self == .gatedDeltaNet }
  /// Whether each row of the state has a decay of its own, given with each token.
  public var hasChannelDecays: Bool { self == .gla || self == .rwkv6 || self == .rwkv7 }
  /// Whether a token has a rate: β of the delta rules, Δ of Mamba-2.
  public var hasRates: Bool { isDeltaRule || self == .mamba2 }
}

extension Problem {
  /// `batch` sequences of `tokens`, from a state and to one: values of `headDim`, keys and queries of `stateRows`.
  ///
  /// - Parameters:
  ///   - keyHeads: heads of keys and queries, each shared by `heads / keyHeads` heads of values. All by default;
  ///     Mamba-2 calls them groups and has one.
  ///   - stateRows: as many as `headDim` by default.
  public static func recurrence(
    _ op: Op, batch: Int = 1, tokens: Int, heads: Int, keyHeads: Int? = nil, headDim: Int, stateRows: Int? = nil,
    state: OperandState = .hot
  ) -> Problem {
    var problem = Problem(
      op, shape: [.batch: batch, .tokens: tokens, .heads: heads, .headDim: headDim], state: state)
    problem.shape.sizes[.kvHeads] = keyHeads
    problem.shape.sizes[.state] = stateRows
    problem.fillRecurrence()
    return problem
  }

  /// Gives a recurrence the sizes that were left out.
  public mutating func fillRecurrence() {
    guard op.isRecurrence else { return }
    if shape.sizes[.batch] == nil { shape[.batch] = 1 }
    if shape.sizes[.kvHeads] == nil { shape[.kvHeads] = op == .mamba2 ? 1 : shape[.heads] }
    if shape.sizes[.state] == nil { shape[.state] = shape[.headDim] }
  }

  func checkRecurrence() throws(ProblemTextError) {
    guard shape[.heads] % max(1, shape[.kvHeads]) == 0 else {
      throw ProblemTextError(
        message: "heads=\(shape[.heads]) kv-heads=\(shape[.kvHeads]): expected heads to be a multiple of kv-heads, the heads of keys and queries")
    }
  }

  private var recurrentElements: Double {
    Double(shape[.batch]) * Double(shape[.heads]) * Double(shape[.state]) * Double(shape[.headDim])
  }

  /// For each token and element of the state, a multiply-add for each time it is read and for each product added
  /// to it. The decay, which a kernel applies once in several tokens, does not count.
  var recurrenceOperations: Double {
    let each: Double = op == .rwkv7 ? 8 : op.isDeltaRule ? 6 : 4
    return each * Double(shape[.tokens]) * recurrentElements
  }

  /// Every operand once, the state twice.
  var recurrenceBytes: Double {
    let (heads, keyHeads) = (Double(shape[.heads]), Double(shape[.kvHeads]))
    let (dk, dv) = (Double(shape[.state]), Double(shape[.headDim]))
    var token = 2 * keyHeads * dk + 2 * heads * dv
    if op.hasChannelDecays { token += heads * dk }
    if op == .rwkv7 { token += 2 * heads * dk }
    if op.hasRates { token += heads }
    if op == .gatedDeltaNet { token += heads }
    return 4 * Double(shape[.batch]) * Double(shape[.tokens]) * token + 8 * recurrentElements
  }
}
