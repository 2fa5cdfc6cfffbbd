// C f32 = scales · (A s8 · B q4) by SMMLA.  B packed in q4 panels with k-steps of eight.  Any m, n; k a
// multiple of the group.  Exact: eight products are added in s32.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neoni8mm)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "mmla_tile.hpp"
#include "s8_mmla.hpp"
#include "q4_mmla_tile.hpp"
}  // namespace

extern "C" wc_status gemm_s8q4g32_neoni8mm_4x12(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<4, 12, 32>>(g);
}
extern "C" wc_status gemm_s8q4g64_neoni8mm_4x12(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<4, 12, 64>>(g);
}
extern "C" wc_status gemm_s8q4g128_neoni8mm_4x12(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<4, 12, 128>>(g);
}
extern "C" wc_status gemm_s8q4g32_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<8, 8, 32>>(g);
}
extern "C" wc_status gemm_s8q4g64_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<8, 8, 64>>(g);
}
extern "C" wc_status gemm_s8q4g128_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<8, 8, 128>>(g);
}
extern "C" wc_status gemm_s8q4zg32_neoni8mm_4x12(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<4, 12, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_neoni8mm_4x12(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<4, 12, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_neoni8mm_4x12(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<4, 12, 128, true>>(g);
}
extern "C" wc_status gemm_s8q4zg32_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<8, 8, 32, true>>(g);
}
extern "C" wc_status gemm_s8q4zg64_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<8, 8, 64, true>>(g);
}
extern "C" wc_status gemm_s8q4zg128_neoni8mm_8x8(const wc_gemm_args *g) {
  return run_block<q4_mmla_family<8, 8, 128, true>>(g);
}
WC_TARGET_END
#endif
