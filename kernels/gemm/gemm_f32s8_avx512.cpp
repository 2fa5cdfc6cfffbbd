// C f32 = scale · (A f32 · B s8), widened in registers.  B packed [N/nr][K][nr].  Any m, n, k.
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
}  // namespace

extern "C" wc_status gemm_f32s8_avx512_12x32(const wc_gemm_args *g) {
  return run_block<dot_family<f32s8_dot, 12, 32>>(g);
}
extern "C" wc_status gemm_f32s8_avx512_8x48(const wc_gemm_args *g) {
  return run_block<dot_family<f32s8_dot, 8, 48>>(g);
}
WC_TARGET_END
#endif
