// Rows of f32 to s8, u8 (s8 + 128), s16 and bf16; the formula stands in quantize.hpp. bf16 is made by
// integer steps, not by VCVTNEPS2BF16, which would flush subnormals.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "../common/lanes_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
#include "quantize.hpp"

namespace {

WC_INLINE __mmask16 mask_of(size_t left) { return wc::first_mask_avx512(left < 16 ? left : 16); }

// What a row's codes are made with.
struct mapping {
  __m512 centre, reciprocal;
};

// Up to 16 codes from x; those beyond the mask mean nothing.
WC_INLINE __m512i codes(const float *x, __mmask16 mask, mapping m) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x), m.centre), m.reciprocal));
}

// 64 codes as s8, in order: the packs work within 128-bit lanes, the permutation undoes that.
WC_INLINE __m512i codes_s8(const float *x, mapping m) {
  const __m512i low = _mm512_packs_epi32(codes(x, 0xffff, m), codes(x + 16, 0xffff, m));
  const __m512i high = _mm512_packs_epi32(codes(x + 32, 0xffff, m), codes(x + 48, 0xffff, m));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
}

WC_INLINE extent range_of(const float *x, size_t columns) {
  constexpr int chains = 4;
  const __m512 first = _mm512_set1_ps(x[0]), zero = _mm512_setzero_ps();
  // `poison` stays zero unless a value is a NaN or an infinity.
  __m512 low[chains], high[chains], poison[chains];
  for (int i = 0; i < chains; ++i) low[i] = high[i] = first, poison[i] = zero;
  size_t c = 0;
  for (; c + 16 * chains <= columns; c += 16 * chains) {
#pragma unroll
    for (int i = 0; i < chains; ++i) {
      const __m512 v = _mm512_loadu_ps(x + c + 16 * i);
      low[i] = _mm512_min_ps(low[i], v);
      high[i] = _mm512_max_ps(high[i], v);
      poison[i] = _mm512_fmadd_ps(v, zero, poison[i]);
    }
  }
  for (; c < columns; c += 16) {
    const __m512 v = _mm512_mask_loadu_ps(first, mask_of(columns - c), x + c);
    low[0] = _mm512_min_ps(low[0], v);
    high[0] = _mm512_max_ps(high[0], v);
    poison[0] = _mm512_fmadd_ps(v, zero, poison[0]);
  }
  for (int i = 1; i < chains; ++i) {
    low[0] = _mm512_min_ps(low[0], low[i]);
    high[0] = _mm512_max_ps(high[0], high[i]);
    poison[0] = _mm512_add_ps(poison[0], poison[i]);
  }
  const bool finite = _mm512_cmp_ps_mask(poison[0], poison[0], _CMP_UNORD_Q) == 0;
  return {_mm512_reduce_min_ps(low[0]), _mm512_reduce_max_ps(high[0]), finite};
}

WC_INLINE uint32_t greatest_bits(const float *x, size_t columns) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i g0 = _mm512_setzero_si512(), g1 = g0, g2 = g0, g3 = g0;
  size_t c = 0;
  for (; c + 64 <= columns; c += 64) {
    g0 = _mm512_max_epi32(g0, _mm512_and_si512(_mm512_loadu_si512(x + c), magnitude));
    g1 = _mm512_max_epi32(g1, _mm512_and_si512(_mm512_loadu_si512(x + c + 16), magnitude));
    g2 = _mm512_max_epi32(g2, _mm512_and_si512(_mm512_loadu_si512(x + c + 32), magnitude));
    g3 = _mm512_max_epi32(g3, _mm512_and_si512(_mm512_loadu_si512(x + c + 48), magnitude));
  }
  for (; c < columns; c += 16) {
    const __m512i v = _mm512_maskz_loadu_epi32(mask_of(columns - c), x + c);
    g0 = _mm512_max_epi32(g0, _mm512_and_si512(v, magnitude));
  }
  const __m512i g = _mm512_max_epi32(_mm512_max_epi32(g0, g1), _mm512_max_epi32(g2, g3));
  return static_cast<uint32_t>(_mm512_reduce_max_epi32(g));
}

// s8, and u8 by flipping the top bit.
template <typename Element, int offset>
struct quantize_bytes {
  using element = Element;
  static constexpr Element zero = static_cast<Element>(offset);

  static WC_INLINE uint32_t greatest(const float *x, size_t columns) { return greatest_bits(x, columns); }
  static WC_INLINE extent range(const float *x, size_t columns) { return range_of(x, columns); }

