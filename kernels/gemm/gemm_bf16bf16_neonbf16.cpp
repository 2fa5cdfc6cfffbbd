// C f32 = A bf16 · B bf16 by BFMMLA, B packed [N/nr][K/4][nr][4], and by BFDOT with a lane of A, B packed
// [N/nr][K/2][nr][2].  Any m, n, k.  Subnormals count as zero, and without FEAT_EBF16 sums round to odd:
// that is the instructions.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neonbf16)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "lane_tile.hpp"
#include "mmla_tile.hpp"

struct bf16_mmla : float_sums {
  using element = uint16_t;
  static constexpr int kr = 4;
  static WC_INLINE sum dot(sum s, uint64x2_t rows, simd::s32 columns) {
    return vbfmmlaq_f32(s, vreinterpretq_bf16_u64(rows), vreinterpretq_bf16_s32(columns));
  }
};

struct bf16_lane_dot : float_sums {
  using element = uint16_t;
  using values = bfloat16x8_t;
  using operand = bfloat16x8_t;
  static constexpr int kr = 2, width = 1, step_bytes = 16;
  static WC_INLINE values load_row(const uint16_t *a) { return vreinterpretq_bf16_u16(vld1q_u16(a)); }
  static WC_INLINE values step(const uint16_t *a) {
    uint32_t word;
    __builtin_memcpy(&word, a, sizeof word);
    return vreinterpretq_bf16_u32(vdupq_n_u32(word));
  }
  static WC_INLINE void load(const char *p, operand (&w)[1]) { w[0] = vreinterpretq_bf16_s32(simd::load_bytes(p)); }
  // vbfdotq_laneq_f32 copies the lane to another register first.
  template <int L>
  static WC_INLINE sum dot(sum s, values a, operand b) {
    asm("bfdot %0.4s, %1.8h, %2.2h[%3]" : "+w"(s) : "w"(b), "w"(a), "i"(L));
    return s;
  }
};
}  // namespace

extern "C" wc_status gemm_bf16bf16_neonbf16_6x16(const wc_gemm_args *g) {
  return run_block<mmla_family<bf16_mmla, 6, 16>>(g);
}
extern "C" wc_status gemm_bf16bf16_neonbf16_8x8(const wc_gemm_args *g) {
  return run_block<mmla_family<bf16_mmla, 8, 8>>(g);
}
extern "C" wc_status gemm_bf16bf16_bfdot_neonbf16_6x16(const wc_gemm_args *g) {
  return run_block<lane_family<bf16_lane_dot, 6, 16>>(g);
}
WC_TARGET_END
#endif
