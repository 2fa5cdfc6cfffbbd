// The functions of math_scalar.hpp on four floats; the same bits.
#pragma once

#if defined(__aarch64__)
#include <arm_neon.h>

#include "isa.hpp"
#include "math_scalar.hpp"

WC_TARGET_BEGIN(neon)
namespace wc {

#define WC_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < count; ++i)
// 2^x of `count` vectors, side by side. NaN passes: FMAXNM would drop it, FMAX does not, and a NaN
// converts to 0, whose shift is 0.
template <int count>
WC_INLINE void exp2_nonpositive_each_neon(float32x4_t (&x)[count]) {
  float32x4_t f[count], f2[count], r[count], other[count];
  int32x4_t n[count];
  WC_EACH x[i] = vmaxq_f32(vdupq_n_f32(exp2_floor), x[i]);
  WC_EACH f[i] = vrndnq_f32(x[i]);
  WC_EACH n[i] = vshlq_n_s32(vcvtq_s32_f32(f[i]), 23);
  WC_EACH f[i] = vsubq_f32(x[i], f[i]);
  WC_EACH f2[i] = vmulq_f32(f[i], f[i]);
  WC_EACH r[i] = vfmaq_f32(vdupq_n_f32(exp2_r3), vdupq_n_f32(exp2_r4), f[i]);
  WC_EACH other[i] = vfmaq_f32(vdupq_n_f32(exp2_r1), vdupq_n_f32(exp2_r2), f[i]);
  WC_EACH r[i] = vfmaq_f32(other[i], r[i], f2[i]);
  WC_EACH r[i] = vfmaq_f32(vdupq_n_f32(exp2_r0), r[i], f[i]);
  WC_EACH r[i] = vfmaq_f32(vdupq_n_f32(1.0f), r[i], f[i]);
  WC_EACH x[i] = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(r[i]), n[i]));
}

// e^x of `count` vectors, see exp_nonpositive_scalar. What overflows on the way is below exp_floor, and masked.
template <int count>
WC_INLINE void exp_nonpositive_each_neon(float32x4_t (&x)[count]) {
  float32x4_t f[count], f2[count], r[count], other[count];
  int32x4_t n[count];
  WC_EACH r[i] = vrndnq_f32(vmulq_f32(x[i], vdupq_n_f32(log2_e)));
  WC_EACH f[i] = vfmaq_f32(vnegq_f32(r[i]), x[i], vdupq_n_f32(log2_e));
  WC_EACH f[i] = vfmaq_f32(f[i], x[i], vdupq_n_f32(log2_e_low));
  WC_EACH n[i] = vshlq_n_s32(vcvtq_s32_f32(r[i]), 23);
  WC_EACH f2[i] = vmulq_f32(f[i], f[i]);
  WC_EACH r[i] = vfmaq_f32(vdupq_n_f32(exp2_r3), vdupq_n_f32(exp2_r4), f[i]);
  WC_EACH other[i] = vfmaq_f32(vdupq_n_f32(exp2_r1), vdupq_n_f32(exp2_r2), f[i]);
  WC_EACH r[i] = vfmaq_f32(other[i], r[i], f2[i]);
  WC_EACH r[i] = vfmaq_f32(vdupq_n_f32(exp2_r0), r[i], f[i]);
  WC_EACH r[i] = vfmaq_f32(vdupq_n_f32(1.0f), r[i], f[i]);
  WC_EACH r[i] = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(r[i]), n[i]));
  WC_EACH x[i] = vreinterpretq_f32_u32(
      vbicq_u32(vreinterpretq_u32_f32(r[i]), vcltq_f32(x[i], vdupq_n_f32(exp_floor))));
}

// x where it is not negative, else 0; −0 and NaN pass, which FMAX would not do for −0.
WC_INLINE float32x4_t positive_part_neon(float32x4_t x) {
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vcltzq_f32(x)));
}

