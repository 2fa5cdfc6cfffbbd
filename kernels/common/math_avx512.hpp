// The functions of math_scalar.hpp on sixteen floats; the same bits.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#include "isa.hpp"
#include "math_scalar.hpp"

WC_TARGET_BEGIN(avx512)
namespace wc {

#define WC_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < count; ++i)
// 2^x of `count` vectors, side by side. NaN passes: max returns its second operand, and a NaN converts
// to 2³¹, whose shift is 0.
template <int count>
WC_INLINE void exp2_nonpositive_each_avx512(__m512 (&x)[count]) {
  __m512 f[count], f2[count], r[count], other[count];
  __m512i n[count];
  WC_EACH x[i] = _mm512_max_ps(_mm512_set1_ps(exp2_floor), x[i]);
  WC_EACH f[i] = _mm512_roundscale_ps(x[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  WC_EACH f[i] = _mm512_sub_ps(x[i], f[i]);
  WC_EACH n[i] = _mm512_slli_epi32(_mm512_cvtps_epi32(x[i]), 23);
  WC_EACH f2[i] = _mm512_mul_ps(f[i], f[i]);
  WC_EACH r[i] = _mm512_fmadd_ps(_mm512_set1_ps(exp2_r4), f[i], _mm512_set1_ps(exp2_r3));
  WC_EACH other[i] = _mm512_fmadd_ps(_mm512_set1_ps(exp2_r2), f[i], _mm512_set1_ps(exp2_r1));
  WC_EACH r[i] = _mm512_fmadd_ps(r[i], f2[i], other[i]);
  WC_EACH r[i] = _mm512_fmadd_ps(r[i], f[i], _mm512_set1_ps(exp2_r0));
  WC_EACH r[i] = _mm512_fmadd_ps(r[i], f[i], _mm512_set1_ps(1.0f));
  WC_EACH x[i] = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(r[i]), n[i]));
}

// e^x of `count` vectors, see exp_nonpositive_scalar. What overflows on the way is below exp_floor, and masked.
template <int count>
WC_INLINE void exp_nonpositive_each_avx512(__m512 (&x)[count]) {
  __m512 f[count], f2[count], r[count], other[count];
  __m512i n[count];
  WC_EACH r[i] = _mm512_mul_ps(x[i], _mm512_set1_ps(log2_e));
  WC_EACH r[i] = _mm512_roundscale_ps(r[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  WC_EACH f[i] = _mm512_fmsub_ps(x[i], _mm512_set1_ps(log2_e), r[i]);
  WC_EACH f[i] = _mm512_fmadd_ps(x[i], _mm512_set1_ps(log2_e_low), f[i]);
  WC_EACH n[i] = _mm512_slli_epi32(_mm512_cvtps_epi32(r[i]), 23);
  WC_EACH f2[i] = _mm512_mul_ps(f[i], f[i]);
  WC_EACH r[i] = _mm512_fmadd_ps(_mm512_set1_ps(exp2_r4), f[i], _mm512_set1_ps(exp2_r3));
  WC_EACH other[i] = _mm512_fmadd_ps(_mm512_set1_ps(exp2_r2), f[i], _mm512_set1_ps(exp2_r1));
  WC_EACH r[i] = _mm512_fmadd_ps(r[i], f2[i], other[i]);
  WC_EACH r[i] = _mm512_fmadd_ps(r[i], f[i], _mm512_set1_ps(exp2_r0));
  WC_EACH r[i] = _mm512_fmadd_ps(r[i], f[i], _mm512_set1_ps(1.0f));
  WC_EACH x[i] = _mm512_castsi512_ps(_mm512_maskz_add_epi32(
      _mm512_cmp_ps_mask(x[i], _mm512_set1_ps(exp_floor), _CMP_NLT_UQ), _mm512_castps_si512(r[i]), n[i]));
}
#undef WC_EACH

WC_INLINE __m512 exp2_nonpositive_avx512(__m512 x) {
  __m512 one[1] = {x};
  exp2_nonpositive_each_avx512(one);
  return one[0];
}

// GELU of `count` vectors, step by step side by side: one alone is a chain of dependent operations so
// long that the processor's window holds too few of them to fill its pipes.
#define WC_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < count; ++i)
template <int count>
WC_INLINE void gelu_each_avx512(__m512 (&x)[count]) {
  __m512 t[count], t2[count], t4[count], low[count], high[count], other[count];
  WC_EACH t[i] = _mm512_min_ps(_mm512_set1_ps(gelu_far), _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x[i]));
  WC_EACH t2[i] = _mm512_mul_ps(t[i], t[i]);
  WC_EACH high[i] = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q9), t[i], _mm512_set1_ps(gelu_q8));
  WC_EACH t4[i] = _mm512_mul_ps(t2[i], t2[i]);
  WC_EACH low[i] = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q7), t[i], _mm512_set1_ps(gelu_q6));
  WC_EACH other[i] = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q5), t[i], _mm512_set1_ps(gelu_q4));
  WC_EACH low[i] = _mm512_fmadd_ps(low[i], t2[i], other[i]);
  WC_EACH high[i] = _mm512_fmadd_ps(high[i], t4[i], low[i]);
  WC_EACH low[i] = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q3), t[i], _mm512_set1_ps(gelu_q2));
  WC_EACH other[i] = _mm512_fmadd_ps(_mm512_set1_ps(gelu_q1), t[i], _mm512_set1_ps(gelu_q0));
  WC_EACH low[i] = _mm512_fmadd_ps(low[i], t2[i], other[i]);
  WC_EACH low[i] = _mm512_fmadd_ps(high[i], t4[i], low[i]);
  WC_EACH low[i] = _mm512_fmadd_ps(low[i], t[i], _mm512_set1_ps(-1.0f));
  exp2_nonpositive_each_avx512(low);
  WC_EACH x[i] = _mm512_fnmadd_ps(t[i], low[i], _mm512_max_ps(_mm512_setzero_ps(), x[i]));
}

