// C f32 = scale · (A bf16 · B s8) by vdpbf16ps; 8-bit codes are exact in bf16.  B packed
// [N/nr][K/2][nr][2].  Any m, n, k.  Subnormal activations count as zero: that is the instruction.
//
// A single strip widens codes in registers. Tall blocks widen a panel into scratch once and pass all
// strips over it.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512bf16)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"

// B in bf16, from a widened panel.
struct wide_dot : channel_sums {
  using element = uint16_t;
  using operand = simd::s32;
  static constexpr int kr = 2, parts = 1, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int) { return simd::load_bytes(p); }
  static WC_INLINE simd::s32 broadcast(const uint16_t *a) { return broadcast_word(a); }
  static WC_INLINE sum dot(sum s, simd::s32 a, simd::s32 b) {
    return _mm512_dpbf16_ps(s, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};

// B in 8-bit codes.
struct narrow_dot : wide_dot {
  static constexpr int accumulators = simd::accumulators_beside_work;
  static constexpr int step_bytes = simd::lanes * 2;
  static WC_INLINE operand load(const char *p, int) {
    return reinterpret_cast<__m512i>(
        _mm512_cvtne2ps_pbh(simd::load_s8_as_f32(p + 16), simd::load_s8_as_f32(p)));
  }
};

template <int MR, int NR>
struct bf16s8_family : dot_family<narrow_dot, MR, NR> {
  static constexpr bool fetches = false;
  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return channel_sums::ready(g) && (g.k == 0 || g.m <= MR || g.scratch);
  }
  static WC_INLINE const char *panel(const wc_gemm_args &g, const char *b) {
    char *to = static_cast<char *>(g.scratch);
    const size_t vectors = (g.k + 1) / 2 * (NR / simd::lanes);
    for (size_t v = 0; v < vectors; ++v, b += narrow_dot::step_bytes, to += wide_dot::step_bytes) {
      simd::store_bytes(to, narrow_dot::load(b, 0));
    }
    return static_cast<const char *>(g.scratch);
  }
  template <int R, int P, bool Stream>
  static WC_INLINE void tile(const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    dot_family<std::conditional_t<Stream, narrow_dot, wide_dot>, MR, NR>::template tile<R, P, Stream>(g, c, b, row);
  }
};
}  // namespace

extern "C" wc_status gemm_bf16s8_avx512bf16_8x48(const wc_gemm_args *g) {
  return run_block<bf16s8_family<8, 48>>(g);
}
extern "C" wc_status gemm_bf16s8_avx512bf16_12x32(const wc_gemm_args *g) {
  return run_block<bf16s8_family<12, 32>>(g);
}
WC_TARGET_END
#endif
