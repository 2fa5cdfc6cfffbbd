import WallclockCore

/// Instruction sets from cpuid and XCR0 on x86-64, from the auxiliary vector on Arm: never from a
/// model name, which lies in virtual machines.
enum Features {
  static func isa(_ source: some SystemSource) -> [ISA] {
    switch source.architecture {
    case "x86_64": x86(source)
    case "aarch64": arm(source)
    default: [.scalar]
    }
  }

  /// Bits as in the Intel SDM vol. 2A, CPUID; what the kernel saves as in vol. 1 §13.3. A feature
  /// counts only when the kernel saves its registers: else the first use faults.
  private static func x86(_ source: some SystemSource) -> [ISA] {
    func bit(_ register: UInt32, _ n: Int) -> Bool { register >> UInt32(n) & 1 == 1 }
    let most = source.cpuid(0, 0).eax
    let one = source.cpuid(1, 0)
    let none = CPUIDRegisters()
    let seven = most >= 7 ? source.cpuid(7, 0) : none
    let sevenOne = most >= 7 && seven.eax >= 1 ? source.cpuid(7, 1) : none
    let xcr0 = bit(one.ecx, 27) ? source.xcr0 : 0
    let savesYMM = xcr0 & 0x6 == 0x6
    let savesZMM = xcr0 & 0xe6 == 0xe6
    let savesTiles = xcr0 & 0x60000 == 0x60000

    var isa: [ISA] = [.scalar]
    let avx2 =
      savesYMM && bit(one.ecx, 28) && bit(one.ecx, 12) && bit(one.ecx, 29) && bit(seven.ebx, 5)
    guard avx2 else { return isa }
    isa.append(.avx2)
    if bit(sevenOne.eax, 4) { isa.append(.avxvnni) }
    let avx512 =
      savesZMM && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31)
    guard avx512 else { return isa }
    isa.append(.avx512)
    if bit(seven.ecx, 11) { isa.append(.avx512vnni) }
    if bit(sevenOne.eax, 5) { isa.append(.avx512bf16) }
    let int8 = bit(seven.edx, 25), bf16 = bit(seven.edx, 22)
    if savesTiles && bit(seven.edx, 24) && (int8 || bf16) && source.amxPermitted {
      if int8 { isa.append(.amxint8) }
      if bf16 { isa.append(.amxbf16) }
    }
    return isa
  }

  /// Bits as in the kernel's arch/arm64/include/uapi/asm/hwcap.h.
  private static func arm(_ source: some SystemSource) -> [ISA] {
    let (one, two) = source.hwcap
    var isa: [ISA] = [.scalar]
    guard one >> 1 & 1 == 1 else { return isa }  // ASIMD
    isa.append(.neon)
    if one >> 20 & 1 == 1 { isa.append(.neondot) }  // ASIMDDP
    if two >> 13 & 1 == 1 { isa.append(.neoni8mm) }  // I8MM
    if two >> 14 & 1 == 1 { isa.append(.neonbf16) }  // BF16
    return isa
  }

  /// Vendor and model name: for people and for identity, not for choosing code.
  static func name(_ source: some SystemSource) -> (vendor: String, model: String) {
    let processors = Parsing.cpuinfo(source.text("/proc/cpuinfo"))
    if source.architecture == "x86_64" {
      let zero = source.cpuid(0, 0)
      let vendor = ascii([zero.ebx, zero.edx, zero.ecx])
      var model = ""
      if source.cpuid(0x8000_0000, 0).eax >= 0x8000_0004 {
        model = ascii(
          (0x8000_0002...0x8000_0004).flatMap { leaf -> [UInt32] in
            let r = source.cpuid(UInt32(leaf), 0)
            return [r.eax, r.ebx, r.ecx, r.edx]
          })
      }
      return (
        vendor.isEmpty ? "unknown" : vendor,
        model.isEmpty ? processors.first?["model name"] ?? "unknown" : model
      )
    }
    let first = processors.first ?? [:]
    let vendor = first["CPU implementer"].map { armImplementers[$0] ?? "implementer \($0)" }
    // big.LITTLE has more than one part; all of them are the machine's identity.
    var parts: [String] = []
    for part in processors.compactMap({ $0["CPU part"] }) where !parts.contains(part) { parts.append(part) }
    let known = parts.map { vendor == "Arm" ? armParts[$0] ?? "part \($0)" : "part \($0)" }
    return (vendor ?? "unknown", known.isEmpty ? "unknown" : known.joined(separator: " + "))
  }

  /// Main ID Register, Arm Architecture Reference Manual, MIDR_EL1.
  private static let armImplementers = [
    "0x41": "Arm", "0x43": "Cavium", "0x48": "HiSilicon", "0x46": "Fujitsu", "0x4e": "NVIDIA",
    "0x51": "Qualcomm", "0x61": "Apple", "0xc0": "Ampere", "0x6d": "Microsoft",
  ]
  private static let armParts = [
    "0xd0c": "Neoverse-N1", "0xd49": "Neoverse-N2", "0xd8e": "Neoverse-N3", "0xd40": "Neoverse-V1",
    "0xd4f": "Neoverse-V2", "0xd84": "Neoverse-V3", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76", "0xd03": "Cortex-A53", "0xd05": "Cortex-A55",
  ]

  private static func ascii(_ words: [UInt32]) -> String {
    let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    let text = bytes.prefix { $0 != 0 }.map { (32..<127).contains($0) ? Character(UnicodeScalar($0)) : " " }
    return String(text).split(separator: " ").joined(separator: " ")
  }
}
