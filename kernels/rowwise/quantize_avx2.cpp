// Rows of f32 to s8, u8 (s8 + 128), s16 and bf16; the formula stands in quantize.hpp.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "quantize.hpp"

namespace {

// What a row's codes are made with.
struct mapping {
  __m256 centre, reciprocal;
};

WC_INLINE __m256i codes(const float *x, mapping m) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x), m.centre), m.reciprocal));
}

WC_INLINE extent range_of(const float *x, size_t columns) {
  using lanes = wc::lanes_avx2;
  const float first = x[0];
  const __m256 zero = lanes::set(0.0f);
  __m256 low0 = lanes::set(first), low1 = low0, high0 = low0, high1 = low0;
  // Stays zero unless a value is a NaN or an infinity.
  __m256 poison0 = zero, poison1 = zero;
  size_t c = 0;
  for (; c + 16 <= columns; c += 16) {
    const __m256 a = lanes::load(x + c), b = lanes::load(x + c + 8);
    low0 = _mm256_min_ps(low0, a);
    high0 = _mm256_max_ps(high0, a);
    low1 = _mm256_min_ps(low1, b);
    high1 = _mm256_max_ps(high1, b);
    poison0 = _mm256_fmadd_ps(a, zero, poison0);
    poison1 = _mm256_fmadd_ps(b, zero, poison1);
  }
  for (; c < columns; c += 8) {
    const size_t left = columns - c;
    const __m256 v = left < 8 ? lanes::keep_first(lanes::load_first(x + c, left), left, first) : lanes::load(x + c);
    low0 = _mm256_min_ps(low0, v);
    high0 = _mm256_max_ps(high0, v);
    poison0 = _mm256_fmadd_ps(v, zero, poison0);
  }
  const __m256 poison = _mm256_add_ps(poison0, poison1);
  const bool finite = _mm256_movemask_ps(_mm256_cmp_ps(poison, poison, _CMP_UNORD_Q)) == 0;
  const __m256 low = _mm256_xor_ps(_mm256_min_ps(low0, low1), lanes::set(-0.0f));
  return {-lanes::greatest(low), lanes::greatest(_mm256_max_ps(high0, high1)), finite};
}

// 32 codes as s8, in order: the packs work within 128-bit halves, the permutation undoes that.
WC_INLINE __m256i codes_s8(const float *x, mapping m) {
  const __m256i low = _mm256_packs_epi32(codes(x, m), codes(x + 8, m));
  const __m256i high = _mm256_packs_epi32(codes(x + 16, m), codes(x + 24, m));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}

WC_INLINE int32_t sum_s32(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s);
}

WC_INLINE uint32_t greatest_bits(const float *x, size_t columns) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i g0 = _mm256_setzero_si256(), g1 = g0, g2 = g0, g3 = g0;
  size_t c = 0;
  for (; c + 32 <= columns; c += 32) {
    const __m256i *p = reinterpret_cast<const __m256i *>(x + c);
    g0 = _mm256_max_epi32(g0, _mm256_and_si256(_mm256_loadu_si256(p), magnitude));
    g1 = _mm256_max_epi32(g1, _mm256_and_si256(_mm256_loadu_si256(p + 1), magnitude));
    g2 = _mm256_max_epi32(g2, _mm256_and_si256(_mm256_loadu_si256(p + 2), magnitude));
    g3 = _mm256_max_epi32(g3, _mm256_and_si256(_mm256_loadu_si256(p + 3), magnitude));
  }
  for (; c < columns; c += 8) {
    const size_t left = columns - c;
    const __m256i v = _mm256_castps_si256(wc::lanes_avx2::load_first(x + c, left < 8 ? left : 8));
    g0 = _mm256_max_epi32(g0, _mm256_and_si256(v, magnitude));
  }
  const __m256i g = _mm256_max_epi32(_mm256_max_epi32(g0, g1), _mm256_max_epi32(g2, g3));
  __m128i h = _mm_max_epi32(_mm256_castsi256_si128(g), _mm256_extracti128_si256(g, 1));
  h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0x4e));
  h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(h));
}

// s8, and u8 by flipping the top bit.
template <typename Element, int offset>
struct quantize_bytes {
  using element = Element;
  static constexpr Element zero = static_cast<Element>(offset);

