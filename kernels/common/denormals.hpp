// Denormals as zero for as long as an object lives: states that decay towards zero would otherwise slow
// every operation on them. The thread's control register is what it was afterwards.
#pragma once

#include <stdint.h>

#include "isa.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace wc {

class denormals_as_zero {
 public:
  WC_INLINE denormals_as_zero() : saved_(read()) { write(saved_ | flags); }
  WC_INLINE ~denormals_as_zero() { write(saved_); }
  denormals_as_zero(const denormals_as_zero &) = delete;
  denormals_as_zero &operator=(const denormals_as_zero &) = delete;

 private:
#if defined(__x86_64__)
  using word = uint32_t;
  static constexpr word flags = 0x8040;  // MXCSR: flush to zero, denormals are zero
  static WC_INLINE word read() { return _mm_getcsr(); }
  static WC_INLINE void write(word value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using word = uint64_t;
  static constexpr word flags = word{1} << 24;  // FPCR: flush to zero, inputs too
  static WC_INLINE word read() {
    word value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static WC_INLINE void write(word value) { __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#else
  using word = uint32_t;
  static constexpr word flags = 0;
  static WC_INLINE word read() { return 0; }
  static WC_INLINE void write(word) {}
#endif
  word saved_;
};

}  // namespace wc
