// The functions of math_scalar.hpp on eight floats; the same bits.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#include "isa.hpp"
#include "math_scalar.hpp"

WC_TARGET_BEGIN(avx2)
namespace wc {

#define WC_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < count; ++i)
// 2^x of `count` vectors, side by side. NaN passes: max returns its second operand, and a NaN converts
// to 2³¹, whose shift is 0.
template <int count>
WC_INLINE void exp2_nonpositive_each_avx2(__m256 (&x)[count]) {
  __m256 f[count], f2[count], r[count], other[count];
  __m256i n[count];
  WC_EACH x[i] = _mm256_max_ps(_mm256_set1_ps(exp2_floor), x[i]);
  WC_EACH f[i] = _mm256_round_ps(x[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  WC_EACH f[i] = _mm256_sub_ps(x[i], f[i]);
  WC_EACH n[i] = _mm256_slli_epi32(_mm256_cvtps_epi32(x[i]), 23);
  WC_EACH f2[i] = _mm256_mul_ps(f[i], f[i]);
  WC_EACH r[i] = _mm256_fmadd_ps(_mm256_set1_ps(exp2_r4), f[i], _mm256_set1_ps(exp2_r3));
  WC_EACH other[i] = _mm256_fmadd_ps(_mm256_set1_ps(exp2_r2), f[i], _mm256_set1_ps(exp2_r1));
  WC_EACH r[i] = _mm256_fmadd_ps(r[i], f2[i], other[i]);
  WC_EACH r[i] = _mm256_fmadd_ps(r[i], f[i], _mm256_set1_ps(exp2_r0));
  WC_EACH r[i] = _mm256_fmadd_ps(r[i], f[i], _mm256_set1_ps(1.0f));
  WC_EACH x[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(r[i]), n[i]));
}

// e^x of `count` vectors, see exp_nonpositive_scalar. What overflows on the way is below exp_floor, and masked.
template <int count>
WC_INLINE void exp_nonpositive_each_avx2(__m256 (&x)[count]) {
  __m256 f[count], f2[count], r[count], other[count];
  __m256i n[count];
  WC_EACH r[i] = _mm256_mul_ps(x[i], _mm256_set1_ps(log2_e));
  WC_EACH r[i] = _mm256_round_ps(r[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  WC_EACH f[i] = _mm256_fmsub_ps(x[i], _mm256_set1_ps(log2_e), r[i]);
  WC_EACH f[i] = _mm256_fmadd_ps(x[i], _mm256_set1_ps(log2_e_low), f[i]);
  WC_EACH n[i] = _mm256_slli_epi32(_mm256_cvtps_epi32(r[i]), 23);
  WC_EACH f2[i] = _mm256_mul_ps(f[i], f[i]);
  WC_EACH r[i] = _mm256_fmadd_ps(_mm256_set1_ps(exp2_r4), f[i], _mm256_set1_ps(exp2_r3));
  WC_EACH other[i] = _mm256_fmadd_ps(_mm256_set1_ps(exp2_r2), f[i], _mm256_set1_ps(exp2_r1));
  WC_EACH r[i] = _mm256_fmadd_ps(r[i], f2[i], other[i]);
  WC_EACH r[i] = _mm256_fmadd_ps(r[i], f[i], _mm256_set1_ps(exp2_r0));
  WC_EACH r[i] = _mm256_fmadd_ps(r[i], f[i], _mm256_set1_ps(1.0f));
  WC_EACH r[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(r[i]), n[i]));
  WC_EACH x[i] = _mm256_and_ps(_mm256_cmp_ps(x[i], _mm256_set1_ps(exp_floor), _CMP_NLT_UQ), r[i]);
}
#undef WC_EACH

WC_INLINE __m256 exp2_nonpositive_avx2(__m256 x) {
  __m256 one[1] = {x};
  exp2_nonpositive_each_avx2(one);
  return one[0];
}

// GELU of `count` vectors, step by step side by side: one alone is a chain of dependent operations so
// long that the processor's window holds too few of them to fill its pipes.
#define WC_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < count; ++i)
template <int count>
WC_INLINE void gelu_each_avx2(__m256 (&x)[count]) {
  __m256 t[count], t2[count], t4[count], low[count], high[count], other[count];
  WC_EACH t[i] = _mm256_min_ps(_mm256_set1_ps(gelu_far), _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x[i]));
  WC_EACH t2[i] = _mm256_mul_ps(t[i], t[i]);
  WC_EACH high[i] = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q9), t[i], _mm256_set1_ps(gelu_q8));
  WC_EACH t4[i] = _mm256_mul_ps(t2[i], t2[i]);
  WC_EACH low[i] = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q7), t[i], _mm256_set1_ps(gelu_q6));
  WC_EACH other[i] = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q5), t[i], _mm256_set1_ps(gelu_q4));
  WC_EACH low[i] = _mm256_fmadd_ps(low[i], t2[i], other[i]);
  WC_EACH high[i] = _mm256_fmadd_ps(high[i], t4[i], low[i]);
  WC_EACH low[i] = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q3), t[i], _mm256_set1_ps(gelu_q2));
  WC_EACH other[i] = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q1), t[i], _mm256_set1_ps(gelu_q0));
  WC_EACH low[i] = _mm256_fmadd_ps(low[i], t2[i], other[i]);
  WC_EACH low[i] = _mm256_fmadd_ps(high[i], t4[i], low[i]);
  WC_EACH low[i] = _mm256_fmadd_ps(low[i], t[i], _mm256_set1_ps(-1.0f));
  exp2_nonpositive_each_avx2(low);
  WC_EACH x[i] = _mm256_fnmadd_ps(t[i], low[i], _mm256_max_ps(_mm256_setzero_ps(), x[i]));
}

