// C f32 = A f32 · B bf16, widened in registers.  B packed [N/nr][K][nr].  Any m, n, k.
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

// Eight weights become f32 by two shifts, on pipes that multiply-adds leave free.
struct f32bf16_lane_dot : f32_lane_dot {
  static constexpr int width = 2, step_bytes = 8;
  static WC_INLINE void load(const char *p, operand (&w)[2]) {
    const uint16x8_t codes = vreinterpretq_u16_u8(vld1q_u8(reinterpret_cast<const uint8_t *>(p)));
    w[0] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(codes), 16));
    w[1] = vreinterpretq_f32_u32(vshll_high_n_u16(codes, 16));
  }
};
}  // namespace

extern "C" wc_status gemm_f32bf16_neon_6x16(const wc_gemm_args *g) {
  return run_block<lane_family<f32bf16_lane_dot, 6, 16>>(g);
}
extern "C" wc_status gemm_f32bf16_neon_8x8(const wc_gemm_args *g) {
  return run_block<lane_family<f32bf16_lane_dot, 8, 8>>(g);
}
WC_TARGET_END
#endif
