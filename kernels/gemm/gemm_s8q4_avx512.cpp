// C f32 = scales · (A s8 · B q4), for AVX-512 without VNNI.  B packed in q4 panels.  Any m, n; k a
// multiple of the group.  Exact: products are added in s16 as far as they fit, then in s32; see
// q4_sum_s16.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "q4_tile.hpp"
#include "q4_sum_s16.hpp"
}  // namespace

extern "C" wc_status gemm_s8q4g32_avx512_8x32(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s16, 8, 32, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512_8x32(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s16, 8, 32, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512_8x32(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s16, 8, 32, 128, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512_8x32(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s16, 8, 32, 32, true, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512_8x32(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s16, 8, 32, 64, true, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512_8x32(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s16, 8, 32, 128, true, true>>(g);
}
WC_TARGET_END
#endif
