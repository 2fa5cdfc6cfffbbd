// Rows of f32 to s8, u8 (s8 + 128), s16 and bf16; the formula stands in quantize.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "quantize.hpp"

namespace {

// What a row's codes are made with.
struct mapping {
  float32x4_t centre, reciprocal;
};

// Eight codes as s16: to nearest, ties to even, whatever the rounding mode.
WC_INLINE int16x8_t codes_s16(const float *x, mapping m) {
  const float32x4_t low = vmulq_f32(vsubq_f32(vld1q_f32(x), m.centre), m.reciprocal);
  const float32x4_t high = vmulq_f32(vsubq_f32(vld1q_f32(x + 4), m.centre), m.reciprocal);
  return vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
}

WC_INLINE int8x16_t codes_s8(const float *x, mapping m) {
  return vmovn_high_s16(vmovn_s16(codes_s16(x, m)), codes_s16(x + 8, m));
}

WC_INLINE uint32_t greatest_bits(const float *x, size_t columns) {
  uint32x4_t g[4] = {};
  size_t c = 0;
  for (; c + 16 <= columns; c += 16) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
      g[i] = vmaxq_u32(g[i], vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + c + 4 * i))));
    }
  }
  for (; c < columns; c += 4) {
    const size_t left = columns - c;
    const float32x4_t v = wc::load_first_neon(x + c, left < 4 ? left : 4);
    g[0] = vmaxq_u32(g[0], vreinterpretq_u32_f32(vabsq_f32(v)));
  }
  return vmaxvq_u32(vmaxq_u32(vmaxq_u32(g[0], g[1]), vmaxq_u32(g[2], g[3])));
}

WC_INLINE extent range_of(const float *x, size_t columns) {
  using lanes = wc::lanes_neon;
  const float first = x[0];
  const float32x4_t zero = vdupq_n_f32(0);
  float32x4_t low0 = lanes::set(first), low1 = low0, high0 = low0, high1 = low0;
  // Stays zero unless a value is a NaN or an infinity.
  float32x4_t poison0 = zero, poison1 = zero;
  size_t c = 0;
  for (; c + 8 <= columns; c += 8) {
    const float32x4_t a = lanes::load(x + c), b = lanes::load(x + c + 4);
    low0 = vminq_f32(low0, a);
    high0 = vmaxq_f32(high0, a);
    low1 = vminq_f32(low1, b);
    high1 = vmaxq_f32(high1, b);
    poison0 = vfmaq_f32(poison0, a, zero);
    poison1 = vfmaq_f32(poison1, b, zero);
  }
  for (; c < columns; c += 4) {
    const size_t left = columns - c;
    const float32x4_t v =
        left < 4 ? lanes::keep_first(lanes::load_first(x + c, left), left, first) : lanes::load(x + c);
    low0 = vminq_f32(low0, v);
    high0 = vmaxq_f32(high0, v);
    poison0 = vfmaq_f32(poison0, v, zero);
  }
  const float32x4_t poison = vaddq_f32(poison0, poison1);
  const bool finite = vminvq_u32(vceqq_f32(poison, poison)) != 0;
  return {vminvq_f32(vminq_f32(low0, low1)), vmaxvq_f32(vmaxq_f32(high0, high1)), finite};
}

// s8, and u8 by flipping the top bit.
template <typename Element, int offset>
struct quantize_bytes {
  using element = Element;
  static constexpr Element zero = static_cast<Element>(offset);

  static WC_INLINE uint32_t greatest(const float *x, size_t columns) { return greatest_bits(x, columns); }
  static WC_INLINE extent range(const float *x, size_t columns) { return range_of(x, columns); }

  static WC_INLINE void store(Element *q, int8x16_t codes) {
    const uint8x16_t flipped = veorq_u8(vreinterpretq_u8_s8(codes), vdupq_n_u8(offset));
    vst1q_u8(reinterpret_cast<uint8_t *>(q), flipped);
  }

