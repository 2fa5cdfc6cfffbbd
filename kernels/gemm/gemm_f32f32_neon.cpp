// C f32 = A f32 · B f32 by FMLA with a lane of A.  B packed [N/nr][K][nr].  Any m, n, k.
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
}  // namespace

extern "C" wc_status gemm_f32f32_neon_6x16(const wc_gemm_args *g) {
  return run_block<lane_family<f32_lane_dot, 6, 16>>(g);
}
extern "C" wc_status gemm_f32f32_neon_8x8(const wc_gemm_args *g) {
  return run_block<lane_family<f32_lane_dot, 8, 8>>(g);
}
WC_TARGET_END
#endif
