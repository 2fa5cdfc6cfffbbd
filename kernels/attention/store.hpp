// What a cache keeps of a row of d values: codes and scales, as append.hpp writes them and as the reference
// reads them back.
//
// bf16: nearest, ties to even. s8: s = max|x|/127, code = clamp(rne(x/s), −127, 127). q4: s = (the entry of largest
// magnitude)/−8 rounded to f16, code = clamp(rne(x/s) + 8, 0, 15). A group of zeros has scale 0; one that holds a
// NaN or an infinity, or a q4 scale beyond f16, has scale NaN.
#pragma once

#include <math.h>

#include "../gemm/numbers.hpp"
#include "layout.hpp"

namespace {

template <class S>
struct store {
  // The scale of `count` values.
  static WC_INLINE float scale_of(const float *x, size_t count) {
    float most = 0;
    bool finite = true;
    for (size_t i = 0; i < count; ++i) {
      const float size = __builtin_fabsf(x[i]);
      finite &= size < __builtin_inff();
      if (size > __builtin_fabsf(most)) most = x[i];
    }
    if (!finite) return __builtin_nanf("");
    if (S::bits == 8) return __builtin_fabsf(most) / 127.0f;
    const float scale = wc::f32_from_f16(wc::f16_from_f32(most / -8.0f));
    return __builtin_fabsf(scale) < __builtin_inff() ? scale : __builtin_nanf("");
  }
  // 1/s, and 0 where no code but zero is right.
  static WC_INLINE int code(float x, float scale) {
    const float low = S::bits == 8 ? -127.0f : -8.0f, high = S::bits == 8 ? 127.0f : 7.0f;
    if (!(__builtin_fabsf(scale) > 0)) return 0;
    float t = x / scale;
    t = t > low ? t : low;
    t = t < high ? t : high;
    const float shift = 12582912.0f;  // 1.5·2²³: the sum's last bit is worth 1
    return static_cast<int>((t + shift) - shift);
  }
  static WC_INLINE typename S::scale stored_scale(float scale) {
    if constexpr (S::bits == 4) {
      return wc::f16_from_f32(scale);
    } else {
      return scale;
    }
  }
};

// The nearest bf16, ties to even, NaN quieted; without a branch, for loops over rows.
WC_INLINE uint32_t bf16_bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, quiet = bits >> 16 | 0x40u;
  return (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
}

}  // namespace