  static WC_INLINE void write(const float *x, size_t columns, float centre, float reciprocal, Element *q) {
    const mapping m{vdupq_n_f32(centre), vdupq_n_f32(reciprocal)};
    size_t c = 0;
    for (; c + 16 <= columns; c += 16) store(q + c, codes_s8(x + c, m));
    if (c < columns) {
      float last[16] = {};
      Element out[16];
      memcpy(last, x + c, (columns - c) * sizeof(float));
      store(out, codes_s8(last, m));
      memcpy(q + c, out, columns - c);
    }
  }

  static WC_INLINE int32_t group_sum(const Element *q, size_t count) {
    int32x4_t sum = vdupq_n_s32(0);
    size_t c = 0;
    for (; c + 16 <= count; c += 16) {
      const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const uint8_t *>(q + c));
      sum = vpadalq_s16(sum, vpaddlq_s8(vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(offset)))));
    }
    int32_t total = vaddvq_s32(sum);
    for (; c < count; ++c) total += q[c] - offset;
    return total;
  }
};

struct quantize_s16 {
  using element = int16_t;
  static constexpr int16_t zero = 0;

  static WC_INLINE uint32_t greatest(const float *x, size_t columns) { return greatest_bits(x, columns); }
  static WC_INLINE extent range(const float *x, size_t columns) { return range_of(x, columns); }

  static WC_INLINE void write(const float *x, size_t columns, float centre, float reciprocal, int16_t *q) {
    const mapping m{vdupq_n_f32(centre), vdupq_n_f32(reciprocal)};
    size_t c = 0;
    for (; c + 8 <= columns; c += 8) vst1q_s16(q + c, codes_s16(x + c, m));
    if (c < columns) {
      float last[8] = {};
      int16_t out[8];
      memcpy(last, x + c, (columns - c) * sizeof(float));
      vst1q_s16(out, codes_s16(last, m));
      memcpy(q + c, out, (columns - c) * sizeof(int16_t));
    }
  }

  static WC_INLINE int32_t group_sum(const int16_t *q, size_t count) {
    int32x4_t sum = vdupq_n_s32(0);
    size_t c = 0;
    for (; c + 8 <= count; c += 8) sum = vpadalq_s16(sum, vld1q_s16(q + c));
    int32_t total = vaddvq_s32(sum);
    for (; c < count; ++c) total += q[c];
    return total;
  }
};

// bf16_of on four values, in 32-bit lanes.
WC_INLINE uint32x4_t bf16_of_four(const float *x) {
  const float32x4_t v = vld1q_f32(x);
  const uint32x4_t bits = vreinterpretq_u32_f32(v), high = vshrq_n_u32(bits, 16);
  const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
  const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
  return vbslq_u32(vceqq_f32(v, v), rounded, vorrq_u32(high, vdupq_n_u32(0x40)));
}

}  // namespace

extern "C" wc_status quantize_f32s8_neon(const wc_rowwise_args *g) {
  return quantize_rows<quantize_bytes<int8_t, 0>>(*g);
}

extern "C" wc_status quantize_f32u8_neon(const wc_rowwise_args *g) {
  return quantize_rows<quantize_bytes<uint8_t, 128>>(*g);
}

extern "C" wc_status quantize_f32s16_neon(const wc_rowwise_args *g) {
  return quantize_rows<quantize_s16>(*g);
}

extern "C" wc_status quantize_f32bf16_neon(const wc_rowwise_args *g) {
  if (g->ldq < g->columns) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g->rows; ++r) {
    const float *x = g->x + r * g->ldx;
    uint16_t *q = static_cast<uint16_t *>(g->q) + r * g->ldq;
    size_t c = 0;
    for (; c + 8 <= g->columns; c += 8) {
      vst1q_u16(q + c, vmovn_high_u32(vmovn_u32(bf16_of_four(x + c)), bf16_of_four(x + c + 4)));
    }
    for (; c < g->columns; ++c) q[c] = bf16_of(x[c]);
    for (; c < g->ldq; ++c) q[c] = 0;
  }
  return WC_OK;
}
WC_TARGET_END
#endif
