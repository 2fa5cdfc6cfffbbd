// Compute probes on 128-bit vectors of Arm. Every chain is an accumulator of its own; the empty asm makes
// operands and accumulators opaque after each step, so that nothing is hoisted, shared or folded.
// Rates count multiply-adds of the named type, two operations each, and no helper instruction.
#pragma once

#if defined(__aarch64__)
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

WC_TARGET_BEGIN(neon)
namespace {

template <class Vector>
WC_INLINE void opaque(Vector &v) {
  asm volatile("" : "+w"(v));
}

// FMLA with a lane of the other operand, as the kernels use it.
template <int chains>
double probe_f32_neon(size_t iterations, const void *, size_t) {
  float32x4_t sum[chains] = {}, x = vdupq_n_f32(1e-3f), y = x;
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = vfmaq_laneq_f32(sum[c], x, y, 1);
      opaque(sum[c]);
    }
  }
  return 2.0 * 4 * chains * static_cast<double>(iterations);
}

// Eight bf16 widened by two shifts; each widened vector feeds `reuse` multiply-adds, as it would in a tile
// of that many rows.
template <int chains, int reuse>
double probe_bf16_fma_neon(size_t iterations, const void *, size_t) {
  static_assert(chains % (2 * reuse) == 0);
  float32x4_t sum[chains] = {}, x = vdupq_n_f32(1e-3f);
  uint16x8_t packed = vdupq_n_u16(0x3a83);
  opaque(x);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; c += 2 * reuse) {
      opaque(packed);
      const float32x4_t low = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(packed), 16));
      const float32x4_t high = vreinterpretq_f32_u32(vshll_high_n_u16(packed, 16));
#pragma clang loop unroll(full)
      for (int r = 0; r < reuse; ++r) {
        sum[c + r] = vfmaq_laneq_f32(sum[c + r], low, x, 0);
        sum[c + reuse + r] = vfmaq_laneq_f32(sum[c + reuse + r], high, x, 0);
        opaque(sum[c + r]);
        opaque(sum[c + reuse + r]);
      }
    }
  }
  return 2.0 * 4 * chains * static_cast<double>(iterations);
}

// Values widened to 16 bits: SMLAL and SMLAL2 with a lane.
template <int chains>
double probe_int8_smlal(size_t iterations, const void *, size_t) {
  static_assert(chains % 2 == 0);
  int32x4_t sum[chains] = {};
  int16x8_t x = vdupq_n_s16(3), y = vdupq_n_s16(-5);
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; c += 2) {
      sum[c] = vmlal_laneq_s16(sum[c], vget_low_s16(x), y, 1);
      sum[c + 1] = vmlal_high_laneq_s16(sum[c + 1], x, y, 1);
      opaque(sum[c]);
      opaque(sum[c + 1]);
    }
  }
  return 2.0 * 4 * chains * static_cast<double>(iterations);
}

// u4 × s8: SMLAL and SMLAL2 add up in 16 bits `period` times (seventeen stay in range, a product being at
// most 15·128), then both are widened and added. The codes come two to a byte; each unpacked pair of
// vectors feeds all chains.
template <int chains, int period>
double probe_int4_smlal(size_t iterations, const void *, size_t) {
  static_assert(period % 2 == 0 && period <= 16);
  int32x4_t sum[chains] = {};
  uint8x16_t packed = vdupq_n_u8(0x21);
  int8x16_t x = vdupq_n_s8(-1);
  for (size_t i = 0; i < iterations; ++i) {
    int16x8_t low[chains] = {}, high[chains] = {};
#pragma clang loop unroll(full)
    for (int step = 0; step < period; step += 2) {
      opaque(packed);
      const int8x16_t even = vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15)));
      const int8x16_t odd = vreinterpretq_s8_u8(vshrq_n_u8(packed, 4));
#pragma clang loop unroll(full)
      for (int c = 0; c < chains; ++c) {
        opaque(x);
        low[c] = vmlal_s8(vmlal_s8(low[c], vget_low_s8(even), vget_low_s8(x)), vget_low_s8(odd), vget_low_s8(x));
        high[c] = vmlal_high_s8(vmlal_high_s8(high[c], even, x), odd, x);
        opaque(low[c]);
        opaque(high[c]);
      }
    }
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = vaddq_s32(sum[c], vpaddq_s32(vpaddlq_s16(low[c]), vpaddlq_s16(high[c])));
      opaque(sum[c]);
    }
  }
  return 2.0 * 16 * chains * period * static_cast<double>(iterations);
}

