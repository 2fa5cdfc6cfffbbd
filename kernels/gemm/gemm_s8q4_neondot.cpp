// C f32 = scales · (A s8 · B q4) by SDOT with a lane of A.  B packed in q4 panels.  Any m, n; k a multiple
// of the group.  Exact: four products are added in s32.
#if defined(__aarch64__)
#include <arm_neon.h>

#include <type_traits>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neondot)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "q4_tile.hpp"

// Σ of one group, sixteen values of K at a time.
struct sum_by_sdot {
  static constexpr int accumulators = simd::accumulators / 2;  // beside the f32 bank
  template <int R, int X, int G, class Codes>
  static WC_INLINE void group(simd::s32 (&sum)[R][X], const int8_t *a, size_t lda, const Codes &codes) {
#pragma clang loop unroll_count(2)
    for (int step = 0; step < G / 4; step += 4) {
      int8x16_t values[R];
#pragma unroll
      for (int r = 0; r < R; ++r) values[r] = vld1q_s8(a + r * lda + step * 4);
      two_steps<0>(sum, values, codes, step);
      two_steps<2>(sum, values, codes, step);
    }
  }

 private:
  // Both halves of a packed byte while it is in a register.
  template <int L, int R, int X, class Codes>
  static WC_INLINE void two_steps(
      simd::s32 (&sum)[R][X], const int8x16_t (&values)[R], const Codes &codes, int step) {
#pragma unroll
    for (int x = 0; x < X; ++x) {
      const int8x16_t even = vreinterpretq_s8_s32(codes.load(step + L, x));
      const int8x16_t odd = vreinterpretq_s8_s32(codes.load(step + L + 1, x));
#pragma unroll
      for (int r = 0; r < R; ++r) {
        sum[r][x] = vdotq_laneq_s32(sum[r][x], even, values[r], L);
        settle(sum[r][x]);
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
        sum[r][x] = vdotq_laneq_s32(sum[r][x], odd, values[r], L + 1);
        settle(sum[r][x]);
      }
    }
  }
};
}  // namespace

extern "C" wc_status gemm_s8q4g32_neondot_4x12(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 4, 12, 32, false>>(g);
}
extern "C" wc_status gemm_s8q4g64_neondot_4x12(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 4, 12, 64, false>>(g);
}
extern "C" wc_status gemm_s8q4g128_neondot_4x12(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 4, 12, 128, false>>(g);
}
extern "C" wc_status gemm_s8q4g32_neondot_8x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 8, 8, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4g64_neondot_8x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 8, 8, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4g128_neondot_8x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 8, 8, 128, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_neondot_4x12(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 4, 12, 32, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_neondot_4x12(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 4, 12, 64, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_neondot_4x12(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 4, 12, 128, false, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_neondot_8x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 8, 8, 32, true, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_neondot_8x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 8, 8, 64, true, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_neondot_8x8(const wc_gemm_args *g) {
  return run_block<q4_family<sum_by_sdot, 8, 8, 128, true, true>>(g);
}
WC_TARGET_END
#endif
