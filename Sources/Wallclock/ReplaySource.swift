public import WallclockFormats
public import WallclockTuner

extension KernelTunerCache {
  /// A measured space as a file: its times become milliseconds, its failures `RuntimeFailedConfig`.
  public init(_ measured: MeasuredSpace) {
    let space = measured.space
    self.init(
      deviceName: "none", kernelName: measured.name, problemSize: [1],
      parameters: space.parameters.map { .init(name: $0.name, values: $0.values) },
      entries: measured.evaluations.enumerated().map { point, evaluation in
        let outcome: Outcome =
          if case .time(let time) = evaluation { .time(time, samples: []) } else { .failure("RuntimeFailedConfig") }
        return Entry(coordinates: space.coordinates(of: point).map(Int.init), outcome: outcome)
      })
    start = measured.start.map { space.coordinates(of: $0).map(Int.init) }
  }
}

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
