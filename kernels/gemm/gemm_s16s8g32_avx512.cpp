// C f32 = Σ over groups of 32 of scales · (A s16 · B s8), A holding s8 values widened.  B packed in s8 group
// panels of k-steps of 2.  Any m, n; k a multiple of 32.  Exact: products of pairs are added in s32.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "group_tile.hpp"

// By pairs in s16: exact, no saturation can occur.
struct group_dot : s16s8_dot {
  static constexpr int centre = 0;
};
}  // namespace

extern "C" wc_status gemm_s16s8g32_avx512_6x32(const wc_gemm_args *g) {
  return run_block<group_family<group_dot, 6, 32>>(g);
}
extern "C" wc_status gemm_s16s8g32_avx512_4x48(const wc_gemm_args *g) {
  return run_block<group_family<group_dot, 4, 48>>(g);
}
WC_TARGET_END
#endif
