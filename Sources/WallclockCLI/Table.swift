/// Aligned plain text: the first column to the left, numbers to the right.
struct Table {
  private let header: [String]
  private let rows: [[String]]

  init(_ header: [String], _ rows: [[String]]) {
    self.header = header
    self.rows = rows
  }

  func rendered() -> String {
    let all = [header] + rows
    let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    // A column of words is set to the left; one whose cells begin like numbers to the right.
    let numeric = header.indices.map { column in
      !rows.isEmpty && rows.allSatisfy { row in
        row[column].first.map { $0.isNumber || "±−-–".contains($0) } ?? true
      }
    }
    return all.map { row in
      row.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return numeric[column] && column > 0 ? padding + row[column] : row[column] + padding
      }.joined(separator: "  ").trimmingTrailingSpaces
    }.joined(separator: "\n")
  }
}

extension String {
  fileprivate var trimmingTrailingSpaces: String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
