import Foundation
import WallclockCore

/// Kernel calls with their operands and expected results, for the case-runner in `kernels/check`.
///
/// The runner executes them where the test process cannot: on emulated CPUs and, cross-built, on other
/// architectures. The format, and which scalars and arrays each op takes, stand at the head of
/// `kernels/check/case_file.hpp`.
///
/// ```swift
/// let file = CaseFile([
///   KernelCase(
///     kernel: "gelu_f32_*", label: "3x17", scalars: ["rows": 3, "columns": 17],
///     arrays: [
///       .input("x", x, rows: 3, columns: 17, stride: 20),
///       .output("y", .f32, rows: 3, columns: 17, stride: 18, .elementwise(oracle, bounds: bounds)),
///     ])
/// ])
/// try file.write(to: path)   // then: check-kernels path, scripts/test-kernels-emulated path or scripts/test-arm path
/// ```
package struct CaseFile: Sendable {
  package static let version: UInt32 = 1
  package var cases: [KernelCase]

  package init(_ cases: [KernelCase] = []) { self.cases = cases }

  /// The whole file.
  package var bytes: [UInt8] {
    var body = CaseBytes()
    for one in cases { one.encode(into: &body) }
    var file = CaseBytes()
    file.append(name: "wccases", field: 8)
    file.append(Self.version)
    file.append(0x0102_0304 as UInt32)
    file.append(UInt64(cases.count))
    file.append(UInt64(40 + body.bytes.count))
    // FNV-1a, 64 bits.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in body.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    file.append(hash)
    return file.bytes + body.bytes
  }

  /// Writes the file, replacing one that is there.
  package func write(to path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }
}

/// One call, on every row of the kernel table that `kernel` fits.
package struct KernelCase: Sendable {
  /// A row's name, in which `*` stands for any characters. At most 63 ASCII characters.
  package var kernel: String
  /// Shown in the report, e.g. `m=7 n=33 k=64 bias`. At most 63 ASCII characters.
  package var label: String
  /// The fields of the argument struct that are numbers, and no leading dimension: those are strides.
  package var scalars: [String: Double]
  package var arrays: [CaseArray]

  package init(kernel: String, label: String, scalars: [String: Double], arrays: [CaseArray]) {
    self.kernel = kernel
    self.label = label
    self.scalars = scalars
    self.arrays = arrays
  }

  fileprivate func encode(into file: inout CaseBytes) {
    var record = CaseBytes()
    record.append(name: kernel, field: 64)
    record.append(name: label, field: 64)
    record.append(UInt32(scalars.count))
    record.append(UInt32(arrays.count))
    for (name, value) in scalars.sorted(by: { $0.key < $1.key }) {
      record.append(name: name, field: 16)
      record.append(value)
    }
    for array in arrays { array.encode(into: &record) }
    file.append(UInt64(8 + record.bytes.count))
    file.bytes += record.bytes
  }
}

/// How an output is judged.
package enum CaseExpectation<Element: CaseElement>: Sendable {
  /// The same bits.
  case exact([Element])
  /// |got − expected| ≤ absolute + relative·|expected|.
  case bound([Double], absolute: Double, relative: Double)
  /// |got − expected| ≤ the element's own bound.
  case elementwise([Double], bounds: [Double])
  /// ‖got − expected‖ ≤ relative·‖expected‖ + absolute, over the whole array.
  case frobenius([Double], relative: Double, absolute: Double)

  fileprivate var count: Int {
    switch self {
    case .exact(let values): values.count
    case .bound(let values, _, _), .elementwise(let values, _), .frobenius(let values, _, _): values.count
    }
  }
}

