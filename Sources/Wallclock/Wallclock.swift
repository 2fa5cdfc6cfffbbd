@_exported import WallclockCore
@_exported import WallclockCounters
@_exported import WallclockFormats
@_exported import WallclockKernels
@_exported import WallclockMachine
@_exported import WallclockMeasure
@_exported import WallclockModels
@_exported import WallclockPlanner
@_exported import WallclockProfiles
@_exported import WallclockRuntime
@_exported import WallclockThreads
@_exported import WallclockTuner

/// The umbrella: everything a program needs to tune a host, plan for a model and run it.
public enum Wallclock {
  /// Of this build, as `wallclock --version` prints it and profiles record it.
  public static let version = "0.1.0"
}
