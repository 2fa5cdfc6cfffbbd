import WallclockCore

/// One run of a model under a workload, every weight in one format: which targets it is made of.
public struct ForwardPass: Hashable, Sendable, Codable {
  public struct Part: Hashable, Sendable, Codable {
    public var target: TuneTarget
    /// Occurrences in the pass.
    public var count: Int

    public init(_ target: TuneTarget, count: Int) {
      self.target = target
      self.count = count
    }
  }

  /// As the user named it.
  public var model: String
  /// `encode batch 1 × 128 tokens`.
  public var workload: String
  public var format: Format
  public var threads: Int
  public var parts: [Part]

  public init(model: String, workload: String, format: Format, threads: Int, parts: [Part]) {
    self.model = model
    self.workload = workload
    self.format = format
    self.threads = threads
    self.parts = parts
  }
}
