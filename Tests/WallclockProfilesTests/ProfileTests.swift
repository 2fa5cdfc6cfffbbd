import Foundation
import Testing
import WallclockCore
import WallclockTestSupport

@testable import WallclockProfiles

import struct WallclockCore.Measurement

@Suite struct ProfileTests {
  @Test func roundTripsAndIsCanonical() throws {
    let profile = Fixture.profile()
    let data = try profile.encoded()
    let again = try Profile.decode(data, source: "test")
    #expect(again == profile)
    #expect(try again.encoded() == data)
    #expect(data.last == UInt8(ascii: "\n"))
    let text = String(decoding: data, as: UTF8.self)
    #expect(text.contains("\"medianNanoseconds\" : 1234.5"))
    #expect(text.range(of: "\"ceilings\"")!.lowerBound < text.range(of: "\"command\"")!.lowerBound)
  }

  @Test func matchesItsSchema() throws {
    let schema = try JSONSchema(named: "profile-v1.json")
    #expect(try schema.violations(in: Fixture.profile().encoded()) == [])
    var bare = Fixture.profile()
    (bare.alternatives, bare.noiseFloor, bare.modelError, bare.fingerprint.cpuQuota) = (nil, nil, nil, nil)
    #expect(try schema.violations(in: bare.encoded()) == [])
  }

  @Test func schemaSeesDamage() throws {
    let schema = try JSONSchema(named: "profile-v1.json")
    let text = String(decoding: try Fixture.profile().encoded(), as: UTF8.self)
    for (good, bad) in [
      ("\"schemaVersion\" : 1", "\"schemaVersion\" : 2"), ("\"avx2\"", "\"avx3\""),
      ("\"medianNanoseconds\" : 1234.5", "\"medianNanoseconds\" : 0"), ("\"noiseFloor\"", "\"noisefloor\""),
      ("2026-01-02T03:04:05Z", "yesterday"),
    ] {
      #expect(text.contains(good))
      #expect(try !schema.violations(in: Data(text.replacing(good, with: bad).utf8)).isEmpty, "\(bad)")
    }
  }

