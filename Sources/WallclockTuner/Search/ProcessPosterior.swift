/// The posterior of a Gaussian process at a set of candidates, kept up to date point by point.
///
/// For each evaluated point it holds a row over the candidates (the solved cross-covariance), so that
/// adding the n-th point costs n passes over the candidates and a mean costs as many: cheap enough to
/// look at every legal point before each evaluation.
struct ProcessPosterior {
  let candidates: [Int]
  private(set) var points: [Int] = []
  /// Variance of the noiseless value at each candidate, over the signal's.
  private(set) var variance: [Float]
  private let kernel: ProcessKernel
  private var rows: [[Float]] = []
  private var lower: [[Double]] = []

  init(_ kernel: ProcessKernel, candidates: [Int]) {
    self.kernel = kernel
    self.candidates = candidates
    variance = Array(repeating: 1, count: candidates.count)
  }

  mutating func add(_ point: Int) {
    var l: [Double] = []
    l.reserveCapacity(points.count + 1)
    var remaining = 1 + kernel.noise
    for i in points.indices {
      var value = Double(kernel(point, points[i]))
      for j in 0..<i { value -= lower[i][j] * l[j] }
      value /= lower[i][i]
      l.append(value)
      remaining -= value * value
    }
    let diagonal = max(remaining, 1e-9).squareRoot()
    l.append(diagonal)
    var row = candidates.map { kernel(point, $0) }
    for i in points.indices where abs(l[i]) > 1e-9 { Self.add(Float(-l[i]), rows[i], to: &row) }
    let inverse = Float(1 / diagonal)
    for c in row.indices {
      row[c] *= inverse
      variance[c] -= row[c] * row[c]
    }
    rows.append(row)
    lower.append(l)
    points.append(point)
  }

  /// `L⁻¹ values`, from which means follow.
  func solved(_ values: [Double]) -> [Double] {
    var result = values
    for i in result.indices {
      for j in 0..<i { result[i] -= lower[i][j] * result[j] }
      result[i] /= lower[i][i]
    }
    return result
  }

  /// The mean at each candidate, for values whose mean is 0.
  func mean(solved: [Double]) -> [Float] {
    var result = [Float](repeating: 0, count: candidates.count)
    for (value, row) in zip(solved, rows) { Self.add(Float(value), row, to: &result) }
    return result
  }

  private static func add(_ factor: Float, _ x: [Float], to y: inout [Float]) {
    let count = y.count
    precondition(x.count == count)
    unsafe x.withUnsafeBufferPointer { x in
      unsafe y.withUnsafeMutableBufferPointer { y in
        for i in 0..<count { unsafe y[i] += factor * x[i] }
      }
    }
  }
}