// x·σ(z), see times_logistic_scalar. NaN passes: max returns its second operand.
template <int count>
WC_INLINE void times_logistic_each_avx512(__m512 (&x)[count], __m512 (&w)[count]) {
  __mmask16 below[count];
  WC_EACH below[i] = _mm512_cmp_ps_mask(x[i], _mm512_setzero_ps(), _CMP_LT_OQ);
  exp2_nonpositive_each_avx512(w);
  WC_EACH x[i] = _mm512_max_ps(_mm512_set1_ps(-logistic_far), x[i]);
  WC_EACH x[i] = _mm512_mask_mul_ps(x[i], below[i], x[i], w[i]);
  WC_EACH w[i] = _mm512_add_ps(_mm512_set1_ps(1.0f), w[i]);
  WC_EACH x[i] = _mm512_div_ps(x[i], w[i]);
}

template <int count>
WC_INLINE void silu_each_avx512(__m512 (&x)[count]) {
  __m512 w[count];
  WC_EACH w[i] = _mm512_or_ps(_mm512_set1_ps(-0.0f), x[i]);
  WC_EACH w[i] = _mm512_mul_ps(w[i], _mm512_set1_ps(log2_e));
  times_logistic_each_avx512(x, w);
}

template <int count>
WC_INLINE void gelu_tanh_each_avx512(__m512 (&x)[count]) {
  __m512 t[count], w[count];
  WC_EACH t[i] = _mm512_or_ps(_mm512_set1_ps(-0.0f), x[i]);
  WC_EACH w[i] = _mm512_mul_ps(t[i], t[i]);
  WC_EACH w[i] = _mm512_fmadd_ps(_mm512_set1_ps(gelu_tanh_c3), w[i], _mm512_set1_ps(gelu_tanh_c1));
  WC_EACH w[i] = _mm512_mul_ps(t[i], w[i]);
  times_logistic_each_avx512(x, w);
}

template <int count>
WC_INLINE void relu_each_avx512(__m512 (&x)[count]) {
  WC_EACH x[i] = _mm512_max_ps(_mm512_setzero_ps(), x[i]);
}
// ln(1 + e^x), see softplus_scalar. NaN passes: max returns its second operand.
template <int count>
WC_INLINE void softplus_each_avx512(__m512 (&x)[count]) {
  __m512 e[count], e2[count], q[count], high[count], other[count];
  WC_EACH e[i] = _mm512_mul_ps(_mm512_or_ps(_mm512_set1_ps(-0.0f), x[i]), _mm512_set1_ps(log2_e));
  exp2_nonpositive_each_avx512(e);
  WC_EACH e2[i] = _mm512_mul_ps(e[i], e[i]);
  WC_EACH high[i] = _mm512_fmadd_ps(_mm512_set1_ps(log1p_q7), e[i], _mm512_set1_ps(log1p_q6));
  WC_EACH other[i] = _mm512_fmadd_ps(_mm512_set1_ps(log1p_q5), e[i], _mm512_set1_ps(log1p_q4));
  WC_EACH high[i] = _mm512_fmadd_ps(high[i], e2[i], other[i]);
  WC_EACH q[i] = _mm512_fmadd_ps(_mm512_set1_ps(log1p_q3), e[i], _mm512_set1_ps(log1p_q2));
  WC_EACH other[i] = _mm512_fmadd_ps(_mm512_set1_ps(log1p_q1), e[i], _mm512_set1_ps(log1p_q0));
  WC_EACH q[i] = _mm512_fmadd_ps(q[i], e2[i], other[i]);
  WC_EACH q[i] = _mm512_fmadd_ps(high[i], _mm512_mul_ps(e2[i], e2[i]), q[i]);
  WC_EACH q[i] = _mm512_fmadd_ps(q[i], e2[i], e[i]);
  WC_EACH x[i] = _mm512_add_ps(q[i], _mm512_max_ps(_mm512_setzero_ps(), x[i]));
}

