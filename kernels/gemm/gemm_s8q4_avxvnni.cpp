// C f32 = scales · (A s8 · B q4).  B packed in q4 panels.  Any m, n; k a multiple of the group.
// Exact: vpdpbusd adds four u4·s8 products to s32; see q4_tile.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/math_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avxvnni)
namespace {
#include "simd_avx2.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "q4_tile.hpp"
#include "q4_sum_s32.hpp"

struct vnni {
  static WC_INLINE simd::s32 dot(simd::s32 sum, simd::s32 u, simd::s32 s) { return _mm256_dpbusd_avx_epi32(sum, u, s); }
};
}  // namespace

extern "C" wc_status gemm_s8q4g32_avxvnni_4x24(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 24, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4g32_avxvnni_6x16(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 16, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4g64_avxvnni_4x24(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 24, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4g64_avxvnni_6x16(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 16, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4g128_avxvnni_4x24(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 24, 128, true>>(g);
}
extern "C" wc_status gemm_s8q4g128_avxvnni_6x16(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 16, 128, true>>(g);
}
WC_TARGET_END
#endif
