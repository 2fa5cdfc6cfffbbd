// C f32 = scales · (A s16 · B s8).  A holds s8 values widened to s16; B packed [N/nr][K/2][nr][2].
// Any m, n, k.  Exact: products of pairs are added in s32.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
namespace {
#include "simd_avx2.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
}  // namespace

extern "C" wc_status gemm_s16s8_avx2_6x16(const wc_gemm_args *g) {
  return run_block<dot_family<s16s8_dot, 6, 16>>(g);
}
extern "C" wc_status gemm_s16s8_avx2_5x16(const wc_gemm_args *g) {
  return run_block<dot_family<s16s8_dot, 5, 16>>(g);
}
WC_TARGET_END
#endif
