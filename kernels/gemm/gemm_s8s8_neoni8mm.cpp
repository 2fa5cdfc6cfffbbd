// C f32 = scales · (A s8 · B s8) by SMMLA.  B packed [N/nr][K/8][nr][8].  Any m, n, k.  Exact: eight
// products are added in s32.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neoni8mm)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "mmla_tile.hpp"
#include "s8_mmla.hpp"
}  // namespace

extern "C" wc_status gemm_s8s8_neoni8mm_6x16(const wc_gemm_args *g) {
  return run_block<mmla_family<s8_mmla, 6, 16>>(g);
}
extern "C" wc_status gemm_s8s8_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<mmla_family<s8_mmla, 8, 8>>(g);
}
WC_TARGET_END
#endif
