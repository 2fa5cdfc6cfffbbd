// C f32 = scale · (A f32 · B s8), widened in registers.  B packed [N/nr][K][nr].  Any m, n, k.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "lane_tile.hpp"

struct f32s8_lane_dot : channel_sums {
  using element = float;
  using values = float32x4_t;
  using operand = float32x4_t;
  static constexpr int kr = 1, width = 2, step_bytes = 4;
  static WC_INLINE values load_row(const float *a) { return f32_lane_dot::load_row(a); }
  static WC_INLINE values step(const float *a) { return f32_lane_dot::step(a); }
  static WC_INLINE void load(const char *p, operand (&w)[2]) {
    const int16x8_t codes = vmovl_s8(vld1_s8(reinterpret_cast<const int8_t *>(p)));
    w[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes)));
    w[1] = vcvtq_f32_s32(vmovl_high_s16(codes));
  }
  template <int L>
  static WC_INLINE sum dot(sum s, values a, operand b) {
    return f32_lane_dot::dot<L>(s, a, b);
  }
};
}  // namespace

extern "C" wc_status gemm_f32s8_neon_6x16(const wc_gemm_args *g) {
  return run_block<lane_family<f32s8_lane_dot, 6, 16>>(g);
}
extern "C" wc_status gemm_f32s8_neon_8x8(const wc_gemm_args *g) {
  return run_block<lane_family<f32s8_lane_dot, 8, 8>>(g);
}
WC_TARGET_END
#endif
