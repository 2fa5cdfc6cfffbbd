// Compute probes on 512-bit vectors. Every chain is an accumulator of its own; the empty asm makes
// operands and accumulators opaque after each step, so that nothing is hoisted, shared or folded.
// Rates count multiply-adds of the named type, two operations each, and no helper instruction.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

WC_TARGET_BEGIN(avx512)
namespace {

WC_INLINE void opaque(__m512 &v) { asm volatile("" : "+v"(v)); }
WC_INLINE void opaque(__m512i &v) { asm volatile("" : "+v"(v)); }

template <int chains>
double probe_f32_avx512(size_t iterations, const void *, size_t) {
  __m512 sum[chains], x = _mm512_set1_ps(1e-3f), y = x;
  for (__m512 &s : sum) s = _mm512_setzero_ps();
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm512_fmadd_ps(x, y, sum[c]);
      opaque(sum[c]);
    }
  }
  return 2.0 * 16 * chains * static_cast<double>(iterations);
}

// bf16 pairs widened by a shift and a mask; each widened vector feeds `reuse` multiply-adds, as it
// would in a tile of that many rows.
template <int chains, int reuse>
double probe_bf16_fma_avx512(size_t iterations, const void *, size_t) {
  static_assert(chains % (2 * reuse) == 0);
  __m512 sum[chains], x = _mm512_set1_ps(1e-3f);
  __m512i packed = _mm512_set1_epi16(0x3a83), high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (__m512 &s : sum) s = _mm512_setzero_ps();
  opaque(x);
  opaque(high);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; c += 2 * reuse) {
      opaque(packed);
      const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(packed, 16));
      const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(packed, high));
#pragma clang loop unroll(full)
      for (int r = 0; r < reuse; ++r) {
        sum[c + r] = _mm512_fmadd_ps(x, even, sum[c + r]);
        sum[c + reuse + r] = _mm512_fmadd_ps(x, odd, sum[c + reuse + r]);
        opaque(sum[c + r]);
        opaque(sum[c + reuse + r]);
      }
    }
  }
  return 2.0 * 16 * chains * static_cast<double>(iterations);
}

// Values widened to 16 bits: VPMADDWD, VPADDD.
template <int chains>
double probe_int8_maddwd_avx512(size_t iterations, const void *, size_t) {
  __m512i sum[chains], x = _mm512_set1_epi16(3), y = _mm512_set1_epi16(-5);
  for (__m512i &s : sum) s = _mm512_setzero_si512();
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      opaque(x);
      sum[c] = _mm512_add_epi32(sum[c], _mm512_madd_epi16(x, y));
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * chains * static_cast<double>(iterations);
}

// u8 × s8: VPMADDUBSW, VPMADDWD, VPADDD.
template <int chains>
double probe_int8_maddubs_avx512(size_t iterations, const void *, size_t) {
  __m512i sum[chains], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-5), ones = _mm512_set1_epi16(1);
  for (__m512i &s : sum) s = _mm512_setzero_si512();
  opaque(y);
  opaque(ones);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      opaque(x);
      sum[c] = _mm512_add_epi32(sum[c], _mm512_madd_epi16(_mm512_maddubs_epi16(x, y), ones));
      opaque(sum[c]);
    }
  }
  return 2.0 * 64 * chains * static_cast<double>(iterations);
}

// u4 × s8: VPMADDUBSW added up in 16 bits `period` times (eight at most stay in range, a pair being
// at most 2·15·128), then VPMADDWD and VPADDD. The codes come two to a byte; each unpacked pair of
// vectors feeds all chains.
template <int chains, int period>
double probe_int4_maddubs_avx512(size_t iterations, const void *, size_t) {
  static_assert(period % 2 == 0 && period <= 8);
  __m512i sum[chains], pairs[chains], packed = _mm512_set1_epi8(0x21), x = _mm512_set1_epi8(-1);
  const __m512i low = _mm512_set1_epi8(15);
  __m512i ones = _mm512_set1_epi16(1);
  for (__m512i &s : sum) s = _mm512_setzero_si512();
  opaque(ones);
  for (size_t i = 0; i < iterations; ++i) {
    for (__m512i &s : pairs) s = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (int step = 0; step < period; step += 2) {
      opaque(packed);
      const __m512i even = _mm512_and_si512(packed, low);
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low);
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) {
        opaque(x);
        pairs[c] = _mm512_add_epi16(pairs[c], _mm512_maddubs_epi16(even, x));
        pairs[c] = _mm512_add_epi16(pairs[c], _mm512_maddubs_epi16(odd, x));
        opaque(pairs[c]);
      }
    }
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm512_add_epi32(sum[c], _mm512_madd_epi16(pairs[c], ones));
      opaque(sum[c]);
    }
  }
  return 2.0 * 64 * chains * period * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(avx512vnni)
namespace {

template <int chains>
double probe_int8_vnni(size_t iterations, const void *, size_t) {
  __m512i sum[chains], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-5);
  for (__m512i &s : sum) s = _mm512_setzero_si512();
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm512_dpbusd_epi32(sum[c], x, y);
      opaque(sum[c]);
    }
  }
  return 2.0 * 64 * chains * static_cast<double>(iterations);
}

// One group of 4-bit codes a turn: `steps` = group / 4 VPDPBUSD a chain, codes unpacked two vectors at
// a time for all chains, then the group's scale: conversion and FMA. `scaled` false leaves that out.
template <int chains, int steps, bool scaled>
double probe_int4_vnni(size_t iterations, const void *, size_t) {
  static_assert(steps % 2 == 0);
  __m512i packed = _mm512_set1_epi8(0x21), x = _mm512_set1_epi8(-1);
  const __m512i low = _mm512_set1_epi8(15);
  __m512i sum[chains];
  __m512 total[chains], scale = _mm512_set1_ps(1e-3f);
  for (__m512i &s : sum) s = _mm512_setzero_si512();
  for (__m512 &t : total) t = _mm512_setzero_ps();
  opaque(x);
  opaque(scale);
  for (size_t i = 0; i < iterations; ++i) {
    if (scaled) {
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) {
        sum[c] = _mm512_setzero_si512();
        opaque(sum[c]);
      }
    }
#pragma clang loop unroll(full)
    for (int step = 0; step < steps; step += 2) {
      opaque(packed);
      const __m512i even = _mm512_and_si512(packed, low);
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low);
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) sum[c] = _mm512_dpbusd_epi32(sum[c], even, x);
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) {
        sum[c] = _mm512_dpbusd_epi32(sum[c], odd, x);
        opaque(sum[c]);
      }
    }
    if (scaled) {
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) {
        total[c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[c]), scale, total[c]);
        opaque(total[c]);
      }
    }
  }
  return 2.0 * 64 * chains * steps * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(avx512bf16)
namespace {

template <int chains>
double probe_bf16_dot(size_t iterations, const void *, size_t) {
  __m512 sum[chains];
  __m512i bits = _mm512_set1_epi16(0x3a83);
  for (__m512 &s : sum) s = _mm512_setzero_ps();
  opaque(bits);
  const __m512bh x = __builtin_bit_cast(__m512bh, bits);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = _mm512_dpbf16_ps(sum[c], x, x);
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * chains * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END
#endif
