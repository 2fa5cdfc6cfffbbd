import Foundation
import WallclockCore

/// A progress bar with the time left, on standard error when that is a terminal; else one line
/// every ten seconds.
final class Progress {
  private let title: String
  private let start = ContinuousClock.now
  private var lastShown: ContinuousClock.Instant?
  private var isDrawn = false

  init(_ title: String) { self.title = title }

  /// - Parameter detail: what is being worked on now.
  func update(done: Int, total: Int, detail: String) {
    let now = ContinuousClock.now
    let every: Duration = Output.errorIsTerminal ? .milliseconds(100) : .seconds(10)
    // Work that ends within two seconds needs no bar.
    guard now - start > .seconds(2), lastShown.map({ now - $0 > every }) ?? true, total > 0 else { return }
    lastShown = now
    let elapsed = (now - start) / .seconds(1)
    let left = done > 0 ? elapsed / Double(done) * Double(total - done) : .nan
    let time = left.isNaN ? "" : ", \(Int(left.rounded(.up))) s left"
    if Output.errorIsTerminal {
      let width = 24
      let filled = width * done / total
      let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: width - filled)
      let line = "\(title) \(bar) \(done)/\(total)\(time)  \(detail)"
      try? FileHandle.standardError.write(contentsOf: Data("\r\u{1B}[2K\(line.prefix(150))".utf8))
      isDrawn = true
    } else {
      Output.note("\(title): \(done)/\(total)\(time)  \(detail)")
    }
  }

  /// Prints a line above the bar.
  func note(_ line: String) {
    clear()
    Output.note(line)
  }

  func clear() {
    if isDrawn { try? FileHandle.standardError.write(contentsOf: Data("\r\u{1B}[2K".utf8)) }
    isDrawn = false
  }
}
