// C f32 = scales · (A s8 · B q4).  B packed in q4 panels.  Any m, n; k a multiple of the group.
// Exact: vpdpbusd adds four u4·s8 products to s32; see q4_tile.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512vnni)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "q4_tile.hpp"
#include "q4_sum_s32.hpp"

struct vnni {
  static WC_INLINE simd::s32 dot(simd::s32 sum, simd::s32 u, simd::s32 s) { return _mm512_dpbusd_epi32(sum, u, s); }
};
}  // namespace

extern "C" wc_status gemm_s8q4g32_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 48, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 48, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 48, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4g32_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 3, 64, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 3, 64, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 3, 64, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4g32_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 64, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 64, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 64, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 48, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 48, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 4, 48, 128, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 3, 64, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 3, 64, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 3, 64, 128, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 64, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 64, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32<vnni>, 6, 64, 128, false, true>>(g);
}
WC_TARGET_END
#endif