// GELU of `count` vectors, step by step side by side: one alone is a chain of dependent operations so
// long that the processor's window holds too few of them to fill its pipes.
template <int count>
WC_INLINE void gelu_each_neon(float32x4_t (&x)[count]) {
  float32x4_t t[count], t2[count], t4[count], low[count], high[count], other[count];
  WC_EACH t[i] = vminq_f32(vdupq_n_f32(gelu_far), vabsq_f32(x[i]));
  WC_EACH t2[i] = vmulq_f32(t[i], t[i]);
  WC_EACH high[i] = vfmaq_f32(vdupq_n_f32(gelu_q8), vdupq_n_f32(gelu_q9), t[i]);
  WC_EACH t4[i] = vmulq_f32(t2[i], t2[i]);
  WC_EACH low[i] = vfmaq_f32(vdupq_n_f32(gelu_q6), vdupq_n_f32(gelu_q7), t[i]);
  WC_EACH other[i] = vfmaq_f32(vdupq_n_f32(gelu_q4), vdupq_n_f32(gelu_q5), t[i]);
  WC_EACH low[i] = vfmaq_f32(other[i], low[i], t2[i]);
  WC_EACH high[i] = vfmaq_f32(low[i], high[i], t4[i]);
  WC_EACH low[i] = vfmaq_f32(vdupq_n_f32(gelu_q2), vdupq_n_f32(gelu_q3), t[i]);
  WC_EACH other[i] = vfmaq_f32(vdupq_n_f32(gelu_q0), vdupq_n_f32(gelu_q1), t[i]);
  WC_EACH low[i] = vfmaq_f32(other[i], low[i], t2[i]);
  WC_EACH low[i] = vfmaq_f32(low[i], high[i], t4[i]);
  WC_EACH low[i] = vfmaq_f32(vdupq_n_f32(-1.0f), low[i], t[i]);
  exp2_nonpositive_each_neon(low);
  WC_EACH x[i] = vfmsq_f32(positive_part_neon(x[i]), t[i], low[i]);
}

// x·σ(z), see times_logistic_scalar. NaN passes through FMAX.
template <int count>
WC_INLINE void times_logistic_each_neon(float32x4_t (&x)[count], float32x4_t (&w)[count]) {
  exp2_nonpositive_each_neon(w);
  WC_EACH x[i] = vmaxq_f32(vdupq_n_f32(-logistic_far), x[i]);
  WC_EACH x[i] = vbslq_f32(vcltzq_f32(x[i]), vmulq_f32(x[i], w[i]), x[i]);
  WC_EACH w[i] = vaddq_f32(vdupq_n_f32(1.0f), w[i]);
  WC_EACH x[i] = vdivq_f32(x[i], w[i]);
}

template <int count>
WC_INLINE void silu_each_neon(float32x4_t (&x)[count]) {
  float32x4_t w[count];
  WC_EACH w[i] = vmulq_f32(vnegq_f32(vabsq_f32(x[i])), vdupq_n_f32(log2_e));
  times_logistic_each_neon(x, w);
}

template <int count>
WC_INLINE void gelu_tanh_each_neon(float32x4_t (&x)[count]) {
  float32x4_t t[count], w[count];
  WC_EACH t[i] = vnegq_f32(vabsq_f32(x[i]));
  WC_EACH w[i] = vmulq_f32(t[i], t[i]);
  WC_EACH w[i] = vfmaq_f32(vdupq_n_f32(gelu_tanh_c1), vdupq_n_f32(gelu_tanh_c3), w[i]);
  WC_EACH w[i] = vmulq_f32(t[i], w[i]);
  times_logistic_each_neon(x, w);
}

template <int count>
WC_INLINE void relu_each_neon(float32x4_t (&x)[count]) {
  WC_EACH x[i] = positive_part_neon(x[i]);
}
// ln(1 + e^x), see softplus_scalar.
template <int count>
WC_INLINE void softplus_each_neon(float32x4_t (&x)[count]) {
  float32x4_t e[count], e2[count], q[count], high[count], other[count];
  WC_EACH e[i] = vmulq_f32(vnegq_f32(vabsq_f32(x[i])), vdupq_n_f32(log2_e));
  exp2_nonpositive_each_neon(e);
  WC_EACH e2[i] = vmulq_f32(e[i], e[i]);
  WC_EACH high[i] = vfmaq_f32(vdupq_n_f32(log1p_q6), vdupq_n_f32(log1p_q7), e[i]);
  WC_EACH other[i] = vfmaq_f32(vdupq_n_f32(log1p_q4), vdupq_n_f32(log1p_q5), e[i]);
  WC_EACH high[i] = vfmaq_f32(other[i], high[i], e2[i]);
  WC_EACH q[i] = vfmaq_f32(vdupq_n_f32(log1p_q2), vdupq_n_f32(log1p_q3), e[i]);
  WC_EACH other[i] = vfmaq_f32(vdupq_n_f32(log1p_q0), vdupq_n_f32(log1p_q1), e[i]);
  WC_EACH q[i] = vfmaq_f32(other[i], q[i], e2[i]);
  WC_EACH q[i] = vfmaq_f32(q[i], high[i], vmulq_f32(e2[i], e2[i]));
  WC_EACH q[i] = vfmaq_f32(e[i], q[i], e2[i]);
  WC_EACH x[i] = vaddq_f32(q[i], positive_part_neon(x[i]));
}
#undef WC_EACH

}  // namespace wc
WC_TARGET_END
#endif
