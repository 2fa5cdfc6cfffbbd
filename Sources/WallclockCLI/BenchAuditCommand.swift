import ArgumentParser
import Wallclock

struct BenchAuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract: "Checks that integer kernels are exact on inputs made to break them.",
    discussion: """
      Examples:
        wallclock bench audit
        wallclock bench audit avx2 --json
      Runs every GEMM kernel with integer operands that this host has on factors at the ends of their range and
      compares each result with exact integer arithmetic. Exits 70 when one saturates or differs.
      """)

  @Argument(help: "Part of a kernel's name; without it all are run.") var filter: String?
  @OptionGroup var output: OutputOptions

  struct Report: Encodable {
    struct Kernel: Encodable {
      var kernel: String
      var isa: ISA
      var verdict: ExactnessAudit.Verdict
      /// Results compared.
      var results: Int
      /// The first that differed.
      var example: ExactnessAudit.Example?
    }
    var kernels: [Kernel] = []
    /// How many are exact.
    var exact = 0
  }

  func run() async throws {
    try await reportingFailures {
      Interruption.install()
      let kernels = ExactnessAudit.kernels(isas: Set(Machine.host.fingerprint.isa))
        .filter { filter.map($0.name.contains) ?? true }
      guard !kernels.isEmpty else {
        throw ValidationError("no integer kernel of this host has \"\(filter ?? "")\" in its name; see `wallclock bench kernel --list`")
      }
      let progress = Progress("auditing")
      defer { progress.clear() }
      var report = Report()
      for (index, kernel) in kernels.enumerated() {
        if Interruption.isRequested { throw CleanExit.message("interrupted after \(index) of \(kernels.count) kernels") }
        let finding = try ExactnessAudit.audit(kernel)
        report.kernels.append(
          Report.Kernel(
            kernel: finding.kernel, isa: finding.isa, verdict: finding.verdict, results: finding.results,
            example: finding.example))
        progress.update(done: index + 1, total: kernels.count, detail: kernel.name)
      }
      progress.clear()
      report.exact = report.kernels.count { $0.verdict == .exact }
      try output.print(report, text: Self.text(report))
      if report.exact < report.kernels.count { throw ExitCode(70) }
    }
  }

  static func text(_ report: Report) -> String {
    let lines = report.kernels.map { kernel in
      let found = kernel.example.map { ": expected \($0.expected), found \($0.found) with \($0.input)" } ?? ""
      return "  \(kernel.verdict.rawValue)  \(kernel.kernel)\(found)"
    }
    return lines.joined(separator: "\n") + "\n\(report.exact) of \(report.kernels.count) kernels are exact."
  }
}
