#if canImport(Glibc)
  import Glibc
#endif

/// What a Gaussian process assumes: Matérn-5/2 kernels with a length per dimension, and beside it a
/// step wherever a dimension differs at all, for parameters whose values are categories in truth.
///
/// Most of the signal is a sum of functions of one dimension and of two (Duvenaud et al., "Additive
/// Gaussian Processes", 2011): what a parameter does alone, or with one other, is learned from points
/// that differ in the rest. What remains is a function of all together.
struct ProcessParameters: Sendable {
  /// Natural logarithm of the inverse length, per dimension.
  var inverseLength: [Double]
  /// Natural logarithm of the weight of differing at all, per dimension.
  var step: [Double]
  /// Natural logarithm of the noise variance over the signal's.
  var noise: Double

  /// In the middle of the prior: neighbours correlate by 0.93. A tenth hardly shows, 1 leaves 0.5.
  private static let typicalStep = log(0.3)

  init(dimensions: Int) {
    inverseLength = Array(repeating: log(1.5), count: dimensions)
    step = Array(repeating: log(0.1), count: dimensions)
    noise = log(0.05)
  }

  /// Minus the logarithm of the prior: log-normal around lengths of the whole range, modest steps and
  /// little noise. It keeps samples sane while points are few.
  var penalty: Double {
    var sum = 0.0
    for value in inverseLength { sum += 0.5 * value * value }
    for value in step { sum += 0.5 * (value - Self.typicalStep) * (value - Self.typicalStep) }
    let excess = (noise - log(0.02)) / 1.5
    return sum + 0.5 * excess * excess
  }

  /// One random step, of one parameter or of all lengths together.
  func perturbed(by size: Double, _ random: inout SearchRandom) -> ProcessParameters {
    var result = self
    let dimensions = inverseLength.count
    switch random.below(2 * dimensions + 2) {
    case let d where d < dimensions: result.inverseLength[d] += size * random.normal()
    case let d where d < 2 * dimensions: result.step[d - dimensions] += size * random.normal()
    case 2 * dimensions: result.noise += 1.5 * size * random.normal()
    default:
      let shift = 0.7 * size * random.normal()
      for d in 0..<dimensions { result.inverseLength[d] += shift }
    }
    for d in 0..<dimensions {
      result.inverseLength[d] = min(max(result.inverseLength[d], log(0.02)), log(30))
      result.step[d] = min(max(result.step[d], log(0.01)), log(5))
    }
    result.noise = min(max(result.noise, log(1e-4)), 0)
    return result
  }
}

/// The kernel at fixed parameters.
struct ProcessKernel {
  /// Parts of the signal that are functions of one dimension and of two.
  private static let aloneShare: Float = 0.2
  private static let pairShare: Float = 0.6

  private let weights: [Float]
  private let steps: [Float]
  let noise: Double
  private let features: SpaceFeatures

  init(_ parameters: ProcessParameters, _ features: SpaceFeatures) {
    weights = parameters.inverseLength.map { Float(exp(2 * $0)) }
    steps = parameters.step.map { Float(exp(2 * $0)) }
    noise = exp(parameters.noise)
    self.features = features
  }

  /// The covariance of two points, 1 for a point with itself.
  func callAsFunction(_ a: Int, _ b: Int) -> Float {
    let dimensions = features.dimensions
    guard dimensions > 0 else { return 1 }
    var squared: Float = 0
    // Of the kernels of one dimension each: their sum, and their squares'.
    var alone: Float = 0
    var squares: Float = 0
    for d in 0..<dimensions {
      let difference = features.values[a * dimensions + d] - features.values[b * dimensions + d]
      guard difference != 0 else {
        alone += 1
        squares += 1
        continue
      }
      let own = weights[d] * difference * difference + steps[d]
      squared += own
      let kernel = Self.matern(own)
      alone += kernel
      squares += kernel * kernel
    }
    let count = Float(dimensions)
    let pairs = dimensions > 1 ? (alone * alone - squares) / (count * (count - 1)) : alone
    return Self.aloneShare * alone / count + Self.pairShare * pairs
      + (1 - Self.aloneShare - Self.pairShare) * Self.matern(squared)
  }

