// Four floats under the names of lanes_scalar.hpp.
#pragma once

#if defined(__aarch64__)
#include <arm_neon.h>
#include <stddef.h>

#include "isa.hpp"
#include "math_neon.hpp"

WC_TARGET_BEGIN(neon)
namespace wc {

// The first `count` ≤ 4 floats at p, zeros in the rest; nothing else is read.
WC_INLINE float32x4_t load_first_neon(const float *p, size_t count) {
  if (count >= 4) return vld1q_f32(p);
  float32x4_t v = vdupq_n_f32(0);
  if (count & 2) v = vcombine_f32(vld1_f32(p), vget_high_f32(v));
  if (count == 1) v = vld1q_lane_f32(p, v, 0);
  if (count == 3) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}

// Writes the first `count` ≤ 4 floats and nothing else.
WC_INLINE void store_first_neon(float *p, float32x4_t v, size_t count) {
  if (count >= 4) return vst1q_f32(p, v);
  if (count & 2) vst1_f32(p, vget_low_f32(v));
  if (count == 1) vst1q_lane_f32(p, v, 0);
  if (count == 3) vst1q_lane_f32(p + 2, v, 2);
}

struct lanes_neon {
  using values = float32x4_t;
  static constexpr size_t width = 4;
  static WC_INLINE values set(float x) { return vdupq_n_f32(x); }
  static WC_INLINE values load(const float *p) { return vld1q_f32(p); }
  static WC_INLINE void store(float *p, values v) { vst1q_f32(p, v); }
  static WC_INLINE values load_first(const float *p, size_t count) { return load_first_neon(p, count); }
  static WC_INLINE void store_first(float *p, values v, size_t count) { store_first_neon(p, v, count); }
  static WC_INLINE values add(values a, values b) { return vaddq_f32(a, b); }
  static WC_INLINE values sub(values a, values b) { return vsubq_f32(a, b); }
  static WC_INLINE values mul(values a, values b) { return vmulq_f32(a, b); }
  static WC_INLINE values multiply_add(values a, values b, values c) { return vfmaq_f32(c, a, b); }
  static WC_INLINE values max(values a, values b) { return vmaxq_f32(a, b); }
  static WC_INLINE values min(values a, values b) { return vminq_f32(a, b); }
  static WC_INLINE values div(values a, values b) { return vdivq_f32(a, b); }
  static WC_INLINE values subtract_product(values a, values b, values c) { return vfmsq_f32(c, a, b); }
  static WC_INLINE values nearest(values x) { return vrndnq_f32(x); }
  static WC_INLINE values power_of_two(values n) {
    n = vaddq_f32(vmaxq_f32(vdupq_n_f32(exp2_floor), n), vdupq_n_f32(power_shift));
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(n), 23));
  }
  static WC_INLINE values where_less(values a, values b, values x, values y) { return vbslq_f32(vcltq_f32(a, b), x, y); }
  static WC_INLINE float sum(values v) { return vaddvq_f32(v); }
  static WC_INLINE float greatest(values v) { return vmaxvq_f32(v); }
  // The first `count` of v, `other` in the rest.
  static WC_INLINE values keep_first(values v, size_t count, float other) {
    const uint32x4_t index = {0, 1, 2, 3};
    return vbslq_f32(vcltq_u32(index, vdupq_n_u32(static_cast<uint32_t>(count))), v, vdupq_n_f32(other));
  }
  template <int count>
  static WC_INLINE void exp2_nonpositive_each(values (&v)[count]) {
    exp2_nonpositive_each_neon(v);
  }
  template <int count>
  static WC_INLINE void gelu_each(values (&v)[count]) {
    gelu_each_neon(v);
  }
  template <int count>
  static WC_INLINE void silu_each(values (&v)[count]) {
    silu_each_neon(v);
  }
  template <int count>
  static WC_INLINE void exp_nonpositive_each(values (&v)[count]) {
    exp_nonpositive_each_neon(v);
  }
  template <int count>
  static WC_INLINE void gelu_tanh_each(values (&v)[count]) {
    gelu_tanh_each_neon(v);
  }
  template <int count>
  static WC_INLINE void softplus_each(values (&v)[count]) {
    softplus_each_neon(v);
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