// One group of 4-bit codes a turn: `steps` products of 16 bytes a chain, codes unpacked two vectors at a
// time for all chains, then the group's scale: conversion and FMLA. Product: one such product, of `macs`
// multiply-adds. Expanded in the target region of its instruction.
#define WC_INT4_GROUPS(name, product, macs)                                              \
  template <int chains, int steps>                                                       \
  double name(size_t iterations, const void *, size_t) {                                 \
    static_assert(steps % 2 == 0);                                                       \
    uint8x16_t packed = vdupq_n_u8(0x21);                                                \
    int8x16_t x = vdupq_n_s8(-1);                                                        \
    float32x4_t total[chains] = {}, scale = vdupq_n_f32(1e-3f);                          \
    opaque(x);                                                                           \
    opaque(scale);                                                                       \
    for (size_t i = 0; i < iterations; ++i) {                                            \
      int32x4_t sum[chains] = {};                                                        \
      _Pragma("clang loop unroll(full)") for (int step = 0; step < steps; step += 2) {   \
        opaque(packed);                                                                  \
        const int8x16_t even = vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15)));    \
        const int8x16_t odd = vreinterpretq_s8_u8(vshrq_n_u8(packed, 4));                \
        _Pragma("clang loop unroll(full)") for (int c = 0; c < chains; ++c) {            \
          sum[c] = product(sum[c], even, x);                                             \
          opaque(sum[c]);                                                                \
        }                                                                                \
        _Pragma("clang loop unroll(full)") for (int c = 0; c < chains; ++c) {            \
          sum[c] = product(sum[c], odd, x);                                              \
          opaque(sum[c]);                                                                \
        }                                                                                \
      }                                                                                  \
      _Pragma("clang loop unroll(full)") for (int c = 0; c < chains; ++c) {              \
        total[c] = vfmaq_f32(total[c], vcvtq_f32_s32(sum[c]), scale);                    \
        opaque(total[c]);                                                                \
      }                                                                                  \
    }                                                                                    \
    return 2.0 * (macs) * chains * steps * static_cast<double>(iterations);              \
  }

}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(neondot)
namespace {

template <int chains>
double probe_int8_sdot(size_t iterations, const void *, size_t) {
  int32x4_t sum[chains] = {};
  int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(-5);
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = vdotq_laneq_s32(sum[c], x, y, 1);
      opaque(sum[c]);
    }
  }
  return 2.0 * 16 * chains * static_cast<double>(iterations);
}

WC_INLINE int32x4_t sdot_of_lane(int32x4_t sum, int8x16_t codes, int8x16_t x) {
  return vdotq_laneq_s32(sum, codes, x, 1);
}
WC_INT4_GROUPS(probe_int4_sdot, sdot_of_lane, 16)

}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(neoni8mm)
namespace {

template <int chains>
double probe_int8_smmla(size_t iterations, const void *, size_t) {
  int32x4_t sum[chains] = {};
  int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(-5);
  opaque(x);
  opaque(y);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = vmmlaq_s32(sum[c], x, y);
      opaque(sum[c]);
    }
  }
  return 2.0 * 32 * chains * static_cast<double>(iterations);
}

WC_INT4_GROUPS(probe_int4_smmla, vmmlaq_s32, 32)

}  // namespace
WC_TARGET_END
#undef WC_INT4_GROUPS

WC_TARGET_BEGIN(neonbf16)
namespace {

template <int chains>
double probe_bf16_bfmmla(size_t iterations, const void *, size_t) {
  float32x4_t sum[chains] = {};
  bfloat16x8_t x = vreinterpretq_bf16_u16(vdupq_n_u16(0x3a83));
  opaque(x);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = vbfmmlaq_f32(sum[c], x, x);
      opaque(sum[c]);
    }
  }
  return 2.0 * 16 * chains * static_cast<double>(iterations);
}

template <int chains>
double probe_bf16_bfdot(size_t iterations, const void *, size_t) {
  float32x4_t sum[chains] = {};
  bfloat16x8_t x = vreinterpretq_bf16_u16(vdupq_n_u16(0x3a83));
  opaque(x);
  for (size_t i = 0; i < iterations; ++i) {
#pragma clang loop unroll(full)
    for (int c = 0; c < chains; ++c) {
      sum[c] = vbfdotq_f32(sum[c], x, x);
      opaque(sum[c]);
    }
  }
  return 2.0 * 8 * chains * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END
#endif
