// Compute probes without vectors. One turn advances every chain by one multiply-add; the empty asm
// keeps the compiler from joining turns or chains.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

namespace {

#if defined(__x86_64__)
#define WC_FLOAT_REGISTER "+x"
#else
#define WC_FLOAT_REGISTER "+w"
#endif

template <int chains>
double probe_f32_scalar(size_t iterations, const void *, size_t) {
  float sum[chains] = {}, x = 1e-3f;
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] += x * x;
      asm volatile("" : WC_FLOAT_REGISTER(sum[c]), WC_FLOAT_REGISTER(x));
    }
  }
  return 2.0 * chains * static_cast<double>(iterations);
}

// bf16 operands widened by a shift.
template <int chains>
double probe_bf16_scalar(size_t iterations, const void *, size_t) {
  float sum[chains] = {};
  uint32_t x = 0x3a83u;
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      asm volatile("" : "+r"(x));
      const float wide = __builtin_bit_cast(float, x << 16);
      sum[c] += wide * wide;
      asm volatile("" : WC_FLOAT_REGISTER(sum[c]));
    }
  }
  return 2.0 * chains * static_cast<double>(iterations);
}

template <int chains>
double probe_int8_scalar(size_t iterations, const void *, size_t) {
  int32_t sum[chains] = {}, x = 3, y = -5;
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      asm volatile("" : "+r"(x));
      sum[c] += x * y;
      asm volatile("" : "+r"(sum[c]));
    }
  }
  return 2.0 * chains * static_cast<double>(iterations);
}

// Two 4-bit codes from one byte, each times an 8-bit value.
template <int chains>
double probe_int4_scalar(size_t iterations, const void *, size_t) {
  int32_t sum[chains] = {}, y = -5;
  uint32_t codes = 0x7a;
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      asm volatile("" : "+r"(codes));
      sum[c] += static_cast<int32_t>(codes & 15u) * y + static_cast<int32_t>(codes >> 4) * y;
      asm volatile("" : "+r"(sum[c]), "+r"(y));
    }
  }
  return 4.0 * chains * static_cast<double>(iterations);
}

#undef WC_FLOAT_REGISTER

}  // namespace
