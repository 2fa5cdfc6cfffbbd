// C f32 = A f32 · B q4, weights widened to f32.  B packed in q4 panels.  Any m, n; k a multiple of
// the group.
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
#include "f32q4_tile.hpp"

// Beside what widens codes, more accumulators of panels abreast would be spilled.
struct inner : lane_family<f32_lane_dot, 6, 16> {
  static constexpr int accumulators = 16;
};
}  // namespace

extern "C" wc_status gemm_f32q4g32_neon_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<inner, 32>>(g);
}
extern "C" wc_status gemm_f32q4g64_neon_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<inner, 64>>(g);
}
extern "C" wc_status gemm_f32q4g128_neon_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<inner, 128>>(g);
}
extern "C" wc_status gemm_f32q4zg32_neon_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<inner, 32, true>>(g);
}
extern "C" wc_status gemm_f32q4zg64_neon_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<inner, 64, true>>(g);
}
extern "C" wc_status gemm_f32q4zg128_neon_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<inner, 128, true>>(g);
}
WC_TARGET_END
#endif
