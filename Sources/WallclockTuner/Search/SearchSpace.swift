public import WallclockCore

/// The points a search chooses from: named parameters with discrete values, and which of their
/// combinations are legal.
///
/// Points are numbered `0..<count`. Legal says that constraints allow a point; evaluating it may still
/// fail.
public struct SearchSpace: Sendable {
  public struct Parameter: Sendable, Equatable {
    public let name: String
    public let values: [ParameterValue]
    public init(_ name: String, _ values: [ParameterValue]) {
      self.name = name
      self.values = values
    }
  }

  /// Which points lie next to one.
  public enum Neighbourhood: Sendable {
    /// Those that differ in one parameter, by any amount.
    case hamming
    /// Those that differ in one parameter, and there by the smallest legal step either way.
    case adjacent
  }

  public let parameters: [Parameter]
  public let count: Int
  /// `count × parameters.count` value numbers.
  private let coordinates: [UInt16]
  private let indices: [Key: Int]

  private struct Key: Hashable {
    var coordinates: ArraySlice<UInt16>
  }

  /// - Parameter points: value numbers per parameter; those named twice count once.
  /// - Precondition: every number is within its parameter's values, of which there are at most 65,536.
  public init(parameters: [Parameter], points: some Sequence<[Int]>) {
    precondition(parameters.allSatisfy { $0.values.count <= 1 << 16 }, "SearchSpace: too many values")
    var flat: [UInt16] = []
    var indices: [Key: Int] = [:]
    for point in points {
      precondition(
        point.count == parameters.count
          && zip(point, parameters).allSatisfy { $1.values.indices.contains($0) },
        "SearchSpace: the point \(point) is outside its parameters")
      let key = Key(coordinates: ArraySlice(point.map(UInt16.init)))
      if indices[key] == nil {
        indices[key] = indices.count
        flat += key.coordinates
      }
    }
    self.parameters = parameters
    coordinates = flat
    self.indices = indices
    count = indices.count
  }

  /// All combinations that `isLegal` admits, the last parameter varying fastest.
  public init(parameters: [Parameter], where isLegal: ([ParameterValue]) -> Bool) {
    var points: [[Int]] = []
    var point = [Int](repeating: 0, count: parameters.count)
    if parameters.allSatisfy({ !$0.values.isEmpty }) {
      odometer: while true {
        if isLegal(zip(parameters, point).map { $0.values[$1] }) { points.append(point) }
        var digit = parameters.count - 1
        while true {
          if digit < 0 { break odometer }
          point[digit] += 1
          if point[digit] < parameters[digit].values.count { break }
          point[digit] = 0
          digit -= 1
        }
      }
    }
    self.init(parameters: parameters, points: points)
  }

  /// Value numbers of a point, one per parameter.
  public func coordinates(of point: Int) -> ArraySlice<UInt16> {
    coordinates[point * parameters.count..<(point + 1) * parameters.count]
  }

  public func values(of point: Int) -> [ParameterValue] {
    zip(parameters, coordinates(of: point)).map { $0.values[Int($1)] }
  }

  /// The point at these value numbers; nil when it is not legal.
  public func index(of coordinates: some Sequence<UInt16>) -> Int? {
    indices[Key(coordinates: ArraySlice(coordinates))]
  }

  /// Legal points next to `point`, in order of parameter and value.
  public func neighbours(of point: Int, _ neighbourhood: Neighbourhood = .hamming) -> [Int] {
    let centre = coordinates(of: point)
    var varied = Array(centre)
    var result: [Int] = []
    for (d, own) in zip(varied.indices, centre) {
      defer { varied[d] = own }
      let values = parameters[d].values.indices
      switch neighbourhood {
      case .hamming:
        for value in values where value != Int(own) {
          varied[d] = UInt16(value)
          if let found = index(of: varied) { result.append(found) }
        }
      case .adjacent:
        for direction in [-1, 1] {
          var value = Int(own) + direction
          while values.contains(value) {
            varied[d] = UInt16(value)
            if let found = index(of: varied) {
              result.append(found)
              break
            }
            value += direction
          }
        }
      }
    }
    return result
  }
}