  static WC_INLINE uint32_t greatest(const float *x, size_t columns) { return greatest_bits(x, columns); }
  static WC_INLINE extent range(const float *x, size_t columns) { return range_of(x, columns); }

  static WC_INLINE void write(const float *x, size_t columns, float centre, float reciprocal, Element *q) {
    const mapping m{_mm256_set1_ps(centre), _mm256_set1_ps(reciprocal)};
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(offset));
    size_t c = 0;
    for (; c + 32 <= columns; c += 32) {
      _mm256_storeu_si256(
          reinterpret_cast<__m256i *>(q + c), _mm256_xor_si256(codes_s8(x + c, m), flip));
    }
    if (c < columns) {
      float last[32] = {};
      Element out[32];
      memcpy(last, x + c, (columns - c) * sizeof(float));
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), _mm256_xor_si256(codes_s8(last, m), flip));
      memcpy(q + c, out, columns - c);
    }
  }

  static WC_INLINE int32_t group_sum(const Element *q, size_t count) {
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(offset));
    const __m256i ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    size_t c = 0;
    for (; c + 32 <= count; c += 32) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(q + c));
      const __m256i pairs = _mm256_maddubs_epi16(ones8, _mm256_xor_si256(v, flip));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones16));
    }
    int32_t total = sum_s32(sum);
    for (; c < count; ++c) total += q[c] - offset;
    return total;
  }
};

struct quantize_s16 {
  using element = int16_t;
  static constexpr int16_t zero = 0;

  static WC_INLINE uint32_t greatest(const float *x, size_t columns) { return greatest_bits(x, columns); }
  static WC_INLINE extent range(const float *x, size_t columns) { return range_of(x, columns); }

  static WC_INLINE __m256i codes_s16(const float *x, mapping m) {
    const __m256i v = _mm256_packs_epi32(codes(x, m), codes(x + 8, m));
    return _mm256_permute4x64_epi64(v, 0xd8);
  }

  static WC_INLINE void write(const float *x, size_t columns, float centre, float reciprocal, int16_t *q) {
    const mapping m{_mm256_set1_ps(centre), _mm256_set1_ps(reciprocal)};
    size_t c = 0;
    for (; c + 16 <= columns; c += 16) {
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(q + c), codes_s16(x + c, m));
    }
    if (c < columns) {
      float last[16] = {};
      int16_t out[16];
      memcpy(last, x + c, (columns - c) * sizeof(float));
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), codes_s16(last, m));
      memcpy(q + c, out, (columns - c) * sizeof(int16_t));
    }
  }

  static WC_INLINE int32_t group_sum(const int16_t *q, size_t count) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    size_t c = 0;
    for (; c + 16 <= count; c += 16) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(q + c));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(v, ones));
    }
    int32_t total = sum_s32(sum);
    for (; c < count; ++c) total += q[c];
    return total;
  }
};

// bf16_of on eight values, as the low halves of 32-bit lanes.
WC_INLINE __m256i bf16_of_eight(const float *x) {
  const __m256 v = _mm256_loadu_ps(x);
  const __m256i bits = _mm256_castps_si256(v), high = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}

}  // namespace

extern "C" wc_status quantize_f32s8_avx2(const wc_rowwise_args *g) {
  return quantize_rows<quantize_bytes<int8_t, 0>>(*g);
}

extern "C" wc_status quantize_f32u8_avx2(const wc_rowwise_args *g) {
  return quantize_rows<quantize_bytes<uint8_t, 128>>(*g);
}

extern "C" wc_status quantize_f32s16_avx2(const wc_rowwise_args *g) {
  return quantize_rows<quantize_s16>(*g);
}

extern "C" wc_status quantize_f32bf16_avx2(const wc_rowwise_args *g) {
  if (g->ldq < g->columns) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g->rows; ++r) {
    const float *x = g->x + r * g->ldx;
    uint16_t *q = static_cast<uint16_t *>(g->q) + r * g->ldq;
    size_t c = 0;
    for (; c + 16 <= g->columns; c += 16) {
      const __m256i v = _mm256_packus_epi32(bf16_of_eight(x + c), bf16_of_eight(x + c + 8));
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(q + c), _mm256_permute4x64_epi64(v, 0xd8));
    }
    for (; c < g->columns; ++c) q[c] = bf16_of(x[c]);
    for (; c < g->ldq; ++c) q[c] = 0;
  }
  return WC_OK;
}
WC_TARGET_END
#endif
