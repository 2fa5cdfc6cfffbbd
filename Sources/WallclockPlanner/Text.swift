import Foundation

// Numbers as people read them, and tables of them. Pure: no locale.

func fixed(_ value: Double, _ digits: Int) -> String {
  value.isFinite ? String(format: "%.\(digits)f", value) : "∞"
}

/// `0.62×`.
func times(_ ratio: Double) -> String { fixed(ratio, 2) + "×" }

/// `1.3 %`; two digits below one per cent.
func percent(_ share: Double) -> String { fixed(share * 100, abs(share) < 0.01 && share != 0 ? 2 : 1) + " %" }

func milliseconds(_ value: Double) -> String { fixed(value, value < 10 ? 3 : value < 100 ? 2 : 1) + " ms" }

/// `86.7 MiB`.
func bytes(_ count: Int) -> String {
  let value = Double(count)
  if value >= 0x1p30 { return fixed(value / 0x1p30, 2) + " GiB" }
  if value >= 0x1p20 { return fixed(value / 0x1p20, 1) + " MiB" }
  return fixed(value / 0x1p10, 1) + " KiB"
}

/// `1 thread`, `2 threads`.
func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

/// Columns padded to the widest cell, two spaces apart, without trailing space.
package struct TextTable {
  package enum Alignment { case left, right }
  package var columns: [(title: String, alignment: Alignment)]
  package var rows: [[String]] = []

  package init(columns: [(title: String, alignment: Alignment)]) { self.columns = columns }

  package var lines: [String] {
    let all = [columns.map(\.title)] + rows
    let widths = columns.indices.map { i in all.map { $0[i].count }.max() ?? 0 }
    return all.map { row in
      var line = ""
      for (i, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[i] - cell.count)
        line += (i == 0 ? "" : "  ") + (columns[i].alignment == .left ? cell + padding : padding + cell)
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
