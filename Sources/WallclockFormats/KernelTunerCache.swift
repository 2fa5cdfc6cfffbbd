public import WallclockCore

/// A measured search space in Kernel Tuner's cache format: parameters, and for each legal
/// configuration its time or why it has none.
///
/// The format: an object with `tune_params_keys`, `tune_params` and `cache`, whose members are named
/// `v1,v2,…` and hold the configuration, `time` (milliseconds, or the text of a failure) and `times`.
/// Kernel Tuner appends to it as it measures and leaves the last braces out when it is stopped.
public struct KernelTunerCache: Sendable {
  public struct Parameter: Sendable, Equatable {
    public var name: String
    public var values: [ParameterValue]
    public init(name: String, values: [ParameterValue]) {
      self.name = name
      self.values = values
    }
  }

  public enum Outcome: Sendable, Equatable {
    /// Milliseconds: the mean, as Kernel Tuner keeps it, and the samples where they are known.
    case time(Double, samples: [Double])
    /// `InvalidConfig`, `CompilationFailedConfig`, `RuntimeFailedConfig`, or another program's word.
    case failure(String)
  }

  public struct Entry: Sendable, Equatable {
    /// For each parameter, which of its values.
    public var coordinates: [Int]
    public var outcome: Outcome
    public init(coordinates: [Int], outcome: Outcome) {
      self.coordinates = coordinates
      self.outcome = outcome
    }
  }

  public var deviceName: String
  public var kernelName: String
  public var problemSize: [Int]
  public var parameters: [Parameter]
  /// In the file's order; a configuration occurs once.
  public var entries: [Entry]
  /// Configurations that a model of the machine recommends, best first, in a member of our own,
  /// `wallclock_start`, which Kernel Tuner passes over; empty where there is none.
  public var start: [[Int]] = []
  /// The last braces were missing: the writer was stopped, and there may be more configurations.
  public var isOpen = false

  public init(
    deviceName: String, kernelName: String, problemSize: [Int] = [], parameters: [Parameter],
    entries: [Entry] = []
  ) {
    self.deviceName = deviceName
    self.kernelName = kernelName
    self.problemSize = problemSize
    self.parameters = parameters
    self.entries = entries
  }

  /// The name of a configuration in the file.
  public func key(_ coordinates: [Int]) -> String {
    zip(parameters, coordinates).map { "\($0.values[$1])" }.joined(separator: ",")
  }

  // What a file from outside may claim at most.
  static let maximumFileBytes = 1 << 30
  static let maximumTextBytes = 1 << 30
  static let maximumParameters = 64
  static let maximumValues = 1 << 16
  static let maximumEntries = 4_000_000
  /// What Kernel Tuner wrote for a failure before it wrote words.
  static let failureTime = 1e20

  /// Reads a plain or gzip-compressed file.
  public static func read(_ path: String) throws(FormatError) -> KernelTunerCache {
    let bytes = try InputFile.read(path, limit: maximumFileBytes)
    return try parse(bytes, source: path)
  }

  package static func parse(
    _ bytes: [UInt8], source: String, limit: Int = maximumTextBytes
  ) throws(FormatError) -> KernelTunerCache {
    let text = Gzip.isCompressed(bytes) ? try Gzip.expand(bytes, limit: limit, source: source) : bytes
    var reader = try KernelTunerCacheReader(text, source: source)
    return try reader.read()
  }
}
