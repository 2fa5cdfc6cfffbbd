// C f32 = scales · (A u8 · B s8).  A holds s8 values plus 128; B packed [N/32][K/4][32][4].  Any m, n, k.
// Exact: tdpbusd adds products to s32 without saturation; sums start at −128·Σ_k w, so the 128 costs
// nothing later.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(amxint8)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "amx_tile.hpp"

struct u8s8_tile_dot : s8_sums {
  using element = uint8_t;
  static constexpr size_t kr = 4;
  static WC_INLINE bool ready(const wc_gemm_args &g) { return s8_sums::ready(g) && g.b_sum; }
  template <int C, int A, int B>
  static WC_INLINE void dot() {
    _tile_dpbusd(C, A, B);
  }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &g, const C &c, int x) {
    return simd::minus_128_times(c.load(g.b_sum, x));
  }
};
}  // namespace

extern "C" wc_status gemm_u8s8_amxint8_32x32(const wc_gemm_args *g) {
  return run_tiles<tile_dot_family<u8s8_tile_dot>>(g);
}
WC_TARGET_END
#endif