// 2^x of `count` vectors for x ≤ 0.5, as exp2_nonpositive_each but with half its multiply-adds, which are what bounds a
// scan: n/32 is the nearest to x, 2^(n/32) comes from a table of 32 in two registers (VPERMI2PS, its index the low five
// bits of n), 2^f, |f| ≤ 1/64, from 1 + f·(c1 + c2·f): 0.9 units in the last place beside the table's half.
// Within 2 ulp for x ≥ −126, then some value in [0, 2⁻¹²⁶); 2^0 = 1, 0 from −127 to −∞, NaN for NaN.
class decay_avx512 {
 public:
  WC_INLINE decay_avx512()
      : low_(_mm512_castsi512_ps(_mm512_load_si512(bits))),
        high_(_mm512_castsi512_ps(_mm512_load_si512(bits + 16))) {}

  template <int count>
  WC_INLINE void each(__m512 (&x)[count]) const {
    const __m512 shift = _mm512_set1_ps(393216.0f);  // 1.5·2¹⁸: the sum's last bit is worth 1/32
    __m512 n[count], f[count], scale[count];
    WC_EACH x[i] = _mm512_max_ps(_mm512_set1_ps(exp2_floor), x[i]);
    WC_EACH n[i] = _mm512_add_ps(x[i], shift);
    WC_EACH f[i] = _mm512_sub_ps(x[i], _mm512_sub_ps(n[i], shift));
    WC_EACH scale[i] = _mm512_permutex2var_ps(low_, _mm512_castps_si512(n[i]), high_);
    // The table's entries are less i·2¹⁸, so that adding all of n·2¹⁸ adds the whole part of n/32 to the exponent.
    WC_EACH scale[i] = _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(scale[i]), _mm512_slli_epi32(_mm512_castps_si512(n[i]), 18)));
    WC_EACH x[i] = _mm512_fmadd_ps(_mm512_set1_ps(0.24022649f), f[i], _mm512_set1_ps(0.6931573f));
    WC_EACH x[i] = _mm512_fmadd_ps(x[i], f[i], _mm512_set1_ps(1.0f));
    WC_EACH x[i] = _mm512_mul_ps(x[i], scale[i]);
  }

 protected:
  __m512 low_, high_;

 private:
  // The bits of 2^(i/32), rounded to f32, less i·2¹⁸.
  alignas(64) static constexpr uint32_t bits[32] = {
      0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
      0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6,
      0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
      0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3,
  };
};

// e^x of `count` vectors for x ≤ 0 by the same table, as exp_nonpositive_scalar, but for the last bits: within 2 ulp for
// x ≥ −87.3, 0 below and for −∞; NaN for NaN. What overflows on the way is masked.
class exponential_avx512 : public decay_avx512 {
 public:
  WC_INLINE exponential_avx512() {}

  template <int count>
  WC_INLINE void each(__m512 (&x)[count]) const {
    const __m512 shift = _mm512_set1_ps(393216.0f);  // 1.5·2¹⁸: the sum's last bit is worth 1/32
    __m512 n[count], f[count], scale[count];
    WC_EACH n[i] = _mm512_fmadd_ps(x[i], _mm512_set1_ps(log2_e), shift);
    WC_EACH f[i] = _mm512_fmsub_ps(x[i], _mm512_set1_ps(log2_e), _mm512_sub_ps(n[i], shift));
    WC_EACH f[i] = _mm512_fmadd_ps(x[i], _mm512_set1_ps(log2_e_low), f[i]);
    WC_EACH scale[i] = _mm512_permutex2var_ps(low_, _mm512_castps_si512(n[i]), high_);
    WC_EACH scale[i] = _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(scale[i]), _mm512_slli_epi32(_mm512_castps_si512(n[i]), 18)));
    WC_EACH f[i] = _mm512_mul_ps(_mm512_fmadd_ps(_mm512_set1_ps(0.24022649f), f[i], _mm512_set1_ps(0.6931573f)), f[i]);
    WC_EACH x[i] = _mm512_maskz_fmadd_ps(
        _mm512_cmp_ps_mask(x[i], _mm512_set1_ps(exp_floor), _CMP_NLT_UQ), f[i], scale[i], scale[i]);
  }
};
#undef WC_EACH

}  // namespace wc
WC_TARGET_END
#endif