  static WC_INLINE void write(const float *x, size_t columns, float centre, float reciprocal, Element *q) {
    const mapping m{_mm512_set1_ps(centre), _mm512_set1_ps(reciprocal)};
    const __m128i flip = _mm_set1_epi8(static_cast<char>(offset));
    size_t c = 0;
    for (; c + 64 <= columns; c += 64) {
      _mm512_storeu_si512(
          q + c, _mm512_xor_si512(codes_s8(x + c, m), _mm512_set1_epi8(static_cast<char>(offset))));
    }
    for (; c + 16 <= columns; c += 16) {
      const __m128i v = _mm512_cvtepi32_epi8(codes(x + c, 0xffff, m));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(q + c), _mm_xor_si128(v, flip));
    }
    if (c < columns) {
      const __mmask16 mask = mask_of(columns - c);
      const __m128i v = _mm512_cvtepi32_epi8(codes(x + c, mask, m));
      _mm_mask_storeu_epi8(q + c, mask, _mm_xor_si128(v, flip));
    }
  }

  static WC_INLINE int32_t group_sum(const Element *q, size_t count) {
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(offset));
    const __m512i ones8 = _mm512_set1_epi8(1), ones16 = _mm512_set1_epi16(1);
    __m512i sum = _mm512_setzero_si512();
    if (count == 32) {
      const __m256i v = _mm256_xor_si256(
          _mm256_loadu_si256(reinterpret_cast<const __m256i *>(q)), _mm512_castsi512_si256(flip));
      const __m256i pairs = _mm256_maddubs_epi16(_mm512_castsi512_si256(ones8), v);
      const __m256i quads = _mm256_madd_epi16(pairs, _mm512_castsi512_si256(ones16));
      __m128i s = _mm_add_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
      s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
      return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
    }
    for (size_t c = 0; c < count; c += 64) {
      const size_t left = count - c;
      const __mmask64 mask = left < 64 ? (uint64_t{1} << left) - 1 : ~uint64_t{0};
      const __m512i v = _mm512_mask_loadu_epi8(flip, mask, q + c);
      const __m512i pairs = _mm512_maddubs_epi16(ones8, _mm512_xor_si512(v, flip));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones16));
    }
    return _mm512_reduce_add_epi32(sum);
  }
};

struct quantize_s16 {
  using element = int16_t;
  static constexpr int16_t zero = 0;

  static WC_INLINE uint32_t greatest(const float *x, size_t columns) { return greatest_bits(x, columns); }
  static WC_INLINE extent range(const float *x, size_t columns) { return range_of(x, columns); }

  static WC_INLINE void write(const float *x, size_t columns, float centre, float reciprocal, int16_t *q) {
    const mapping m{_mm512_set1_ps(centre), _mm512_set1_ps(reciprocal)};
    for (size_t c = 0; c < columns; c += 16) {
      const __mmask16 mask = mask_of(columns - c);
      _mm256_mask_storeu_epi16(q + c, mask, _mm512_cvtepi32_epi16(codes(x + c, mask, m)));
    }
  }

  static WC_INLINE int32_t group_sum(const int16_t *q, size_t count) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t c = 0; c < count; c += 32) {
      const size_t left = count - c;
      const __mmask32 mask = left < 32 ? (uint32_t{1} << left) - 1 : ~uint32_t{0};
      const __m512i v = _mm512_maskz_loadu_epi16(mask, q + c);
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(v, _mm512_set1_epi16(1)));
    }
    return _mm512_reduce_add_epi32(sum);
  }
};

// bf16_of on sixteen values.
WC_INLINE __m256i bf16_of_sixteen(__m512 v) {
  const __m512i bits = _mm512_castps_si512(v), high = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40)));
}

}  // namespace

extern "C" wc_status quantize_f32s8_avx512(const wc_rowwise_args *g) {
  return quantize_rows<quantize_bytes<int8_t, 0>>(*g);
}

extern "C" wc_status quantize_f32u8_avx512(const wc_rowwise_args *g) {
  return quantize_rows<quantize_bytes<uint8_t, 128>>(*g);
}

extern "C" wc_status quantize_f32s16_avx512(const wc_rowwise_args *g) {
  return quantize_rows<quantize_s16>(*g);
}

extern "C" wc_status quantize_f32bf16_avx512(const wc_rowwise_args *g) {
  if (g->ldq < g->columns) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g->rows; ++r) {
    const float *x = g->x + r * g->ldx;
    uint16_t *q = static_cast<uint16_t *>(g->q) + r * g->ldq;
    for (size_t c = 0; c < g->columns; c += 16) {
      const __mmask16 mask = mask_of(g->columns - c);
      _mm256_mask_storeu_epi16(q + c, mask, bf16_of_sixteen(_mm512_maskz_loadu_ps(mask, x + c)));
    }
    for (size_t c = g->columns; c < g->ldq; ++c) q[c] = 0;
  }
  return WC_OK;
}
WC_TARGET_END
#endif
