// The functions of math_scalar.hpp on sixteen floats; the same bits.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#include "isa.hpp"
#include "math_scalar.hpp"

WC_TARGET_BEGIN(avx512)
namespace wc {

WC_INLINE __m512 exp2_assemble_avx512(__m512i n, __m512 f) {
  const __m512 f2 = _mm512_mul_ps(f, f);
  const __m512 r34 = _mm512_fmadd_ps(_mm512_set1_ps(exp2_r4), f, _mm512_set1_ps(exp2_r3));
  const __m512 r12 = _mm512_fmadd_ps(_mm512_set1_ps(exp2_r2), f, _mm512_set1_ps(exp2_r1));
  const __m512 r = _mm512_fmadd_ps(_mm512_fmadd_ps(r34, f2, r12), f, _mm512_set1_ps(exp2_r0));
  const __m512 value = _mm512_fmadd_ps(r, f, _mm512_set1_ps(1.0f));
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), _mm512_slli_epi32(n, 23)));
}

// NaN passes: max returns its second operand, and a NaN converts to 2³¹, whose shift is 0.
WC_INLINE __m512 exp2_nonpositive_avx512(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(exp2_floor), x);
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return exp2_assemble_avx512(_mm512_cvtps_epi32(x), _mm512_sub_ps(x, n));
}

WC_INLINE __m512 gelu_avx512(__m512 x) {
  const __m512 magnitude = _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x);
  const __m512 t = _mm512_min_ps(_mm512_set1_ps(gelu_far), magnitude);
  const __m512 t2 = _mm512_mul_ps(t, t);
  const __m512 t4 = _mm512_mul_ps(t2, t2);
  const __m512 q01 = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q1), t, _mm512_set1_ps(gelu_q0));
  const __m512 q23 = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q3), t, _mm512_set1_ps(gelu_q2));
  const __m512 q45 = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q5), t, _mm512_set1_ps(gelu_q4));
  const __m512 q67 = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q7), t, _mm512_set1_ps(gelu_q6));
  const __m512 q89 = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q9), t, _mm512_set1_ps(gelu_q8));
  const __m512 q03 = _mm512_fmadd_ps(q23, t2, q01);
  const __m512 q49 = _mm512_fmadd_ps(q89, t4, _mm512_fmadd_ps(q67, t2, q45));
  const __m512 q = _mm512_fmadd_ps(q49, t4, q03);
  // Signs are turned around: here y and n are those of the scalar version, negated.
  const __m512 y = _mm512_mul_ps(q, t);
  const __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_fnmadd_ps(q, t, n);
  const __m512i exponent = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_cvtps_epi32(y));
  const __mmask16 reached = _mm512_cmp_ps_mask(y, _mm512_set1_ps(-gelu_floor), _CMP_NGT_UQ);
  const __m512 power = _mm512_maskz_mov_ps(reached, exp2_assemble_avx512(exponent, f));
  const __m512 half = _mm512_mul_ps(t, _mm512_set1_ps(0.5f));
  return _mm512_fnmadd_ps(half, power, _mm512_max_ps(_mm512_setzero_ps(), x));
}

}  // namespace wc
WC_TARGET_END
#endif