  /// Matérn-5/2 of a squared distance.
  private static func matern(_ squared: Float) -> Float {
    let scaled = (5 * squared).squareRoot()
    return (1 + scaled + scaled * scaled / 3) * expf(-scaled)
  }
}

/// Which parameters of a Gaussian process its evaluations make probable.
///
/// They are sampled, not optimised: the few points of a search cannot tell an ordered parameter from a
/// category in disguise, and a search that follows the most probable answer never puts it to the test.
/// Samples disagree where evaluations leave it open, and a search by one after the other settles it.
/// While points are few the walk is colder: good points are often found before there is reason to doubt.
enum ProcessFit {
  private static let temperate = 30.0

  /// Moves `parameters` by `steps` steps of a random walk that visits them as often as they are probable
  /// given `values` at `points` (Metropolis et al. 1953), or keeps nearer to the most probable ones while
  /// there are fewer than `temperate` points.
  static func sample(
    _ parameters: inout ProcessParameters, points: [Int], values: [Double], _ features: SpaceFeatures,
    steps: Int, _ random: inout SearchRandom
  ) {
    let temperature = min(1, Double(points.count) / temperate)
    var current = cost(parameters, points, values, features)
    for _ in 0..<steps {
      let candidate = parameters.perturbed(by: 0.8, &random)
      let cost = cost(candidate, points, values, features)
      if cost < current + temperature * random.exponential() {
        current = cost
        parameters = candidate
      }
    }
  }

  /// Minus the logarithm of the posterior of the parameters, the mean and the signal's variance
  /// integrated out (Rasmussen and Williams, Gaussian Processes for Machine Learning, §2.7 and §5.4);
  /// the variance has a weak inverse-gamma prior.
  private static func cost(
    _ parameters: ProcessParameters, _ points: [Int], _ values: [Double], _ features: SpaceFeatures
  ) -> Double {
    let n = points.count
    let kernel = ProcessKernel(parameters, features)
    var lower = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<i { lower[i * n + j] = Double(kernel(points[i], points[j])) }
      lower[i * n + i] = 1 + kernel.noise
    }
    guard Cholesky.factor(&lower, n) else { return .infinity }
    var ones = [Double](repeating: 1, count: n)
    var solved = values
    Cholesky.solveLower(lower, n, &ones)
    Cholesky.solveLower(lower, n, &solved)
    var oo = 0.0
    var oy = 0.0
    var yy = 0.0
    var logDeterminant = 0.0
    for i in 0..<n {
      oo += ones[i] * ones[i]
      oy += ones[i] * solved[i]
      yy += solved[i] * solved[i]
      logDeterminant += log(lower[i * n + i])
    }
    let residual = max(yy - oy * oy / oo, 1e-12)
    let evidence = 0.5 * Double(n + 1) * log((residual + 0.2) / Double(n + 1)) + logDeterminant + 0.5 * log(oo)
    return evidence + parameters.penalty
  }
}

/// Cholesky factors of small symmetric matrices, row-major.
enum Cholesky {
  /// Replaces the lower triangle of `a` (`n×n`) by its factor; false when it is not positive definite.
  static func factor(_ a: inout [Double], _ n: Int) -> Bool {
    unsafe a.withUnsafeMutableBufferPointer { a in
      for i in 0..<n {
        for j in 0...i {
          var sum = unsafe a[i * n + j]
          for k in 0..<j { unsafe sum -= a[i * n + k] * a[j * n + k] }
          if i == j {
            guard sum > 1e-12 else { return false }
            unsafe a[i * n + i] = sum.squareRoot()
          } else {
            unsafe a[i * n + j] = sum / a[j * n + j]
          }
        }
      }
      return true
    }
  }

  /// Solves `L x = b` in place.
  static func solveLower(_ lower: [Double], _ n: Int, _ b: inout [Double]) {
    unsafe lower.withUnsafeBufferPointer { lower in
      unsafe b.withUnsafeMutableBufferPointer { b in
        for i in 0..<n {
          var sum = unsafe b[i]
          for k in 0..<i { unsafe sum -= lower[i * n + k] * b[k] }
          unsafe b[i] = sum / lower[i * n + i]
        }
      }
    }
  }
}
