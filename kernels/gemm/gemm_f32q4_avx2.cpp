// C f32 = A f32 · B q4, weights widened to f32.  B packed in q4 panels.  Any m, n; k a multiple of
// the group.
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
#include "f32q4_tile.hpp"
}  // namespace

extern "C" wc_status gemm_f32q4g32_avx2_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<dot_family<f32_dot, 6, 16>, 32>>(g);
}
extern "C" wc_status gemm_f32q4g64_avx2_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<dot_family<f32_dot, 6, 16>, 64>>(g);
}
extern "C" wc_status gemm_f32q4g128_avx2_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<dot_family<f32_dot, 6, 16>, 128>>(g);
}
extern "C" wc_status gemm_f32q4zg32_avx2_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<dot_family<f32_dot, 6, 16>, 32, true>>(g);
}
extern "C" wc_status gemm_f32q4zg64_avx2_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<dot_family<f32_dot, 6, 16>, 64, true>>(g);
}
extern "C" wc_status gemm_f32q4zg128_avx2_6x16(const wc_gemm_args *g) {
  return run_block<f32q4_family<dot_family<f32_dot, 6, 16>, 128, true>>(g);
}
WC_TARGET_END
#endif
