// Sixteen floats under the names of lanes_scalar.hpp.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "isa.hpp"
#include "math_avx512.hpp"

WC_TARGET_BEGIN(avx512)
namespace wc {

// Ones for the first `count` ≤ 16 lanes.
WC_INLINE __mmask16 first_mask_avx512(size_t count) {
  return static_cast<__mmask16>((1u << count) - 1u);
}

struct lanes_avx512 {
  using values = __m512;
  static constexpr size_t width = 16;
  static WC_INLINE values set(float x) { return _mm512_set1_ps(x); }
  static WC_INLINE values load(const float *p) { return _mm512_loadu_ps(p); }
  static WC_INLINE void store(float *p, values v) { _mm512_storeu_ps(p, v); }
  static WC_INLINE values load_first(const float *p, size_t count) {
    return _mm512_maskz_loadu_ps(first_mask_avx512(count), p);
  }
  static WC_INLINE void store_first(float *p, values v, size_t count) {
    _mm512_mask_storeu_ps(p, first_mask_avx512(count), v);
  }
  static WC_INLINE values add(values a, values b) { return _mm512_add_ps(a, b); }
  static WC_INLINE values sub(values a, values b) { return _mm512_sub_ps(a, b); }
  static WC_INLINE values mul(values a, values b) { return _mm512_mul_ps(a, b); }
  static WC_INLINE values multiply_add(values a, values b, values c) { return _mm512_fmadd_ps(a, b, c); }
  static WC_INLINE values max(values a, values b) { return _mm512_max_ps(a, b); }
  static WC_INLINE values min(values a, values b) { return _mm512_min_ps(a, b); }
  static WC_INLINE values div(values a, values b) { return _mm512_div_ps(a, b); }
  static WC_INLINE values subtract_product(values a, values b, values c) { return _mm512_fnmadd_ps(a, b, c); }
  static WC_INLINE values nearest(values x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static WC_INLINE values power_of_two(values n) {
    n = _mm512_add_ps(_mm512_max_ps(_mm512_set1_ps(exp2_floor), n), _mm512_set1_ps(power_shift));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(n), 23));
  }
  static WC_INLINE values where_less(values a, values b, values x, values y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
  }
  static WC_INLINE float sum(values v) { return _mm512_reduce_add_ps(v); }
  static WC_INLINE float greatest(values v) { return _mm512_reduce_max_ps(v); }
  // The first `count` of v, `other` in the rest.
  static WC_INLINE values keep_first(values v, size_t count, float other) {
    return _mm512_mask_mov_ps(_mm512_set1_ps(other), first_mask_avx512(count), v);
  }
  template <int count>
  static WC_INLINE void exp2_nonpositive_each(values (&v)[count]) {
    exp2_nonpositive_each_avx512(v);
  }
  template <int count>
  static WC_INLINE void gelu_each(values (&v)[count]) {
    gelu_each_avx512(v);
  }
  template <int count>
  static WC_INLINE void silu_each(values (&v)[count]) {
    silu_each_avx512(v);
  }
  template <int count>
  static WC_INLINE void exp_nonpositive_each(values (&v)[count]) {
    exp_nonpositive_each_avx512(v);
  }
  template <int count>
  static WC_INLINE void gelu_tanh_each(values (&v)[count]) {
    gelu_tanh_each_avx512(v);
  }
  template <int count>
  static WC_INLINE void softplus_each(values (&v)[count]) {
    softplus_each_avx512(v);
  }
  using decay = decay_avx512;
};

}  // namespace wc
WC_TARGET_END
#endif