// x·σ(z), see times_logistic_scalar. NaN passes: max returns its second operand.
// By sign alone: −0·2^w is −0 too.
template <int count>
WC_INLINE void times_logistic_each_avx2(__m256 (&x)[count], __m256 (&w)[count]) {
  exp2_nonpositive_each_avx2(w);
  WC_EACH x[i] = _mm256_max_ps(_mm256_set1_ps(-logistic_far), x[i]);
  WC_EACH x[i] = _mm256_blendv_ps(x[i], _mm256_mul_ps(x[i], w[i]), x[i]);
  WC_EACH w[i] = _mm256_add_ps(_mm256_set1_ps(1.0f), w[i]);
  WC_EACH x[i] = _mm256_div_ps(x[i], w[i]);
}

template <int count>
WC_INLINE void silu_each_avx2(__m256 (&x)[count]) {
  __m256 w[count];
  WC_EACH w[i] = _mm256_or_ps(_mm256_set1_ps(-0.0f), x[i]);
  WC_EACH w[i] = _mm256_mul_ps(w[i], _mm256_set1_ps(log2_e));
  times_logistic_each_avx2(x, w);
}

template <int count>
WC_INLINE void gelu_tanh_each_avx2(__m256 (&x)[count]) {
  __m256 t[count], w[count];
  WC_EACH t[i] = _mm256_or_ps(_mm256_set1_ps(-0.0f), x[i]);
  WC_EACH w[i] = _mm256_mul_ps(t[i], t[i]);
  WC_EACH w[i] = _mm256_fmadd_ps(_mm256_set1_ps(gelu_tanh_c3), w[i], _mm256_set1_ps(gelu_tanh_c1));
  WC_EACH w[i] = _mm256_mul_ps(t[i], w[i]);
  times_logistic_each_avx2(x, w);
}

template <int count>
WC_INLINE void relu_each_avx2(__m256 (&x)[count]) {
  WC_EACH x[i] = _mm256_max_ps(_mm256_setzero_ps(), x[i]);
}
// ln(1 + e^x), see softplus_scalar. NaN passes: max returns its second operand.
template <int count>
WC_INLINE void softplus_each_avx2(__m256 (&x)[count]) {
  __m256 e[count], e2[count], q[count], high[count], other[count];
  WC_EACH e[i] = _mm256_mul_ps(_mm256_or_ps(_mm256_set1_ps(-0.0f), x[i]), _mm256_set1_ps(log2_e));
  exp2_nonpositive_each_avx2(e);
  WC_EACH e2[i] = _mm256_mul_ps(e[i], e[i]);
  WC_EACH high[i] = _mm256_fmadd_ps(_mm256_set1_ps(log1p_q7), e[i], _mm256_set1_ps(log1p_q6));
  WC_EACH other[i] = _mm256_fmadd_ps(_mm256_set1_ps(log1p_q5), e[i], _mm256_set1_ps(log1p_q4));
  WC_EACH high[i] = _mm256_fmadd_ps(high[i], e2[i], other[i]);
  WC_EACH q[i] = _mm256_fmadd_ps(_mm256_set1_ps(log1p_q3), e[i], _mm256_set1_ps(log1p_q2));
  WC_EACH other[i] = _mm256_fmadd_ps(_mm256_set1_ps(log1p_q1), e[i], _mm256_set1_ps(log1p_q0));
  WC_EACH q[i] = _mm256_fmadd_ps(q[i], e2[i], other[i]);
  WC_EACH q[i] = _mm256_fmadd_ps(high[i], _mm256_mul_ps(e2[i], e2[i]), q[i]);
  WC_EACH q[i] = _mm256_fmadd_ps(q[i], e2[i], e[i]);
  WC_EACH x[i] = _mm256_add_ps(q[i], _mm256_max_ps(_mm256_setzero_ps(), x[i]));
}
#undef WC_EACH

}  // namespace wc
WC_TARGET_END
#endif
