import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// What the row-wise ops should give, by plain loops in f64 over one row.
package enum RowwiseOracle {
  /// (x + residual − mean)/√(variance + epsilon) · weight + bias.
  package static func layerNorm(
    _ x: [Float], residual: [Float]?, weight: [Float], bias: [Float], epsilon: Float
  ) -> [Double] {
    let values: [Double] = x.indices.map { c in
      guard let residual else { return Double(x[c]) }
      return Double(x[c]) + Double(residual[c])
    }
    let count = Double(values.count)
    let mean = values.reduce(0, +) / count
    var square = 0.0
    for value in values { square += (value - mean) * (value - mean) }
    let deviation = (square / count + Double(epsilon)).squareRoot()
    return values.indices.map { c in
      (values[c] - mean) / deviation * Double(weight[c]) + Double(bias[c])
    }
  }

  /// The mean of `rows`, divided by its L2 norm unless that is 0.
  package static func meanPool(_ rows: [[Float]], columns: Int, normalize: Bool) -> [Double] {
    guard !rows.isEmpty else { return Array(repeating: 0, count: columns) }
    var mean = [Double](repeating: 0, count: columns)
    for row in rows { for c in 0..<columns { mean[c] += Double(row[c]) } }
    var square = 0.0
    for c in 0..<columns {
      mean[c] /= Double(rows.count)
      square += mean[c] * mean[c]
    }
    let norm = square.squareRoot()
    return normalize && norm != 0 ? mean.map { $0 / norm } : mean
  }

  /// The codes of a row as s8 values, its scale and (when centred) its offset, to the bit, as the
  /// ABI states the formula.
  package static func quantize(_ x: [Float], centred: Bool = false) -> (codes: [Int], scale: Float, offset: Float) {
    guard x.allSatisfy(\.isFinite) else { return (Array(repeating: 0, count: x.count), .nan, 0) }
    let centre = centred && !x.isEmpty ? 0.5 * x.max()! + 0.5 * x.min()! : 0
    let scale = (x.map { ($0 - centre).magnitude }.max() ?? 0) / 127
    guard scale >= .leastNormalMagnitude else { return (Array(repeating: 0, count: x.count), 0, centre) }
    let reciprocal = 1 / scale
    return (x.map { Int((($0 - centre) * reciprocal).rounded(.toNearestOrEven)) }, scale, centre)
  }

  /// bf16 bits of x: ties to even, NaN quieted.
  package static func bf16(_ x: Float) -> UInt16 {
    if x.isNaN { return UInt16(truncatingIfNeeded: x.bitPattern >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: roundedToBF16(x).bitPattern >> 16)
  }
}