  /// Each damage, what the error must say, and its code.
  @Test(arguments: [
    ("\"schemaVersion\" : 1", "\"schemaVersion\" : 7", "schemaVersion 7", ProfileError.Code.newerSchema),
    ("\"schemaVersion\" : 1", "\"schemaVersion\" : 0", "schemaVersion 0", .invalid),
    ("\"schemaVersion\" : 1", "\"schemaVersion\" : \"1\"", "schemaVersion", .invalid),
    ("\"command\" :", "\"comand\" :", "\"command\" is missing", .invalid),
    ("\"medianNanoseconds\" : 1234.5", "\"medianNanoseconds\" : -3", "-3", .invalid),
    ("\"medianNanoseconds\" : 1234.5", "\"medianNanoseconds\" : NaN", "JSON", .invalid),
    ("\"medianNanoseconds\" : 1234.5", "\"medianNanoseconds\" : 1e999", "JSON", .invalid),
    ("\"medianNanoseconds\" : 1234.5", "\"medianNanoseconds\" : 99999", "outside its interval", .invalid),
    ("\"worstErrorOverTolerance\" : 0.125", "\"worstErrorOverTolerance\" : 3", "wrong kernel", .invalid),
    ("\"n\" : 384", "\"n\" : 4611686018427387904", "n is", .invalid),
    ("\"n\" : 384", "\"n\" : -1", "n is -1", .invalid),
    ("\"threads\" : 1", "\"threads\" : 0", "thread", .invalid),
    ("\"f32\",", "\"f33\",", "f33", .invalid),
    ("\"value\" : 57.6", "\"value\" : 0", "ceiling f32", .invalid),
    ("\"kc\" : 256", "\"kc\" : -256", "knob", .invalid),
  ])
  func refusesDamage(good: String, bad: String, says: String, code: ProfileError.Code) throws {
    let text = String(decoding: try Fixture.profile().encoded(), as: UTF8.self)
    try #require(text.contains(good))
    let error = try #require(throws: ProfileError.self) {
      try Profile.decode(Data(text.replacing(good, with: bad).utf8), source: "damaged.json")
    }
    #expect(error.code == code)
    #expect(error.exitStatus == .badData)
    #expect(error.message.contains(says), "\(error.message)")
  }

  @Test func everyTruncationIsRefused() throws {
    let data = try Fixture.profile().encoded()
    for length in stride(from: 0, to: data.count - 2, by: 37) {
      #expect(throws: ProfileError.self) { try Profile.decode(data.prefix(length), source: "cut") }
    }
  }

  @Test func keepsUnknownKernels() throws {
    let profile = Fixture.profile([Fixture.measurement(kernel: "gemm_of_tomorrow")])
    #expect(try Profile.decode(profile.encoded(), source: "test") == profile)
  }

  @Test func refusesDoubleWinnersAndNaN() {
    #expect(throws: ProfileError.self) {
      try Fixture.profile([Fixture.measurement(), Fixture.measurement(nanoseconds: 7)]).encoded()
    }
    var profile = Fixture.profile()
    profile.noiseFloor = .nan
    #expect(throws: ProfileError.self) { try profile.encoded() }
  }

  @Test func refusesAnotherMachine() throws {
    let profile = Fixture.profile()
    try profile.validate(against: Fixture.fingerprint)
    var host = Fixture.fingerprint
    host.nodes[0].memoryBytes += 4096
    try profile.validate(against: host)
    host.microcode = "0x2"
    host.cpuset = [1]
    let error = try #require(throws: ProfileError.self) { try profile.validate(against: host) }
    #expect(error.code == .otherMachine)
    #expect(error.exitStatus == .badData)
    #expect(error.message.contains("microcode: expected 0x1, found 0x2"))
    #expect(error.message.contains("cpuset: expected 0,1, found 1"))
    #expect(!error.message.contains("cpuModel"))
    #expect(host.identityHash != Fixture.fingerprint.identityHash)
  }

  @Test func filesAreWholeOrAbsent() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appending(path: "deep/er/p.json")
    try Fixture.profile().write(to: file)
    try Fixture.profile([Fixture.measurement(nanoseconds: 9)]).write(to: file)
    #expect(try Profile.read(from: file).measurements[0].samples.medianNanoseconds == 9)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: file.deletingLastPathComponent().path()) == [
        "p.json"
      ])

    let missing = try #require(throws: ProfileError.self) {
      try Profile.read(from: folder.url.appending(path: "no.json"))
    }
    #expect(missing.exitStatus == .noInput)
    let aFolder = try #require(throws: ProfileError.self) { try Profile.read(from: folder.url) }
    #expect(aFolder.exitStatus == .noInput)
    let blocked = try #require(throws: ProfileError.self) {
      try Fixture.profile().write(to: file.appending(path: "under-a-file.json"))
    }
    #expect(blocked.exitStatus == .cannotCreate)
    let tooLarge = try #require(throws: ProfileError.self) {
      try DurableFile.read(file, limit: 10, noun: "profile")
    }
    #expect(tooLarge.exitStatus == .badData)
  }

  @Test func storeFindsByNameAndMachine() throws {
    let folder = try TemporaryFolder()
    let shipped = folder.url.appending(component: "shipped")
    let store = try ProfileStore(folder: folder.url.appending(component: "own"), shipped: shipped)
    #expect(try store.list().isEmpty)
    var other = Fixture.profile()
    other.name = "other"
    other.fingerprint.cpuModel = "Another"
    try other.write(to: shipped.appending(component: "other.json"))
    try store.save(Fixture.profile())
    #expect(try store.list().map(\.name) == ["example", "other"])
    #expect(try store.profile(named: "other") == other)
    #expect(try store.profile(named: shipped.appending(component: "other.json").path()) == other)
    #expect(try store.profile(of: Fixture.fingerprint).name == "example")
    var host = Fixture.fingerprint
    host.kernelRelease = "7"
    try Data("{".utf8).write(to: store.folder.appending(component: "damaged.json"))
    let none = try #require(throws: ProfileError.self) { try store.profile(of: host) }
    #expect(none.exitStatus == .noInput)
    #expect(none.message.contains("the nearest, example, differs in kernelRelease: expected 6.1.0, found 7"))
    #expect(none.message.contains("damaged.json"))
    #expect(throws: ProfileError.self) { try store.profile(named: "none") }
    var evil = Fixture.profile()
    evil.name = "../evil"
    #expect(throws: ProfileError.self) { try store.save(evil) }
  }

  /// A shipped profile of the very machine stands in for one of its own, and never before it.
  @Test func itsOwnComesBeforeWhatIsShipped() throws {
    let folder = try TemporaryFolder()
    let shipped = folder.url.appending(component: "shipped")
    let store = try ProfileStore(folder: folder.url.appending(path: "data/profiles"), shipped: shipped)
    var known = Fixture.profile()
    known.name = "known"
    known.updatedAt = "2100-01-01T00:00:00Z"
    try known.write(to: shipped.appending(component: "known.json"))
    #expect(try store.profile(of: Fixture.fingerprint) == known)

    let journal = try Journal.open(at: folder.url.appending(path: "data/journal.sqlite"))
    let session = try journal.beginTune(
      on: Fixture.fingerprint, command: "tune", wallclockVersion: "0.1.0", conditions: Fixture.conditions)
    #expect(try store.profile(of: Fixture.fingerprint) == known, "nothing is settled yet")
    #expect(throws: ProfileError.self) { try journal.profile(of: Fixture.fingerprint, name: "p") }
    try session.settle(with: Fixture.measurement(m: 3))
    #expect(try store.profile(of: Fixture.fingerprint).measurements == [Fixture.measurement(m: 3)])
    try store.save(Fixture.profile())
    #expect(try store.profile(of: Fixture.fingerprint).name == "example")
  }

  /// Every profile in the repository is valid, by its schema and by the reader.
  @Test func committedProfilesAreValid() throws {
    let machines = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../profiles/machines").standardized
    let schema = try JSONSchema(named: "profile-v1.json")
    let files =
      (try? FileManager.default.contentsOfDirectory(at: machines, includingPropertiesForKeys: nil)) ?? []
    for file in files where file.pathExtension == "json" {
      let profile = try Profile.read(from: file)
      #expect(try schema.violations(in: Data(contentsOf: file)) == [], "\(file.lastPathComponent)")
      #expect(try profile.encoded() == Data(contentsOf: file), "\(file.lastPathComponent) is not canonical")
    }
  }

  @Test func dataHomeFollowsXDG() throws {
    #expect(
      try DataHome.folder(environment: ["XDG_DATA_HOME": "/data", "HOME": "/home/u"]).path()
        == "/data/wallclock")
    #expect(
      try DataHome.folder(environment: ["XDG_DATA_HOME": "relative", "HOME": "/home/u"]).path()
        == "/home/u/.local/share/wallclock")
    #expect(throws: ProfileError.self) { try DataHome.folder(environment: [:]) }
  }

  @Test func diffComparesSpeeds() {
    var second = Fixture.profile([Fixture.measurement(nanoseconds: 1_234.5 / 2), Fixture.measurement(m: 16)])
    second.ceilings[0].value *= 3
    second.fingerprint.microcode = "0x9"
    let diff = ProfileDiff(Fixture.profile(), second)
    #expect(diff.entries.map(\.ratio).map { ($0 * 1000).rounded() } == [3000, 2000])
    #expect(diff.entries[0].isCeiling && diff.entries[0].subject == "f32")
    #expect(diff.onlyInSecond.count == 1 && diff.onlyInFirst.isEmpty)
    #expect(diff.machine == ["microcode: expected 0x1, found 0x9"])
  }
}
