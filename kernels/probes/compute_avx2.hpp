// Compute probes on 256-bit vectors. Every chain is an accumulator of its own; the empty asm makes
// operands and accumulators opaque after each step, so that nothing is hoisted, shared or folded.
// Rates count multiply-adds of the named type, two operations each, and no helper instruction.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

WC_TARGET_BEGIN(avx2)
namespace {

WC_INLINE void opaque(__m256 &v) { asm volatile("" : "+x"(v)); }
WC_INLINE void opaque(__m256i &v) { asm volatile("" : "+x"(v)); }

template <int chains>
double probe_f32_avx2(size_t iterations, const void *, size_t) {
  __m256 sum[chains], x = _mm256_set1_ps(1e-3f), y = x;
  for (__m256 &s : sum) s = _mm256_setzero_ps();
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm256_fmadd_ps(x, y, sum[c]);
      opaque(sum[c]);
    }
  }
  return 2.0 * 8 * chains * static_cast<double>(iterations);
}

// bf16 pairs widened by a shift and a mask; each widened vector feeds `reuse` multiply-adds, as it
// would in a tile of that many rows.
template <int chains, int reuse>
double probe_bf16_fma_avx2(size_t iterations, const void *, size_t) {
  static_assert(chains % (2 * reuse) == 0);
  __m256 sum[chains], x = _mm256_set1_ps(1e-3f);
  __m256i packed = _mm256_set1_epi16(0x3a83), high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  for (__m256 &s : sum) s = _mm256_setzero_ps();
  opaque(x);
  opaque(high);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; c += 2 * reuse) {
      opaque(packed);
      const __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(packed, 16));
      const __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(packed, high));
#pragma clang loop unroll(full)
      for (int r = 0; r < reuse; ++r) {
        sum[c + r] = _mm256_fmadd_ps(x, even, sum[c + r]);
        sum[c + reuse + r] = _mm256_fmadd_ps(x, odd, sum[c + reuse + r]);
        opaque(sum[c + r]);
        opaque(sum[c + reuse + r]);
      }
    }
  }
  return 2.0 * 8 * chains * static_cast<double>(iterations);
}

// Values widened to 16 bits: VPMADDWD, VPADDD.
template <int chains>
double probe_int8_maddwd_avx2(size_t iterations, const void *, size_t) {
  __m256i sum[chains], x = _mm256_set1_epi16(3), y = _mm256_set1_epi16(-5);
  for (__m256i &s : sum) s = _mm256_setzero_si256();
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      opaque(x);
      sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(x, y));
      opaque(sum[c]);
    }
  }
  return 2.0 * 16 * chains * static_cast<double>(iterations);
}

// u8 × s8: VPMADDUBSW, VPMADDWD, VPADDD.
template <int chains>
double probe_int8_maddubs_avx2(size_t iterations, const void *, size_t) {
  __m256i sum[chains], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-5), ones = _mm256_set1_epi16(1);
  for (__m256i &s : sum) s = _mm256_setzero_si256();
  opaque(y);
  opaque(ones);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      opaque(x);
      sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * chains * static_cast<double>(iterations);
}

// u4 × s8: VPMADDUBSW added up in 16 bits `period` times (eight at most stay in range, a pair being
// at most 2·15·128), then VPMADDWD and VPADDD. The codes come two to a byte; each unpacked pair of
// vectors feeds all chains.
template <int chains, int period>
double probe_int4_maddubs_avx2(size_t iterations, const void *, size_t) {
  static_assert(period % 2 == 0 && period <= 8);
  __m256i sum[chains], pairs[chains], packed = _mm256_set1_epi8(0x21), x = _mm256_set1_epi8(-1);
  const __m256i low = _mm256_set1_epi8(15);
  __m256i ones = _mm256_set1_epi16(1);
  for (__m256i &s : sum) s = _mm256_setzero_si256();
  opaque(ones);
  for (size_t i = 0; i < iterations; ++i) {
    for (__m256i &s : pairs) s = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int step = 0; step < period; step += 2) {
      opaque(packed);
      const __m256i even = _mm256_and_si256(packed, low);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low);
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) {
        opaque(x);
        pairs[c] = _mm256_add_epi16(pairs[c], _mm256_maddubs_epi16(even, x));
        pairs[c] = _mm256_add_epi16(pairs[c], _mm256_maddubs_epi16(odd, x));
        opaque(pairs[c]);
      }
    }
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(pairs[c], ones));
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * chains * period * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(avxvnni)
namespace {

template <int chains>
double probe_int8_avxvnni(size_t iterations, const void *, size_t) {
  __m256i sum[chains], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-5);
  for (__m256i &s : sum) s = _mm256_setzero_si256();
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm256_dpbusd_avx_epi32(sum[c], x, y);
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * chains * static_cast<double>(iterations);
}

// u4 × s8: the codes come two to a byte; each unpacked pair of vectors feeds all chains.
template <int chains>
double probe_int4_avxvnni(size_t iterations, const void *, size_t) {
  __m256i sum[chains], packed = _mm256_set1_epi8(0x21), x = _mm256_set1_epi8(-1);
  const __m256i low = _mm256_set1_epi8(15);
  for (__m256i &s : sum) s = _mm256_setzero_si256();
  opaque(x);
  for (size_t i = 0; i < iterations; ++i) {
    opaque(packed);
    const __m256i even = _mm256_and_si256(packed, low);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low);
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) sum[c] = _mm256_dpbusd_avx_epi32(sum[c], even, x);
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm256_dpbusd_avx_epi32(sum[c], odd, x);
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * 2 * chains * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END
#endif
