// What attention needs of four floats beside common/lanes_neon.hpp, under the names of lanes_scalar.hpp.
#pragma once

#if defined(__aarch64__)
#include "../common/lanes_neon.hpp"

WC_TARGET_BEGIN(neon)
namespace wc {

struct attention_lanes_neon : lanes_neon {
  static WC_INLINE uint32x4_t words(const void *p) { return vreinterpretq_u32_u8(vld1q_u8(static_cast<const uint8_t *>(p))); }
  static WC_INLINE uint8x8_t bytes(const void *p) {
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return vreinterpret_u8_u32(vdup_n_u32(four));
  }
  static WC_INLINE values even_bf16(const void *p) { return vreinterpretq_f32_u32(vshlq_n_u32(words(p), 16)); }
  static WC_INLINE values odd_bf16(const void *p) {
    return vreinterpretq_f32_u32(vandq_u32(words(p), vdupq_n_u32(0xffff0000u)));
  }
  static WC_INLINE values load_s8(const void *p) {
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(bytes(p))))));
  }
  static WC_INLINE values less_8(uint8x8_t codes) {
    const int16x8_t values16 = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(codes)), vdupq_n_s16(8));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(values16)));
  }
  static WC_INLINE values even_q4(const void *p) { return less_8(vand_u8(bytes(p), vdup_n_u8(15))); }
  static WC_INLINE values odd_q4(const void *p) { return less_8(vshr_n_u8(bytes(p), 4)); }
  static WC_INLINE values load_scales(const float *p) { return load(p); }
  static WC_INLINE values load_scales(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
  static WC_INLINE values count_up() {
    const float32x4_t v = {0, 1, 2, 3};
    return v;
  }
  static WC_INLINE values div(values a, values b) { return vdivq_f32(a, b); }
  static WC_INLINE values negative_size(values v) { return vnegq_f32(vabsq_f32(v)); }
  static WC_INLINE values with_sign_of(values size, values v) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), v, size);
  }
};

struct transposer_neon {
  static constexpr size_t side = 4;
  static WC_INLINE void transpose(const float *from, size_t ld, float *to, size_t stride) {
    const float32x4x2_t top = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + ld));
    const float32x4x2_t bottom = vtrnq_f32(vld1q_f32(from + 2 * ld), vld1q_f32(from + 3 * ld));
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 2; ++i) {
      vst1q_f32(to + i * stride, vcombine_f32(vget_low_f32(top.val[i]), vget_low_f32(bottom.val[i])));
      vst1q_f32(to + (i + 2) * stride, vcombine_f32(vget_high_f32(top.val[i]), vget_high_f32(bottom.val[i])));
    }
  }
};

}  // namespace wc
WC_TARGET_END
#endif
