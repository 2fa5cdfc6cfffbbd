// C f32 = Σ over groups of 32 of scales · (A s8 · B s8), A with its sums by groups.  B packed in s8 group
// panels of k-steps of 4.  Any m, n; k a multiple of 32.  Exact: vpdpbusd adds four products to s32.
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
#include "group_tile.hpp"

// Weights plus 128 are the unsigned operand.
struct group_dot {
  using element = int8_t;
  using operand = simd::s32;
  static constexpr int centre = 128, kr = 4, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int) {
    return _mm512_xor_si512(simd::load_bytes(p), simd::broadcast(static_cast<int32_t>(0x80808080)));
  }
  static WC_INLINE simd::s32 broadcast(const int8_t *a) { return broadcast_word(a); }
  static WC_INLINE simd::s32 dot(simd::s32 s, simd::s32 a, simd::s32 b) { return _mm512_dpbusd_epi32(s, b, a); }
};
}  // namespace

extern "C" wc_status gemm_s8s8g32_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<group_family<group_dot, 4, 48>>(g);
}
extern "C" wc_status gemm_s8s8g32_avx512vnni_6x32(const wc_gemm_args *g) {
  return run_block<group_family<group_dot, 6, 32>>(g);
}
extern "C" wc_status gemm_s8s8g32_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<group_family<group_dot, 3, 64>>(g);
}
WC_TARGET_END
#endif
