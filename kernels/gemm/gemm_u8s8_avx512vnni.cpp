// C f32 = scales · (A u8 · B s8).  A holds s8 values plus 128; B packed [N/nr][K/4][nr][4].  Any m, n,
// k.  Exact: vpdpbusd adds four products to s32 without saturation; accumulators start at
// −128·Σ_k w, so the 128 costs nothing later.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512vnni)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"

struct vnni {
  static WC_INLINE simd::s32 dot(simd::s32 sum, simd::s32 u, simd::s32 s) { return _mm512_dpbusd_epi32(sum, u, s); }
};
}  // namespace

extern "C" wc_status gemm_u8s8_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot<vnni>, 6, 64>>(g);
}
extern "C" wc_status gemm_u8s8_avx512vnni_8x48(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot<vnni>, 8, 48>>(g);
}
extern "C" wc_status gemm_u8s8_avx512vnni_12x32(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot<vnni>, 12, 32>>(g);
}
extern "C" wc_status gemm_u8s8_avx512vnni_14x32(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot<vnni>, 14, 32>>(g);
}
WC_TARGET_END
#endif
