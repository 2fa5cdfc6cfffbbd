#if canImport(Glibc)
  import Glibc
#endif

import WallclockCore

/// Where the points of a space lie for a model that interpolates: one coordinate in `0...1` per
/// parameter that varies.
struct SpaceFeatures: Sendable {
  let dimensions: Int
  /// `count × dimensions`, row-major.
  let values: [Float]

  init(_ space: SearchSpace) {
    // A parameter that no legal point varies says nothing.
    var used = space.parameters.map { Set<UInt16>(minimumCapacity: $0.values.count) }
    for point in 0..<space.count {
      for (d, value) in zip(used.indices, space.coordinates(of: point)) { used[d].insert(value) }
    }
    let varied = used.indices.filter { used[$0].count > 1 }
    let scales = varied.map { Self.scale(space.parameters[$0].values, used: used[$0]) }
    dimensions = varied.count
    var values: [Float] = []
    values.reserveCapacity(space.count * varied.count)
    for point in 0..<space.count {
      let coordinates = space.coordinates(of: point)
      for (d, scale) in zip(varied, scales) {
        values.append(scale[Int(coordinates[coordinates.startIndex + d])])
      }
    }
    self.values = values
  }

  subscript(point: Int) -> ArraySlice<Float> { values[point * dimensions..<(point + 1) * dimensions] }

  /// A position in `0...1` for every value: by size, by its logarithm where sizes span a factor of
  /// eight or more (block sizes double), by order where they are words.
  private static func scale(_ values: [ParameterValue], used: Set<UInt16>) -> [Float] {
    let numbers = values.map(\.numeric)
    let present = used.compactMap { numbers[Int($0)] }
    guard present.count == used.count, let low = present.min(), let high = present.max(), high > low else {
      return values.indices.map { Float($0) / Float(max(1, values.count - 1)) }
    }
    let isGeometric = low > 0 && high / low >= 8
    return numbers.map { number in
      guard let number, number >= low, number <= high else { return 0 }
      return Float(isGeometric ? log(number / low) / log(high / low) : (number - low) / (high - low))
    }
  }

  func squaredDistance(_ a: Int, _ b: Int) -> Float {
    var sum: Float = 0
    for d in 0..<dimensions {
      let difference = values[a * dimensions + d] - values[b * dimensions + d]
      sum += difference * difference
    }
    return sum
  }
}
