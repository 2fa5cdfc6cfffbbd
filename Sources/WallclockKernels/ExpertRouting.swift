import WallclockCore

/// Which experts each token goes to, and how much each counts; the rows of each expert brought together.
///
/// A row is one (token, choice) pair. Rows are ordered by expert, then by token.
public struct ExpertRouting: Sendable {
  public let tokens: Int
  public let experts: Int
  /// Experts each token goes to.
  public let topK: Int
  /// Expert e has rows `starts[e] ..< starts[e + 1]`; none when no token chose it.
  public let starts: [Int]
  /// The token of each row.
  package let tokenOfRow: [Int]
  /// `tokens×topK`: the row of each choice.
  package let rowOfChoice: [Int]
  /// `tokens×topK`, as given.
  package let weights: [Float]

  public var rows: Int { tokenOfRow.count }

  /// - Parameters:
  ///   - choices: `tokens×topK` experts, row-major, in the order in which a token's results are summed.
  ///   - weights: what each choice counts.
  /// - Throws: `KernelError.shapeMismatch` when the counts are not tokens·topK, an expert does not exist, or a token
  ///   names one twice.
  public init(
    choices: [Int32], weights: [Float], tokens: Int, topK: Int, experts: Int
  ) throws(KernelError) {
    guard tokens >= 0, topK >= 1, topK <= experts else {
      throw KernelError(.shapeMismatch, "top-k is \(topK) of \(experts) experts; expected 1 to the number of experts")
    }
    guard choices.count == tokens * topK, weights.count == choices.count else {
      throw KernelError(
        .shapeMismatch,
        "\(choices.count) choices and \(weights.count) weights, expected \(tokens)×\(topK) = \(tokens * topK) of each")
    }
    var counts = [Int](repeating: 0, count: experts + 1)
    for token in 0..<tokens {
      let own = choices[token * topK..<(token + 1) * topK]
      for (place, expert) in own.enumerated() {
        guard (0..<Int32(experts)).contains(expert) else {
          throw KernelError(.shapeMismatch, "token \(token) goes to expert \(expert); expected 0 to \(experts - 1)")
        }
        guard !own.prefix(place).contains(expert) else {
          throw KernelError(
            .shapeMismatch, "token \(token) names expert \(expert) twice; add their weights and name it once")
        }
        counts[Int(expert) + 1] += 1
      }
    }
    for expert in 0..<experts { counts[expert + 1] += counts[expert] }
    starts = counts
    var next = counts
    var tokenOfRow = [Int](repeating: 0, count: choices.count)
    var rowOfChoice = tokenOfRow
    for choice in choices.indices {
      let expert = Int(choices[choice])
      let row = next[expert]
      next[expert] += 1
      tokenOfRow[row] = choice / topK
      rowOfChoice[choice] = row
    }
    self.tokens = tokens
    self.topK = topK
    self.experts = experts
    self.weights = weights
    self.tokenOfRow = tokenOfRow
    self.rowOfChoice = rowOfChoice
  }
}
