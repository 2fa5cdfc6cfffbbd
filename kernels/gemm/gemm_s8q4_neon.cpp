// C f32 = scales · (A s8 · B q4), for CPUs without dot products.  B packed in q4 panels.  Any m, n; k a
// multiple of the group.  Exact: products are added in s16 as far as they fit, then in s32.
#if defined(__aarch64__)
#include <arm_neon.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "q4_tile.hpp"

// Σ of one group by SMLAL: a u4·s8 product is at most 15·128 = 1920 in size, so the eight that a lane
// sums in a block of 32 fit s16.
struct sum_by_smlal {
  static constexpr int accumulators = simd::accumulators / 3;  // two s16 sums and the f32 bank
  template <int R, int X, int G, class Codes>
  static WC_INLINE void group(simd::s32 (&sum)[R][X], const int8_t *a, size_t lda, const Codes &codes) {
#pragma nounroll
    for (int block = 0; block < G / 32; ++block) {
      int16x8_t low[R][X], high[R][X];
#pragma unroll
      for (int step = 0; step < 8; ++step) {
        int8x16_t values[R];
#pragma unroll
        for (int r = 0; r < R; ++r) {
          int32_t word;
          __builtin_memcpy(&word, a + r * lda + block * 32 + step * 4, sizeof word);
          values[r] = vreinterpretq_s8_s32(vdupq_n_s32(word));
        }
#pragma unroll
        for (int x = 0; x < X; ++x) {
          const int8x16_t code = vreinterpretq_s8_s32(codes.load(block * 8 + step, x));
#pragma unroll
          for (int r = 0; r < R; ++r) {
            if (step == 0) {
              low[r][x] = vmull_s8(vget_low_s8(code), vget_low_s8(values[r]));
              high[r][x] = vmull_high_s8(code, values[r]);
            } else {
              low[r][x] = vmlal_s8(low[r][x], vget_low_s8(code), vget_low_s8(values[r]));
              high[r][x] = vmlal_high_s8(high[r][x], code, values[r]);
            }
            settle(low[r][x]);
            settle(high[r][x]);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
#pragma unroll
        for (int x = 0; x < X; ++x) {
          const simd::s32 block_sum = vpaddq_s32(vpaddlq_s16(low[r][x]), vpaddlq_s16(high[r][x]));
          sum[r][x] = vaddq_s32(sum[r][x], block_sum);
        }
      }
    }
  }
};
}  // namespace

extern "C" wc_status gemm_s8q4g32_neon_4x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_smlal, 4, 8, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4g64_neon_4x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_smlal, 4, 8, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4g128_neon_4x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_smlal, 4, 8, 128, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_neon_4x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_smlal, 4, 8, 32, true, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_neon_4x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_smlal, 4, 8, 64, true, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_neon_4x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_smlal, 4, 8, 128, true, true>>(g);
}
WC_TARGET_END
#endif
