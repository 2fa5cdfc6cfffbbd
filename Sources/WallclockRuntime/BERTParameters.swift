import WallclockCore
import WallclockFormats
import WallclockKernels
import WallclockModels

/// Where an encoder's parameters come from: a checkpoint, or random numbers of the right shapes.
public enum ParameterSource: Sendable {
  case checkpoint(BERTWeights)
  /// For timing without weights. Time does not depend on the values; similarity means nothing.
  case random(BERTConfiguration, seed: UInt64)

  public var configuration: BERTConfiguration {
    switch self {
    case .checkpoint(let weights): weights.configuration
    case .random(let configuration, _): configuration
    }
  }

  func linear(layer: Int, role: BERTLinearRole) throws -> BERTWeights.Linear {
    switch self {
    case .checkpoint(let weights):
      return try weights.linear(layer: layer, role: role)
    case .random(let configuration, let seed):
      let (n, k) = role.shape(configuration)
      let index = UInt64(layer * 8 + BERTLinearRole.allCases.firstIndex(of: role)!)
      return BERTWeights.Linear(
        n: n, k: k, weight: random(n * k, scale: 1 / Float(k).squareRoot(), seed: seed &+ index),
        bias: random(n, scale: 0.1, seed: seed &+ 1000 &+ index))
    }
  }

  func norm(_ role: BERTNormRole, layer: Int) throws -> BERTWeights.Norm {
    switch self {
    case .checkpoint(let weights):
      return try weights.norm(role, layer: layer)
    case .random(let configuration, let seed):
      let h = configuration.hiddenSize
      return BERTWeights.Norm(
        gamma: random(h, scale: 1, seed: seed &+ 2000), beta: random(h, scale: 0.1, seed: seed &+ 2001),
        epsilon: configuration.layerNormEpsilon)
    }
  }

  func embedding(_ role: BERTEmbeddingRole) throws -> AlignedBuffer<Float> {
    switch self {
    case .checkpoint(let weights):
      return try weights.embedding(role)
    case .random(let configuration, let seed):
      let rows =
        switch role {
        case .word: configuration.vocabularySize
        case .position: configuration.maximumPositions
        case .tokenType: configuration.tokenTypes
        }
      return random(rows * configuration.hiddenSize, scale: 0.05, seed: seed &+ 3000)
    }
  }

  private func random(_ count: Int, scale: Float, seed: UInt64) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: count)
    var generator = OperandGenerator(seed: seed)
    generator.fill(buffer, scale: scale)
    return buffer
  }
}
