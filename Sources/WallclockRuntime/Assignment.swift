import WallclockCore
import WallclockKernels
import WallclockModels
import WallclockPlanner

/// A format and a Schedule for each node of a graph: what a Plan says, or the standard ones.
public struct Assignment: Sendable {
  public struct Choice: Hashable, Sendable {
    public var format: Format
    public var schedule: Schedule
    public init(format: Format, schedule: Schedule) {
      self.format = format
      self.schedule = schedule
    }
  }

  public let choices: [String: Choice]
  public let threads: Int

  /// What `plan` chose.
  public init(_ plan: Plan) {
    choices = Dictionary(
      plan.settings.map { ($0.node, Choice(format: $0.format ?? .f32, schedule: $0.schedule)) },
      uniquingKeysWith: { first, _ in first })
    threads = plan.threads
  }

  /// Every weight in `format`, every node by its standard Schedule: how an untuned host runs.
  ///
  /// - Throws: `KernelError.unsupported` when no kernel of this build serves a node on `machine`.
  public init(
    format: Format, graph: ModelGraph, workload: Workload, threads: Int, machine: Fingerprint
  ) throws {
    var choices: [String: Choice] = [:]
    for node in graph.nodes {
      let problem = node.problem(workload, format: node.hasWeights ? format : .f32, state: .warm)
      choices[node.name] = Choice(
        format: problem.format,
        schedule: try ScheduleSpace.standard(for: problem, threads: threads, machine: machine))
    }
    self.choices = choices
    self.threads = threads
  }

  func choice(for node: String) throws(RuntimeError) -> Choice {
    guard let choice = choices[node] else {
      throw RuntimeError(.badPlan, "the plan has no entry for \(node); plan again for this model")
    }
    return choice
  }
}
