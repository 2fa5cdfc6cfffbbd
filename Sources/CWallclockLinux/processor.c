#include <errno.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CWallclockLinux.h"

#if defined(__x86_64__)
#include <cpuid.h>

wcl_cpuid_registers wcl_cpuid(uint32_t leaf, uint32_t subleaf) {
  wcl_cpuid_registers r = {0, 0, 0, 0};
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

uint64_t wcl_xcr0(void) {
  if (!(wcl_cpuid(1, 0).ecx & (1u << 27))) return 0;  // OSXSAVE
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
}

int wcl_request_amx(void) {
  enum { ARCH_REQ_XCOMP_PERM_ = 0x1023, XFEATURE_XTILEDATA_ = 18 };  // Documentation/arch/x86/xstate.rst
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_, XFEATURE_XTILEDATA_) == 0 ? 0 : -errno;
}
#else
wcl_cpuid_registers wcl_cpuid(uint32_t leaf, uint32_t subleaf) {
  (void)leaf, (void)subleaf;
  return (wcl_cpuid_registers){0, 0, 0, 0};
}

uint64_t wcl_xcr0(void) { return 0; }

int wcl_request_amx(void) { return -ENOSYS; }
#endif

uint64_t wcl_hwcap(int which) {
#if defined(__aarch64__)
  return which == 1 ? getauxval(AT_HWCAP) : which == 2 ? getauxval(AT_HWCAP2) : 0;
#else
  (void)which;
  return 0;
#endif
}
