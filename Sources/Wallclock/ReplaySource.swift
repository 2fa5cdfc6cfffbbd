public import WallclockFormats
public import WallclockTuner

extension MeasuredSpace {
  /// The space of a file in Kernel Tuner's cache format.
  ///
  /// - Parameter name: what it is called in results: its path.
  public init(name: String, _ cache: KernelTunerCache) throws(TuneError) {
    let space = SearchSpace(
      parameters: cache.parameters.map { .init($0.name, $0.values) }, points: cache.entries.map(\.coordinates))
    try self.init(
      name: name, space: space,
      evaluations: cache.entries.map { entry in
        switch entry.outcome {
        case .time(let time, _): .time(time)
        case .failure: .failed
        }
      }, start: cache.start.compactMap { space.index(of: $0.map(UInt16.init)) })
  }
}
