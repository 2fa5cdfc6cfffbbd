// C f32 = scales · (A s8 · B s8) by SDOT with a lane of A.  B packed [N/nr][K/4][nr][4].  Any m, n, k.
// Exact: four products are added in s32.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neondot)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "lane_tile.hpp"

struct s8s8_lane_dot : s8_sums {
  using element = int8_t;
  using values = int8x16_t;
  using operand = int8x16_t;
  static constexpr int kr = 4, width = 1, step_bytes = 16;
  static WC_INLINE values load_row(const int8_t *a) { return vld1q_s8(a); }
  static WC_INLINE values step(const int8_t *a) {
    int32_t word;
    __builtin_memcpy(&word, a, sizeof word);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
  }
  static WC_INLINE void load(const char *p, operand (&w)[1]) { w[0] = vld1q_s8(reinterpret_cast<const int8_t *>(p)); }
  template <int L>
  static WC_INLINE sum dot(sum s, values a, operand b) {
    return vdotq_laneq_s32(s, b, a, L);
  }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_s32();
  }
};
}  // namespace

extern "C" wc_status gemm_s8s8_neondot_6x16(const wc_gemm_args *g) {
  return run_block<lane_family<s8s8_lane_dot, 6, 16>>(g);
}
extern "C" wc_status gemm_s8s8_neondot_8x8(const wc_gemm_args *g) {
  return run_block<lane_family<s8s8_lane_dot, 8, 8>>(g);
}
WC_TARGET_END
#endif
