// Eight floats under the names of lanes_scalar.hpp.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "isa.hpp"
#include "math_avx2.hpp"

WC_TARGET_BEGIN(avx2)
namespace wc {

// All ones in the first `count` of eight lanes.
WC_INLINE __m256i first_mask_avx2(size_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
}

struct lanes_avx2 {
  using values = __m256;
  static constexpr size_t width = 8;
  static WC_INLINE values set(float x) { return _mm256_set1_ps(x); }
  static WC_INLINE values load(const float *p) { return _mm256_loadu_ps(p); }
  static WC_INLINE void store(float *p, values v) { _mm256_storeu_ps(p, v); }
  static WC_INLINE values load_first(const float *p, size_t count) {
    return _mm256_maskload_ps(p, first_mask_avx2(count));
  }
  static WC_INLINE void store_first(float *p, values v, size_t count) {
    _mm256_maskstore_ps(p, first_mask_avx2(count), v);
  }
  static WC_INLINE values add(values a, values b) { return _mm256_add_ps(a, b); }
  static WC_INLINE values sub(values a, values b) { return _mm256_sub_ps(a, b); }
  static WC_INLINE values mul(values a, values b) { return _mm256_mul_ps(a, b); }
  static WC_INLINE values multiply_add(values a, values b, values c) { return _mm256_fmadd_ps(a, b, c); }
  static WC_INLINE values max(values a, values b) { return _mm256_max_ps(a, b); }
  static WC_INLINE values min(values a, values b) { return _mm256_min_ps(a, b); }
  static WC_INLINE values div(values a, values b) { return _mm256_div_ps(a, b); }
  static WC_INLINE values subtract_product(values a, values b, values c) { return _mm256_fnmadd_ps(a, b, c); }
  static WC_INLINE values nearest(values x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static WC_INLINE values power_of_two(values n) {
    n = _mm256_add_ps(_mm256_max_ps(_mm256_set1_ps(exp2_floor), n), _mm256_set1_ps(power_shift));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(n), 23));
  }
  static WC_INLINE values where_less(values a, values b, values x, values y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
  static WC_INLINE float sum(values v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static WC_INLINE float greatest(values v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }
  // The first `count` of v, `other` in the rest.
  static WC_INLINE values keep_first(values v, size_t count, float other) {
    return _mm256_blendv_ps(_mm256_set1_ps(other), v, _mm256_castsi256_ps(first_mask_avx2(count)));
  }
  template <int count>
  static WC_INLINE void exp2_nonpositive_each(values (&v)[count]) {
    exp2_nonpositive_each_avx2(v);
  }
  template <int count>
  static WC_INLINE void gelu_each(values (&v)[count]) {
    gelu_each_avx2(v);
  }
  template <int count>
  static WC_INLINE void silu_each(values (&v)[count]) {
    silu_each_avx2(v);
  }
  template <int count>
  static WC_INLINE void exp_nonpositive_each(values (&v)[count]) {
    exp_nonpositive_each_avx2(v);
  }
  template <int count>
  static WC_INLINE void gelu_tanh_each(values (&v)[count]) {
    gelu_tanh_each_avx2(v);
  }
  template <int count>
  static WC_INLINE void softplus_each(values (&v)[count]) {
    softplus_each_avx2(v);
  }
  struct decay {
    template <int count>
    WC_INLINE void each(values (&v)[count]) const {
      exp2_nonpositive_each(v);
    }
  };
};

}  // namespace wc
WC_TARGET_END
#endif
