// Read probes: `streams` equal parts of the range read side by side, every byte loaded once, and a
// software prefetch `distance` bytes ahead in each. Loads are or-ed into registers that the empty asm
// keeps alive. What does not fill a block of `streams`×128 bytes at the end is not read nor counted.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

constexpr size_t read_block = 128;  // bytes a stream advances by in one step

struct read_scalar {
  uint64_t seen = 0;
  WC_INLINE void take(const char *p) {
#pragma clang loop unroll(full)
    for (size_t b = 0; b < read_block; b += 8) seen |= *reinterpret_cast<const uint64_t *>(p + b);
    asm volatile("" : "+r"(seen));
  }
};

}  // namespace

#if defined(__x86_64__)
WC_TARGET_BEGIN(avx2)
namespace {
struct read_avx2 {
  __m256i seen = {};
  WC_INLINE void take(const char *p) {
#pragma clang loop unroll(full)
    for (size_t b = 0; b < read_block; b += 32) {
      seen = _mm256_or_si256(seen, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + b)));
    }
    asm volatile("" : "+x"(seen));
  }
};
}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(avx512)
namespace {
struct read_avx512 {
  __m512i seen = {};
  WC_INLINE void take(const char *p) {
#pragma clang loop unroll(full)
    for (size_t b = 0; b < read_block; b += 64) seen = _mm512_or_si512(seen, _mm512_loadu_si512(p + b));
    asm volatile("" : "+v"(seen));
  }
};
}  // namespace
WC_TARGET_END
#endif

#if defined(__aarch64__)
WC_TARGET_BEGIN(neon)
namespace {
struct read_neon {
  uint8x16_t seen = {};
  WC_INLINE void take(const char *p) {
#pragma clang loop unroll(full)
    for (size_t b = 0; b < read_block; b += 16) {
      seen = vorrq_u8(seen, vld1q_u8(reinterpret_cast<const uint8_t *>(p + b)));
    }
    asm volatile("" : "+w"(seen));
  }
};
}  // namespace
WC_TARGET_END
#endif

// The walk is the same for every load width; it is expanded once in each region.
#define WC_READ_PROBE(isa)                                                             \
  namespace {                                                                          \
  template <int streams, int distance>                                                 \
  double probe_read_##isa(size_t iterations, const void *data, size_t bytes) {         \
    const size_t part = bytes / (streams * read_block) * read_block;                   \
    for (size_t i = 0; i < iterations; ++i) {                                          \
      const char *first = static_cast<const char *>(data);                             \
      asm volatile("" : "+r"(first) : : "memory");                                     \
      read_##isa seen[streams];                                                        \
      for (size_t b = 0; b < part; b += read_block) {                                  \
        _Pragma("clang loop unroll(full)") for (int s = 0; s < streams; ++s) {         \
          const char *p = first + static_cast<size_t>(s) * part + b;                   \
          if (distance) {                                                              \
            __builtin_prefetch(p + distance);                                          \
            __builtin_prefetch(p + distance + 64);                                     \
          }                                                                            \
          seen[s].take(p);                                                             \
        }                                                                              \
      }                                                                                \
    }                                                                                  \
    return static_cast<double>(part) * streams * static_cast<double>(iterations);      \
  }                                                                                    \
  }

WC_READ_PROBE(scalar)
#if defined(__x86_64__)
WC_TARGET_BEGIN(avx2)
WC_READ_PROBE(avx2)
WC_TARGET_END
WC_TARGET_BEGIN(avx512)
WC_READ_PROBE(avx512)
WC_TARGET_END
#elif defined(__aarch64__)
WC_TARGET_BEGIN(neon)
WC_READ_PROBE(neon)
WC_TARGET_END
#endif
#undef WC_READ_PROBE
