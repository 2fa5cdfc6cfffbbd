import ArgumentParser
import Wallclock

@main
struct WallclockCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wallclock",
    abstract: "Measures this host and says which compression settings are really faster on it.",
    discussion: """
      Start with:
        wallclock tune --quick --model MODEL
        wallclock plan MODEL --batch 1 --prompt 128
      MODEL is a Hugging Face directory, a config.json, or a built-in name
      (`wallclock plan --list-models`).
      """,
    version: Wallclock.version,
    subcommands: [
      HostCommand.self, BenchCommand.self, TuneCommand.self, ProfileCommand.self, PlanCommand.self,
      ExplainCommand.self, RunCommand.self, VerifyCommand.self, TuneWorkerCommand.self, TuneMeasureCommand.self,
      BackendWorkerCommand.self,
    ])
}
