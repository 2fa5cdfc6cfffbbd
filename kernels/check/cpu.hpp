// What the CPU the runner stands on can execute, and the operating system lets it.
#pragma once

#include "CWallclockKernels.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace check {

inline const char *name_of(wc_isa isa) {
  switch (isa) {
    case WC_ISA_scalar: return "scalar";
    case WC_ISA_avx2: return "avx2";
    case WC_ISA_avxvnni: return "avxvnni";
    case WC_ISA_avx512: return "avx512";
    case WC_ISA_avx512vnni: return "avx512vnni";
    case WC_ISA_avx512bf16: return "avx512bf16";
    case WC_ISA_amxint8: return "amxint8";
    case WC_ISA_amxbf16: return "amxbf16";
    case WC_ISA_neon: return "neon";
    case WC_ISA_neondot: return "neondot";
    case WC_ISA_neoni8mm: return "neoni8mm";
    case WC_ISA_neonbf16: return "neonbf16";
  }
  return "unknown";
}

#if defined(__x86_64__)
// Linux gives tiles to a process that asks (Documentation/arch/x86/xstate.rst: ARCH_REQ_XCOMP_PERM, XTILEDATA).
inline bool tiles_permitted() {
  static const bool permitted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return permitted;
}

// The compiler's own run-time library asks cpuid and xgetbv.
inline bool has(wc_isa isa) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case WC_ISA_scalar: return true;
    case WC_ISA_avx2: return avx2;
    case WC_ISA_avxvnni: return avx2 && __builtin_cpu_supports("avxvnni");
    case WC_ISA_avx512: return avx512;
    case WC_ISA_avx512vnni: return avx512 && __builtin_cpu_supports("avx512vnni");
    case WC_ISA_avx512bf16: return avx512 && __builtin_cpu_supports("avx512bf16");
    case WC_ISA_amxint8: return avx512 && __builtin_cpu_supports("amx-int8") && tiles_permitted();
    case WC_ISA_amxbf16: return avx512 && __builtin_cpu_supports("amx-bf16") && tiles_permitted();
    default: return false;
  }
}
#elif defined(__aarch64__)
// Bit numbers: Linux, arch/arm64/include/uapi/asm/hwcap.h.
inline bool has(wc_isa isa) {
  const unsigned long one = getauxval(AT_HWCAP), two = getauxval(AT_HWCAP2);
  switch (isa) {
    case WC_ISA_scalar: return true;
    case WC_ISA_neon: return one >> 1 & 1;     // HWCAP_ASIMD
    case WC_ISA_neondot: return one >> 20 & 1;  // HWCAP_ASIMDDP
    case WC_ISA_neoni8mm: return two >> 13 & 1;  // HWCAP2_I8MM
    case WC_ISA_neonbf16: return two >> 14 & 1;  // HWCAP2_BF16
    default: return false;
  }
}
#else
inline bool has(wc_isa isa) { return isa == WC_ISA_scalar; }
#endif

}  // namespace check
