// C f32 = scales · (A s8 · B q4).  B packed in q4 panels.  Any m, n; k a multiple of the group.
// Exact: tdpbsud adds s8·u4 products to s32; group by group as q4_tile.hpp has it.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/math_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(amxint8)
namespace {
#include "simd_avx512.hpp"
#include "block.hpp"
#include "dots.hpp"
#include "dot_tile.hpp"
#include "q4_tile.hpp"
#include "amx_tile.hpp"

struct s8q4_tile_dot {
  template <int C, int A, int B>
  static WC_INLINE void dot() {
    _tile_dpbsud(C, A, B);
  }
};

// Panels are expanded to a code a byte; the f32 bank of all groups lies in L1.
template <int G>
struct tile_q4_family {
  static constexpr size_t step = G < 64 ? G / 4 : 16;
  using expanded = q4_expanded<panel_columns, G, false>;

  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.k % G == 0 && g.a_scale && (g.k == 0 || (g.a_sum && g.scratch));
  }
  static WC_INLINE const char *panel(const wc_gemm_args &g, const char *b) {
    return expand_codes<panel_columns, G, false>(g, b);
  }

  template <bool Two, bool Stream>
  static __attribute__((noinline)) void strip(
      const wc_gemm_args &g, const columns<panel_columns, 1> &c, const char *b, size_t row, size_t rows) {
    alignas(64) int32_t sums[strip_rows * panel_columns];
    alignas(64) float bank[strip_rows * panel_columns];
    for (size_t r = 0; r < rows; ++r) {
      simd::f32 one[1][2];
      start_sums<bank_sums>(g, c, row + r, one);
      for (int x = 0; x < 2; ++x) simd::store(bank + r * panel_columns + x * simd::lanes, one[0][x]);
    }
    const char *a = static_cast<const char *>(g.a) + row * g.lda;
    for (size_t group = 0; group < g.k / G; ++group, b += expanded::bytes) {
      _tile_zero(0);
      _tile_zero(1);
      if constexpr (Two) {
        _tile_zero(2);
        _tile_zero(3);
      }
      for (size_t p = 0; p < G; p += step * 4) {
        multiply<s8q4_tile_dot, Two>(a + group * G + p, g.lda, b + expanded::codes + p / 4 * packed_step);
      }
      store_sums<Two>(sums, panel_columns * 4);
      const float *scales = reinterpret_cast<const float *>(b);
      for (size_t r = 0; r < rows; ++r) {
        const simd::s32 start = simd::broadcast(-8 * g.a_sum[(row + r) * g.lda_sum + group]);
        for (int x = 0; x < 2; ++x) {
          const size_t at = r * panel_columns + x * simd::lanes;
          const simd::f32 sum = simd::to_f32(simd::add(simd::load(sums + at), start));
          simd::store(bank + at, simd::fma(sum, simd::load(scales + x * simd::lanes), simd::load(bank + at)));
        }
      }
    }
    for (size_t r = 0; r < rows; ++r) {
      const float *from = bank + r * panel_columns;
      const simd::f32 one[1][2] = {{simd::load(from), simd::load(from + simd::lanes)}};
      end_sums<bank_sums>(g, c, row + r, one);
    }
  }
};
}  // namespace

extern "C" wc_status gemm_s8q4g32_amxint8_32x32(const wc_gemm_args *g) { return run_tiles<tile_q4_family<32>>(g); }
extern "C" wc_status gemm_s8q4g64_amxint8_32x32(const wc_gemm_args *g) { return run_tiles<tile_q4_family<64>>(g); }
extern "C" wc_status gemm_s8q4g128_amxint8_32x32(const wc_gemm_args *g) { return run_tiles<tile_q4_family<128>>(g); }
WC_TARGET_END
#endif