/// An operand: `rows × columns` elements given without gaps; in the call its rows lie `stride` apart, with
/// NaNs (as integers: −1) between them.
package struct CaseArray: Sendable {
  private var name: String
  private var alias: String
  private var type: String
  private var rows: Int
  private var columns: Int
  private var stride: Int
  private var rule: UInt32
  private var absolute = 0.0
  private var relative = 0.0
  private var blocks: [[UInt8]] = []
  private var role: UInt32

  /// An operand that is only read; the kernel's writes to it fault.
  package static func input<Element: CaseElement>(
    _ name: String, _ values: [Element], rows: Int = 1, columns: Int, stride: Int? = nil
  ) -> CaseArray {
    CaseArray(name, nil, rows, columns, stride, input: values, expectation: nil)
  }

  /// An operand that is only written; it holds NaNs before the call.
  package static func output<Element: CaseElement>(
    _ name: String, _ type: Element.Type, rows: Int = 1, columns: Int, stride: Int? = nil,
    _ expectation: CaseExpectation<Element>
  ) -> CaseArray {
    CaseArray(name, nil, rows, columns, stride, input: nil, expectation: expectation)
  }

  /// An operand that is read and overwritten, under one argument's name or two.
  package static func inPlace<Element: CaseElement>(
    _ name: String, alias: String? = nil, _ values: [Element], rows: Int = 1, columns: Int,
    stride: Int? = nil, _ expectation: CaseExpectation<Element>
  ) -> CaseArray {
    CaseArray(name, alias, rows, columns, stride, input: values, expectation: expectation)
  }

  private init<Element: CaseElement>(
    _ name: String, _ alias: String?, _ rows: Int, _ columns: Int, _ stride: Int?, input: [Element]?,
    expectation: CaseExpectation<Element>?
  ) {
    let count = rows * columns
    precondition(
      input.map { $0.count == count } ?? true,
      "case array \(name): \(input?.count ?? 0) values for \(rows) × \(columns)")
    precondition(
      expectation.map { $0.count == count } ?? true,
      "case array \(name): \(expectation?.count ?? 0) expected values for \(rows) × \(columns)")
    self.name = name
    self.alias = alias ?? ""
    self.type = Element.caseType
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
    role = (input == nil ? 0 : 1) | (expectation == nil ? 0 : 2)
    if let input { blocks.append(caseBytes(of: input)) }
    switch expectation {
    case nil:
      rule = 0
    case .exact(let values):
      rule = 1
      blocks.append(caseBytes(of: values))
    case .bound(let values, let absolute, let relative):
      rule = 2
      (self.absolute, self.relative) = (absolute, relative)
      blocks.append(caseBytes(of: values))
    case .elementwise(let values, let bounds):
      precondition(bounds.count == count, "case array \(name): \(bounds.count) bounds for \(count) values")
      rule = 3
      blocks += [caseBytes(of: values), caseBytes(of: bounds)]
    case .frobenius(let values, let relative, let absolute):
      rule = 4
      (self.absolute, self.relative) = (absolute, relative)
      blocks.append(caseBytes(of: values))
    }
  }

  fileprivate func encode(into file: inout CaseBytes) {
    file.append(name: name, field: 16)
    file.append(name: alias, field: 16)
    file.append(name: type, field: 8)
    file.append(role)
    file.append(rule)
    for size in [rows, columns, stride] { file.append(UInt64(size)) }
    file.append(absolute)
    file.append(relative)
    for block in blocks {
      file.bytes += block
      file.bytes += [UInt8](repeating: 0, count: (8 - block.count % 8) % 8)
    }
  }
}

/// An element of a case's array.
package protocol CaseElement: BitwiseCopyable, Sendable {
  static var caseType: String { get }
}

extension Float: CaseElement { package static var caseType: String { "f32" } }
extension Int8: CaseElement { package static var caseType: String { "s8" } }
extension UInt8: CaseElement { package static var caseType: String { "u8" } }
extension Int16: CaseElement { package static var caseType: String { "s16" } }
extension Int32: CaseElement { package static var caseType: String { "s32" } }
extension Double: CaseElement { package static var caseType: String { "f64" } }
extension Int64: CaseElement { package static var caseType: String { "s64" } }
/// The bits of a bf16.
extension UInt16: CaseElement { package static var caseType: String { "bf16" } }

/// The elements as they lie in memory: little-endian on every host Wallclock is built for.
private func caseBytes<Element: BitwiseCopyable>(of values: [Element]) -> [UInt8] {
  unsafe values.withUnsafeBytes { unsafe [UInt8]($0) }
}

private struct CaseBytes {
  var bytes: [UInt8] = []

  mutating func append(_ value: some FixedWidthInteger & BitwiseCopyable) {
    bytes += caseBytes(of: [value.littleEndian])
  }

  mutating func append(_ value: Double) { append(value.bitPattern) }

  mutating func append(name: String, field: Int) {
    let ascii = Array(name.utf8)
    precondition(
      ascii.count < field && ascii.allSatisfy { (0x20...0x7e).contains($0) },
      "case file: the name \"\(name)\" is not ASCII of at most \(field - 1) characters")
    bytes += ascii + [UInt8](repeating: 0, count: field - ascii.count)
  }
}
