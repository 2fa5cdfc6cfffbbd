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

struct u8s8_dot : s8_sums {
  using element = uint8_t;
  using operand = simd::s32;
  static constexpr int accumulators = simd::accumulators;
  static constexpr int kr = 4, parts = 1, step_bytes = simd::lanes * 4;
  static WC_INLINE bool ready(const wc_gemm_args &g) { return s8_sums::ready(g) && g.b_sum; }
  static WC_INLINE operand load(const char *p, int) { return simd::load_bytes(p); }
  static WC_INLINE simd::s32 broadcast(const uint8_t *a) { return broadcast_word(a); }
  static WC_INLINE sum dot(sum s, simd::s32 a, simd::s32 b) { return _mm512_dpbusd_epi32(s, a, b); }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &g, const C &c, int x) {
    return _mm512_sub_epi32(simd::zero_s32(), _mm512_slli_epi32(c.load(g.b_sum, x), 7));
  }
};
}  // namespace

extern "C" wc_status gemm_u8s8_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot, 6, 64>>(g);
}
extern "C" wc_status gemm_u8s8_avx512vnni_8x48(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot, 8, 48>>(g);
}
extern "C" wc_status gemm_u8s8_avx512vnni_12x32(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot, 12, 32>>(g);
}
extern "C" wc_status gemm_u8s8_avx512vnni_14x32(const wc_gemm_args *g) {
  return run_block<dot_family<u8s8_dot, 14, 32>>(g);
}
WC_TARGET_END
#endif
