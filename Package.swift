// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is written under the same rules; see Sources/Wallclock/Wallclock.docc.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]

/// A Swift module under Sources/, from the ground up: it imports only what `imports` names.
func module(
  _ name: String, imports: [Target.Dependency] = [], resources: [Resource] = [],
  linking: [LinkerSetting] = []
) -> Target {
  .target(
    name: name, dependencies: imports, resources: resources, swiftSettings: strict,
    linkerSettings: linking)
}

/// The tests of one module.
func tests(
  of name: String, also imports: [Target.Dependency] = [], resources: [Resource] = []
) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.byName(name: name), "WallclockTestSupport"] + imports,
    resources: resources, swiftSettings: strict)
}

let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "wallclock",
  products: [
    .executable(name: "wallclock", targets: ["WallclockCLI"]),
    .library(name: "Wallclock", targets: ["Wallclock"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
  ],
  targets: [
    .target(name: "CWallclockKernels", path: "kernels", exclude: ["backends", "check", "README.md"]),
    .target(
      name: "CWallclockLinux",
      linkerSettings: [.linkedLibrary("numa"), .linkedLibrary("pfm")]),
    module("WallclockCore"),
    module("WallclockMachine", imports: ["WallclockCore", "CWallclockLinux"]),
    module("WallclockKernels", imports: ["WallclockCore", "WallclockMachine", "CWallclockKernels"]),
    module("WallclockThreads", imports: ["WallclockCore", "WallclockMachine", "CWallclockLinux"]),
    module("WallclockCounters", imports: ["WallclockCore", "WallclockMachine", "CWallclockLinux"]),
    module("WallclockMeasure", imports: ["WallclockKernels", "WallclockThreads", "WallclockCounters"]),
    module(
      "WallclockProfiles", imports: ["WallclockCore", grdb], resources: [.copy("../../profiles")]),
    module("WallclockTuner", imports: ["WallclockMeasure", "WallclockProfiles", "CWallclockLinux"]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    module("WallclockFormats", imports: ["WallclockCore", "CZlib"]),
    module("WallclockModels", imports: ["WallclockCore", "WallclockFormats"]),
    module("WallclockPlanner", imports: ["WallclockModels", "WallclockProfiles"]),
    module(
      "WallclockRuntime",
      imports: ["WallclockPlanner", "WallclockKernels", "WallclockThreads", "WallclockFormats"]),
    module("Wallclock", imports: ["WallclockTuner", "WallclockRuntime"]),
    .executableTarget(
      name: "WallclockCLI", dependencies: ["Wallclock", arguments], swiftSettings: strict),

    .target(name: "CWallclockInstructionModel", path: "kernels/check", sources: ["model.cpp"]),
    .target(
      name: "WallclockTestSupport", dependencies: ["WallclockCore", "WallclockKernels"],
      path: "Tests/WallclockTestSupport", swiftSettings: strict),
    tests(of: "WallclockCore"),
    tests(of: "WallclockMachine"),
    tests(
      of: "WallclockKernels",
      also: ["WallclockMachine", "WallclockThreads", "CWallclockKernels", "CWallclockInstructionModel"],
      resources: [.copy("Fixtures")]),
    tests(of: "WallclockThreads"),
    tests(of: "WallclockCounters"),
    tests(
      of: "WallclockMeasure",
      also: ["WallclockCore", "WallclockKernels", "WallclockMachine", "WallclockThreads"]),
    tests(of: "WallclockProfiles"),
    tests(
      of: "WallclockTuner",
      also: [
        "Wallclock", "WallclockCore", "WallclockFormats", "WallclockKernels", "WallclockMachine",
        "WallclockProfiles",
      ]),
    tests(of: "WallclockFormats", resources: [.copy("Fixtures")]),
    tests(of: "WallclockModels"),
    tests(of: "WallclockPlanner"),
    tests(
      of: "WallclockRuntime", also: ["WallclockFormats", "WallclockModels", "WallclockThreads"],
      resources: [.copy("Fixtures")]),
  ],
  cxxLanguageStandard: .cxx20
)
