// What attention needs of a single float beside common/lanes_scalar.hpp; the vector versions have the same names.
//
// even_bf16, odd_bf16, even_q4, odd_q4: the first and the second values of `width` pairs that lie together.
#pragma once

#include "../common/lanes_scalar.hpp"
#include "../gemm/numbers.hpp"

namespace wc {

struct attention_lanes_scalar : lanes_scalar {
  static WC_INLINE values even_bf16(const void *p) { return f32_from_bf16(static_cast<const uint16_t *>(p)[0]); }
  static WC_INLINE values odd_bf16(const void *p) { return f32_from_bf16(static_cast<const uint16_t *>(p)[1]); }
  static WC_INLINE values load_s8(const void *p) { return *static_cast<const int8_t *>(p); }
  static WC_INLINE values even_q4(const void *p) { return static_cast<float>((*static_cast<const uint8_t *>(p) & 15) - 8); }
  static WC_INLINE values odd_q4(const void *p) { return static_cast<float>((*static_cast<const uint8_t *>(p) >> 4) - 8); }
  static WC_INLINE values load_scales(const float *p) { return *p; }
  static WC_INLINE values load_scales(const uint16_t *p) { return f32_from_f16(*p); }
  static WC_INLINE values count_up() { return 0; }  // 0, 1, 2, …
  static WC_INLINE values div(values a, values b) { return a / b; }
  static WC_INLINE values negative_size(values v) { return -__builtin_fabsf(v); }
  static WC_INLINE values with_sign_of(values size, values v) { return __builtin_copysignf(size, v); }
};

// Transposes blocks of side×side: to[c·stride + r] = from[r·ld + c].
struct transposer_scalar {
  static constexpr size_t side = 1;
  static WC_INLINE void transpose(const float *from, size_t, float *to, size_t) { *to = *from; }
};

}  // namespace wc
