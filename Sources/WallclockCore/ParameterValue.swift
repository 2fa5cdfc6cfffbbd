/// One value of a tuning parameter: a block size, a kernel's name, a switch.
public enum ParameterValue: Hashable, Sendable {
  case integer(Int)
  case number(Double)
  case string(String)
  case bool(Bool)

  /// The value as a number, where it is one: what models of a space interpolate over.
  public var numeric: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    case .bool(let value): value ? 1 : 0
    case .string: nil
    }
  }

  /// Whether both mean the same setting: 1 and 1.0 do.
  public func means(_ other: ParameterValue) -> Bool {
    switch (self, other) {
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.string, _), (_, .string): false
    default: numeric == other.numeric
    }
  }
}

extension ParameterValue: CustomStringConvertible {
  /// As Python's `str` writes it, which keys of Kernel Tuner's caches are made of.
  public var description: String {
    switch self {
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): value
    case .bool(let value): value ? "True" : "False"
    }
  }
}
