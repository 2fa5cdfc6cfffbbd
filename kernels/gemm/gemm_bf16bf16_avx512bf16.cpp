// C f32 = A bf16 · B bf16 by vdpbf16ps.  B packed [N/nr][K/2][nr][2].  Any m, n, k.  Subnormal inputs
// count as zero and sums round to nearest even whatever MXCSR says: that is the instruction.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512bf16)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"

struct bf16_dot : float_sums {
  using element = uint16_t;
  using operand = simd::s32;
  static constexpr int kr = 2, parts = 1, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int) { return simd::load_bytes(p); }
  static WC_INLINE simd::s32 broadcast(const uint16_t *a) { return broadcast_word(a); }
  static WC_INLINE sum dot(sum s, simd::s32 a, simd::s32 b) {
    return _mm512_dpbf16_ps(s, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};
}  // namespace

extern "C" wc_status gemm_bf16bf16_avx512bf16_6x64(const wc_gemm_args *g) {
  return run_block<dot_family<bf16_dot, 6, 64>>(g);
}
extern "C" wc_status gemm_bf16bf16_avx512bf16_8x48(const wc_gemm_args *g) {
  return run_block<dot_family<bf16_dot, 8, 48>>(g);
}
extern "C" wc_status gemm_bf16bf16_avx512bf16_12x32(const wc_gemm_args *g) {
  return run_block<dot_family<bf16_dot, 12, 32>>(g);
}
extern "C" wc_status gemm_bf16bf16_avx512bf16_14x32(const wc_gemm_args *g) {
  return run_block<dot_family<bf16_dot, 14, 32>>(g);
}
WC_TARGET_END
#endif
