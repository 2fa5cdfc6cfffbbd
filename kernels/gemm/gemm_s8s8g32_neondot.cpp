// C f32 = Σ over groups of 32 of scales · (A s8 · B s8) by SDOT.  B packed in s8 group panels of k-steps of
// 4.  Any m, n; k a multiple of 32.  Exact: four products are added in s32.
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
#include "group_tile.hpp"

struct group_dot {
  using element = int8_t;
  using operand = int8x16_t;
  static constexpr int centre = 0, kr = 4, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int) { return vreinterpretq_s8_s32(simd::load_bytes(p)); }
  static WC_INLINE int8x16_t broadcast(const int8_t *a) {
    int32_t word;
    __builtin_memcpy(&word, a, sizeof word);
    return vreinterpretq_s8_s32(simd::broadcast(word));
  }
  static WC_INLINE simd::s32 dot(simd::s32 s, int8x16_t a, int8x16_t b) { return vdotq_s32(s, b, a); }
};
}  // namespace

extern "C" wc_status gemm_s8s8g32_neondot_4x12(const wc_gemm_args *g) {
  return run_block<group_family<group_dot, 4, 12>>(g);
}
WC_TARGET_END
#endif
