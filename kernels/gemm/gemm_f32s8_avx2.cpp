// C f32 = scale · (A f32 · B s8), widened in registers.  B packed [N/nr][K][nr].  Any m, n, k.
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

extern "C" wc_status gemm_f32s8_avx2_6x16(const wc_gemm_args *g) {
  return run_block<dot_family<f32s8_dot, 6, 16>>(g);
}
extern "C" wc_status gemm_f32s8_avx2_4x24(const wc_gemm_args *g) {
  return run_block<dot_family<f32s8_dot, 4, 24>>(g);
}
WC_TARGET_END
#endif
