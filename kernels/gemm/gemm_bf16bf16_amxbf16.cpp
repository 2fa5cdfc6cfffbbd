// C f32 = A bf16 · B bf16.  B packed [N/32][K/2][32][2].  Any m, n, k.  tdpbf16ps adds the even and the odd
// products of a step apart, each in f32, denormals as zero.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(amxbf16)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "amx_tile.hpp"

struct bf16_tile_dot : float_sums {
  using element = uint16_t;
  static constexpr size_t kr = 2;
  template <int C, int A, int B>
  static WC_INLINE void dot() {
    _tile_dpbf16ps(C, A, B);
  }
};
}  // namespace

extern "C" wc_status gemm_bf16bf16_amxbf16_32x32(const wc_gemm_args *g) {
  return run_tiles<tile_dot_family<bf16_tile_dot>>(g);
}
WC_TARGET_END
#endif
