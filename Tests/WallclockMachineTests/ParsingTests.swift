import Testing
import WallclockCore

@testable import WallclockMachine

@Suite struct ParsingTests {
  @Test(arguments: [
    ("0-3,8,10-11\n", [0, 1, 2, 3, 8, 10, 11]), ("5", [5]), ("3,1,1-2", [1, 2, 3]), ("0\0", [0]),
  ] as [(String, [Int])]) func cpuLists(text: String, cpus: [Int]) {
    #expect(Parsing.cpuList(text) == cpus)
  }

  @Test(arguments: ["", " ", "a", "1-", "-1", "3-1", "1-2-3", "1,,2", "0-65536", "99999999999999999999"])
  func badCPULists(text: String) { #expect(Parsing.cpuList(text) == nil) }

  @Test(arguments: [("32K\n", 32768), ("8M", 8 << 20), ("1G", 1 << 30), ("512", 512)])
  func sizes(text: String, bytes: Int) { #expect(Parsing.byteSize(text) == bytes) }

  @Test(arguments: ["", "K", "0", "0K", "-4K", "9223372036854775807K", "2000G", "4X"])
  func badSizes(text: String) { #expect(Parsing.byteSize(text) == nil) }

  @Test func selectedWord() {
    #expect(Parsing.selected("always [madvise] never\n") == "madvise")
    for text in ["", "always", "[]", "]x[", "[never"] { #expect(Parsing.selected(text) == nil) }
  }

  @Test func quotaVersion2IsTheLeastOfTheAncestors() {
    var source = RecordedSource()
    source.files["/proc/self/cgroup"] = "0::/user.slice/app\n"
    source.files["/proc/self/mountinfo"] = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    source.files["/sys/fs/cgroup/user.slice/app/cpu.max"] = "max 100000\n"
    #expect(ControlGroup.cpuQuota(source) == nil)
    source.files["/sys/fs/cgroup/user.slice/cpu.max"] = "150000 100000\n"
    #expect(ControlGroup.cpuQuota(source) == 1.5)
    source.files["/sys/fs/cgroup/user.slice/app/cpu.max"] = "400000 100000\n"
    #expect(ControlGroup.cpuQuota(source) == 1.5)
    source.files["/sys/fs/cgroup/user.slice/app/cpu.max"] = "50000 100000\n"
    #expect(ControlGroup.cpuQuota(source) == 0.5)
  }

  @Test func quotaVersion1InAContainer() {
    var source = RecordedSource()
    source.files["/proc/self/cgroup"] = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"
    source.files["/proc/self/mountinfo"] = """
      41 32 0:36 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
      42 32 0:37 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct
      """
    source.files["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "-1\n"
    source.files["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"] = "100000\n"
    #expect(ControlGroup.cpuQuota(source) == nil)
    source.files["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "250000\n"
    #expect(ControlGroup.cpuQuota(source) == 2.5)
  }

  @Test func pathsOutsideTheNamespaceReadOnlyTheMount() {
    var source = RecordedSource()
    source.files["/proc/self/cgroup"] = "0::/../../etc\n"
    source.files["/proc/self/mountinfo"] = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
    source.files["/sys/fs/cgroup/../../etc/cpu.max"] = "1 1000"
    #expect(ControlGroup.cpuQuota(source) == nil)
    source.files["/sys/fs/cgroup/cpu.max"] = "2000 1000"
    #expect(ControlGroup.cpuQuota(source) == 2)
  }

  @Test func stealIsOfTheCPUsWeMayUse() {
    let text = """
      cpu  100 0 0 100 0 0 0 50 0 0
      cpu0 10 0 10 70 0 0 0 10 5 0
      cpu1 90 0 0 0 0 0 0 90 0 0
      intr 5
      """
    let times = CPUTimes(parsing: text, cpus: [0])
    #expect(times == CPUTimes(total: 100, stolen: 10))
    let later = CPUTimes(total: 300, stolen: 60)
    #expect(later.stealShare(since: times!) == 0.25)
    #expect(times!.stealShare(since: later) == 0, "a clock that runs backwards steals nothing")
    #expect(CPUTimes(parsing: "cpu0 1 2 3", cpus: [0]) == nil)
    #expect(CPUTimes(parsing: nil, cpus: [0]) == nil)
    #expect(CPUTimes(parsing: "cpu0 1 2 3 4", cpus: [0]) == CPUTimes(total: 10, stolen: 0), "before Linux 2.6.11")
  }

  @Test func conditions() {
    var source = RecordedSource()
    source.files["/sys/kernel/mm/transparent_hugepage/enabled"] = "always madvise [never]\n"
    source.files["/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor"] = "performance\n"
    source.files["/proc/loadavg"] = "1.25 0.5 0.1 2/300 4242\n"
    source.files["/proc/stat"] = "cpu3 50 0 0 40 0 0 0 10 0 0\n"
    let start = CPUTimes(total: 60, stolen: 0)
    #expect(
      Conditions.read(source, cpus: [3], since: start)
        == Conditions(transparentHugePages: "never", governor: "performance", loadAverage: 1.25, steal: 0.25))
  }

  @Test func hostConditions() {
    let start = CPUTimes.current()
    #expect(start != nil)
    let now = Conditions.current(since: start)
    #expect((0...1).contains(now.steal))
  }
}
