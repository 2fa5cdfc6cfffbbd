// Subnormal numbers as zeros: a state that decays passes through them, and they stall some processors.
#pragma once

#include <stdint.h>

namespace wc {

// While one of these lives, this thread reads and makes zeros for subnormal floats; its end restores what the
// caller had set.
class denormals_as_zero {
 public:
#if defined(__x86_64__)
  denormals_as_zero() : saved_(__builtin_ia32_stmxcsr()) {
    __builtin_ia32_ldmxcsr(saved_ | 0x8040);  // flush to zero, denormals are zero
  }
  ~denormals_as_zero() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  uint32_t saved_;
#elif defined(__aarch64__)
  denormals_as_zero() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | uint64_t{1} << 24) : "memory");  // FZ
  }
  ~denormals_as_zero() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_) : "memory"); }

 private:
  uint64_t saved_;
#else
  denormals_as_zero() {}
  ~denormals_as_zero() {}
#endif
  denormals_as_zero(const denormals_as_zero &) = delete;
  denormals_as_zero &operator=(const denormals_as_zero &) = delete;
};

}  // namespace wc
