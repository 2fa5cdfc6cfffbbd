// One float at a time under the names that the vector versions use, for code that is written once
// and instantiated per ISA: `values` a vector, `width` its floats, `first` the first `count` of them.
#pragma once

#include <stddef.h>

#include "isa.hpp"
#include "math_scalar.hpp"

namespace wc {

struct lanes_scalar {
  using values = float;
  static constexpr size_t width = 1;
  static WC_INLINE values set(float x) { return x; }
  static WC_INLINE values load(const float *p) { return *p; }
  static WC_INLINE void store(float *p, values v) { *p = v; }
  static WC_INLINE values load_first(const float *p, size_t) { return *p; }
  static WC_INLINE void store_first(float *p, values v, size_t) { *p = v; }
  static WC_INLINE values add(values a, values b) { return a + b; }
  static WC_INLINE values sub(values a, values b) { return a - b; }
  static WC_INLINE values mul(values a, values b) { return a * b; }
  // a·b + c. Not fused: without an FMA instruction a fused one is a call into the C library.
  static WC_INLINE values multiply_add(values a, values b, values c) { return a * b + c; }
  static WC_INLINE values max(values a, values b) { return a > b ? a : b; }
  static WC_INLINE values min(values a, values b) { return a < b ? a : b; }
  static WC_INLINE values div(values a, values b) { return a / b; }
  // c − a·b, rounded as multiply_add is.
  static WC_INLINE values subtract_product(values a, values b, values c) { return c - a * b; }
  // The nearest integer, ties to even; infinities and NaN pass.
  static WC_INLINE values nearest(values x) { return x > -4194304.0f && x < 4194304.0f ? round_even_scalar(x) : x; }
  // 2^n for a whole n ≤ 127, 0 from −127 down; of NaN some finite value.
  static WC_INLINE values power_of_two(values n) { return power_of_two_scalar(n); }
  // Where a < b lane by lane x, elsewhere y.
  static WC_INLINE values where_less(values a, values b, values x, values y) { return a < b ? x : y; }
  static WC_INLINE float sum(values v) { return v; }
  static WC_INLINE float greatest(values v) { return v; }
  static WC_INLINE values keep_first(values v, size_t, float) { return v; }
  template <int count>
  static WC_INLINE void exp2_nonpositive_each(values (&v)[count]) {
    for (int i = 0; i < count; ++i) v[i] = exp2_nonpositive_scalar(v[i]);
  }
  template <int count>
  static WC_INLINE void gelu_each(values (&v)[count]) {
    for (int i = 0; i < count; ++i) v[i] = gelu_scalar(v[i]);
  }
  template <int count>
  static WC_INLINE void silu_each(values (&v)[count]) {
    for (int i = 0; i < count; ++i) v[i] = silu_scalar(v[i]);
  }
  template <int count>
  static WC_INLINE void exp_nonpositive_each(values (&v)[count]) {
    for (int i = 0; i < count; ++i) v[i] = exp_nonpositive_scalar(v[i]);
  }
  template <int count>
  static WC_INLINE void gelu_tanh_each(values (&v)[count]) {
    for (int i = 0; i < count; ++i) v[i] = gelu_tanh_scalar(v[i]);
  }
  template <int count>
  static WC_INLINE void softplus_each(values (&v)[count]) {
    for (int i = 0; i < count; ++i) v[i] = softplus_scalar(v[i]);
  }
  // 2^x for x ≤ 0.5, in the way that costs least where scans do little else.
  struct decay {
    template <int count>
    WC_INLINE void each(values (&v)[count]) const {
      exp2_nonpositive_each(v);
    }
  };
};

}  // namespace wc
