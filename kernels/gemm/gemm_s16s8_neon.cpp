// C f32 = scales · (A s16 · B s8) by SMLAL with a lane of A, for CPUs without dot products.  A holds s8
// values widened to s16; B packed [N/nr][K][nr].  Any m, n, k.  Exact: every product is added in s32.
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

// V: column vectors of a panel, which are widened together.
template <int V>
struct s16s8_lane_dot : s8_sums {
  using element = int16_t;
  using values = int16x8_t;
  using operand = int16x4_t;
  static constexpr int kr = 1, width = V, step_bytes = 4;
  static_assert(V == 2 || V == 4);
  static WC_INLINE values load_row(const int16_t *a) { return vld1q_s16(a); }
  static WC_INLINE values step(const int16_t *a) { return vld1q_dup_s16(a); }
  static WC_INLINE void load(const char *p, operand (&w)[V]) {
    const int8_t *codes = reinterpret_cast<const int8_t *>(p);
#pragma unroll
    for (int half = 0; half < V / 2; ++half) {
      const int16x8_t wide = vmovl_s8(vld1_s8(codes + 8 * half));
      w[2 * half] = vget_low_s16(wide);
      w[2 * half + 1] = vget_high_s16(wide);
    }
  }
  template <int L>
  static WC_INLINE sum dot(sum s, values a, operand b) {
    return vmlal_laneq_s16(s, b, a, L);
  }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_s32();
  }
};
}  // namespace

extern "C" wc_status gemm_s16s8_neon_5x16(const wc_gemm_args *g) {
  return run_block<lane_family<s16s8_lane_dot<4>, 5, 16>>(g);
}
extern "C" wc_status gemm_s16s8_neon_8x8(const wc_gemm_args *g) {
  return run_block<lane_family<s16s8_lane_dot<2>, 8, 8>>(g);
}
WC_TARGET_END
#endif
