// C f32 = scales · (A s8 · B s8).  B packed [N/nr][K/4][nr][4].  Any m, n, k.
// Exact: vpmaddubsw multiplies |w| by a with w's sign. A pair of such products is at most 2·128·127 = 32512
// in size, which fits the 16 bits it is added in, as long as no a is −128; blocks of A that hold one take
// a slower tile.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/isa.hpp"
#include "../common/math_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
namespace {
#include "simd_avx2.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"

// Lowest: A may hold −128, which is multiplied as −127 and −1.
template <bool Lowest>
struct s8s8_dot : s8_sums {
  using element = int8_t;
  using operand = simd::s32;
  static constexpr int accumulators = simd::accumulators_beside_work;
  static constexpr int kr = 4, parts = 1, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int) { return simd::load_bytes(p); }
  static WC_INLINE operand broadcast(const int8_t *a) { return broadcast_word(a); }
  static WC_INLINE sum dot(sum s, operand a, operand b) {
    const operand kept = Lowest ? _mm256_max_epi8(a, _mm256_set1_epi8(-127)) : a;
    // |b| is the same for all rows of a tile, so it is taken once.
    const operand pairs = simd::dot_u8s8_s16(_mm256_abs_epi8(b), _mm256_sign_epi8(kept, b));
    s = simd::add(s, simd::sum_s16_pairs(pairs));
    if constexpr (Lowest) {
      const operand lowest = _mm256_abs_epi8(_mm256_cmpeq_epi8(a, _mm256_set1_epi8(-128)));
      s = _mm256_sub_epi32(s, simd::sum_s16_pairs(simd::dot_u8s8_s16(lowest, b)));
    }
    return s;
  }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_s32();
  }
};

// Whether A holds a −128: one pass over A, beside the n/8 that its products take.
bool holds_lowest(const wc_gemm_args &g) {
  const simd::s32 lowest = _mm256_set1_epi8(-128);
  for (size_t i = 0; i < g.m; ++i) {
    const auto *a = static_cast<const int8_t *>(g.a) + i * g.lda;
    simd::s32 found = simd::zero_s32();
    size_t p = 0;
    for (; p + 32 <= g.k; p += 32) found = _mm256_or_si256(found, _mm256_cmpeq_epi8(simd::load_bytes(a + p), lowest));
    if (_mm256_movemask_epi8(found)) return true;
    for (; p < g.k; ++p) {
      if (a[p] == -128) return true;
    }
  }
  return false;
}
}  // namespace

extern "C" wc_status gemm_s8s8_avx2_6x16(const wc_gemm_args *g) {
  if (g && g->a && holds_lowest(*g)) return run_block<dot_family<s8s8_dot<true>, 6, 16>>(g);
  return run_block<dot_family<s8s8_dot<false>, 6, 16>>(g);
}
WC_TARGET_END
#endif
