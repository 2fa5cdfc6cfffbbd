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

// Σ of one group in s32, four products at a time.
struct sum_in_s32 {
  static constexpr int accumulators = simd::accumulators / 2;  // beside the f32 bank
  template <int R, int X, int G, class Codes>
  static WC_INLINE void group(
      simd::s32 (&sum)[R][X], const int8_t *a, size_t lda, const Codes &codes) {
    if constexpr (X > R) {
#pragma clang loop unroll_count(4)
      for (int pair = 0; pair < G / 8; ++pair) {
        simd::s32 low[R], high[R];
#pragma unroll
        for (int r = 0; r < R; ++r) {
          low[r] = broadcast_word(a + r * lda + pair * 8);
          high[r] = broadcast_word(a + r * lda + pair * 8 + 4);
        }
#pragma unroll
        for (int x = 0; x < X; ++x) {
          const simd::s32 both = codes.load_pair(pair, x);
#pragma unroll
          for (int r = 0; r < R; ++r) {
            sum[r][x] = _mm512_dpbusd_epi32(sum[r][x], simd::low_codes(both), low[r]);
            sum[r][x] = _mm512_dpbusd_epi32(sum[r][x], simd::high_codes(both), high[r]);
            settle(sum[r][x]);
          }
        }
      }
    } else {
#pragma nounroll
      for (int block = 0; block < G / 32; ++block) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const int step = block * 8 + i;
          simd::s32 code[X];
#pragma unroll
          for (int x = 0; x < X; ++x) code[x] = codes.load(step, x);
#pragma unroll
          for (int r = 0; r < R; ++r) {
            const simd::s32 value = broadcast_word(a + r * lda + step * 4);
#pragma unroll
            for (int x = 0; x < X; ++x) {
              sum[r][x] = _mm512_dpbusd_epi32(sum[r][x], code[x], value);
              settle(sum[r][x]);
            }
          }
        }
      }
    }
  }
};
}  // namespace

extern "C" wc_status gemm_s8q4g32_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 4, 48, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 4, 48, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 4, 48, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4g32_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 3, 64, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 3, 64, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 3, 64, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4g32_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 6, 64, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 6, 64, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 6, 64, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 4, 48, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 4, 48, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512vnni_4x48(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 4, 48, 128, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 3, 64, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 3, 64, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512vnni_3x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 3, 64, 128, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 6, 64, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 6, 64, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_avx512vnni_6x64(const wc_gemm_args *g) {
  return run_block<q4_family<sum_in_s32, 6, 64, 128, false, true>>(g);
}
WC_TARGET_END
#endif
