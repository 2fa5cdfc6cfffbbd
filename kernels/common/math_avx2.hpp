// The functions of math_scalar.hpp on eight floats; the same bits.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#include "isa.hpp"
#include "math_scalar.hpp"

WC_TARGET_BEGIN(avx2)
namespace wc {

WC_INLINE __m256 exp2_assemble_avx2(__m256i n, __m256 f) {
  const __m256 f2 = _mm256_mul_ps(f, f);
  const __m256 r34 = _mm256_fmadd_ps(_mm256_set1_ps(exp2_r4), f, _mm256_set1_ps(exp2_r3));
  const __m256 r12 = _mm256_fmadd_ps(_mm256_set1_ps(exp2_r2), f, _mm256_set1_ps(exp2_r1));
  const __m256 r = _mm256_fmadd_ps(_mm256_fmadd_ps(r34, f2, r12), f, _mm256_set1_ps(exp2_r0));
  const __m256 value = _mm256_fmadd_ps(r, f, _mm256_set1_ps(1.0f));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), _mm256_slli_epi32(n, 23)));
}

// NaN passes: max returns its second operand, and a NaN converts to 2³¹, whose shift is 0.
WC_INLINE __m256 exp2_nonpositive_avx2(__m256 x) {
  x = _mm256_max_ps(_mm256_set1_ps(exp2_floor), x);
  const __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return exp2_assemble_avx2(_mm256_cvtps_epi32(x), _mm256_sub_ps(x, n));
}

WC_INLINE __m256 gelu_avx2(__m256 x) {
  const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
  const __m256 t = _mm256_min_ps(_mm256_set1_ps(gelu_far), magnitude);
  const __m256 t2 = _mm256_mul_ps(t, t);
  const __m256 t4 = _mm256_mul_ps(t2, t2);
  const __m256 q01 = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q1), t, _mm256_set1_ps(gelu_q0));
  const __m256 q23 = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q3), t, _mm256_set1_ps(gelu_q2));
  const __m256 q45 = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q5), t, _mm256_set1_ps(gelu_q4));
  const __m256 q67 = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q7), t, _mm256_set1_ps(gelu_q6));
  const __m256 q89 = _mm256_fmadd_ps(_mm256_set1_ps(gelu_q9), t, _mm256_set1_ps(gelu_q8));
  const __m256 q03 = _mm256_fmadd_ps(q23, t2, q01);
  const __m256 q49 = _mm256_fmadd_ps(q89, t4, _mm256_fmadd_ps(q67, t2, q45));
  const __m256 q = _mm256_fmadd_ps(q49, t4, q03);
  // Signs are turned around: here y and n are those of the scalar version, negated.
  const __m256 y = _mm256_mul_ps(q, t);
  const __m256 n = _mm256_round_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 f = _mm256_fnmadd_ps(q, t, n);
  const __m256i exponent = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_cvtps_epi32(y));
  const __m256 reached = _mm256_cmp_ps(y, _mm256_set1_ps(-gelu_floor), _CMP_NGT_UQ);
  const __m256 power = _mm256_and_ps(exp2_assemble_avx2(exponent, f), reached);
  const __m256 half = _mm256_mul_ps(t, _mm256_set1_ps(0.5f));
  return _mm256_fnmadd_ps(half, power, _mm256_max_ps(_mm256_setzero_ps(), x));
}

}  // namespace wc
WC_TARGET_END
#endif
