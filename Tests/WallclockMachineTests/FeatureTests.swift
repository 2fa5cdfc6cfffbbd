import Testing
import WallclockCore

@testable import WallclockMachine

@Suite struct FeatureTests {
  private static let avx = [12, 27, 28, 29]  // FMA, OSXSAVE, AVX, F16C
  private static let avx512 = [5, 16, 17, 30, 31]  // AVX2, F, DQ, BW, VL

  @Test func zen4() {
    var source = RecordedSource()
    source.setFeatures(leaf1ecx: Self.avx, leaf7ebx: Self.avx512, leaf7ecx: [11], leaf71eax: [5])
    source.xcr0 = 0xe7
    #expect(Features.isa(source) == [.scalar, .avx2, .avx512, .avx512vnni, .avx512bf16])
  }

  @Test func sapphireRapids() {
    var source = RecordedSource()
    source.setFeatures(
      leaf1ecx: Self.avx, leaf7ebx: Self.avx512, leaf7ecx: [11], leaf7edx: [22, 24, 25], leaf71eax: [4, 5])
    source.xcr0 = 0x600e7
    source.amxPermitted = true
    let vector: [ISA] = [.scalar, .avx2, .avxvnni, .avx512, .avx512vnni, .avx512bf16]
    #expect(Features.isa(source) == vector + [.amxint8, .amxbf16])
    source.amxPermitted = false
    #expect(Features.isa(source) == vector, "the kernel does not grant tiles")
    source.amxPermitted = true
    source.xcr0 = 0xe7
    #expect(Features.isa(source) == vector, "the kernel does not save tiles")
  }

  @Test func whatTheKernelDoesNotSaveIsNotThere() {
    var source = RecordedSource()
    source.setFeatures(leaf1ecx: Self.avx, leaf7ebx: Self.avx512, leaf7ecx: [11], leaf71eax: [4, 5])
    source.xcr0 = 0x7
    #expect(Features.isa(source) == [.scalar, .avx2, .avxvnni], "no AVX-512 state")
    source.xcr0 = 0x3
    #expect(Features.isa(source) == [.scalar], "no AVX state")
    source.setFeatures(leaf1ecx: [12, 28, 29], leaf7ebx: Self.avx512)
    source.xcr0 = 0xe7
    #expect(Features.isa(source) == [.scalar], "no OSXSAVE: xgetbv may not be asked")
  }

  @Test func alderLakeHasVNNIWithoutAVX512() {
    var source = RecordedSource()
    source.setFeatures(leaf1ecx: Self.avx, leaf7ebx: [5], leaf71eax: [4])
    source.xcr0 = 0x7
    #expect(Features.isa(source) == [.scalar, .avx2, .avxvnni])
  }

  @Test func everyPartOfAVX2AndAVX512IsNeeded() {
    for missing in [12, 28, 29] {
      var source = RecordedSource()
      source.setFeatures(leaf1ecx: Self.avx.filter { $0 != missing }, leaf7ebx: Self.avx512)
      source.xcr0 = 0xe7
      #expect(Features.isa(source) == [.scalar])
    }
    for missing in [16, 17, 30, 31] {
      var source = RecordedSource()
      source.setFeatures(leaf1ecx: Self.avx, leaf7ebx: Self.avx512.filter { $0 != missing }, leaf7ecx: [11])
      source.xcr0 = 0xe7
      #expect(Features.isa(source) == [.scalar, .avx2], "Knights Landing, for one, has F without BW")
    }
  }

  @Test func arm() {
    var source = RecordedSource()
    source.architecture = "aarch64"
    #expect(Features.isa(source) == [.scalar])
    source.hwcap = (1 << 1, 0)
    #expect(Features.isa(source) == [.scalar, .neon])
    source.hwcap = (1 << 1 | 1 << 20, 1 << 13 | 1 << 14)
    #expect(Features.isa(source) == [.scalar, .neon, .neondot, .neoni8mm, .neonbf16])
    source.files["/proc/cpuinfo"] = """
      processor\t: 0
      CPU implementer\t: 0x41
      CPU part\t: 0xd4f
      CPU revision\t: 1

      processor\t: 1
      CPU implementer\t: 0x41
      CPU part\t: 0xd4f
      CPU revision\t: 1
      """
    source.affinity = [0, 1]
    let machine = Machine(reading: source).fingerprint
    #expect((machine.cpuVendor, machine.cpuModel) == ("Arm", "Neoverse-V2"))
    #expect(machine.microcode == "revision 1")
  }

  @Test func names() {
    var source = RecordedSource()
    source.setFeatures(leaf1ecx: [])
    source.leaves[[0x8000_0000, 0]] = CPUIDRegisters(eax: 0x8000_0004)
    let text = Array("  AMD  EPYC 9354 32-Core Processor".utf8) + [UInt8](repeating: 0, count: 14)
    for i in 0..<3 {
      let words = (0..<4).map { w in
        (0..<4).reduce(UInt32(0)) { $0 | UInt32(text[i * 16 + w * 4 + $1]) << UInt32(8 * $1) }
      }
      source.leaves[[0x8000_0002 + UInt32(i), 0]] =
        CPUIDRegisters(eax: words[0], ebx: words[1], ecx: words[2], edx: words[3])
    }
    let name = Features.name(source)
    #expect((name.vendor, name.model) == ("GenuineIntel", "AMD EPYC 9354 32-Core Processor"))
  }
}
