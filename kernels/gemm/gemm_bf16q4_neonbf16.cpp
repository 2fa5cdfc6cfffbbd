// C f32 = A bf16 · B q4 by BFMMLA.  B packed in q4 panels.  Any m, n; k a multiple of the group.
//
// A code less eight is exact in bf16: TBL looks up its two bytes. Per group of G values along K, in
// ascending order:  f = fma(Σ a·(code − 8), scale, f). Subnormal activations count as zero, and without
// FEAT_EBF16 sums round to odd: that is the instruction.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/isa.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neonbf16)
namespace {
#include "simd_neon.hpp"
#include "block.hpp"
#include "sums.hpp"
#include "dot_tile.hpp"
#include "mmla_tile.hpp"

// bf16 of −8 … 7, low and high bytes.
constexpr uint8_t low_bytes[16] = {
    0x00, 0xE0, 0xC0, 0xA0, 0x80, 0x40, 0x00, 0x80, 0x00, 0x80, 0x00, 0x40, 0x80, 0xA0, 0xC0, 0xE0};
constexpr uint8_t high_bytes[16] = {
    0xC1, 0xC0, 0xC0, 0xC0, 0xC0, 0xC0, 0xC0, 0xBF, 0x00, 0x3F, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40};

template <int MR, int NR, int G>
struct bf16q4_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = simd::accumulators / 4;  // beside the bank of groups; see mmla_family
  static constexpr bool fetches = false;
  static constexpr size_t pair_bytes = size_t(NR) * 4, codes_bytes = G / 8 * pair_bytes;
  static constexpr size_t record_bytes = codes_bytes + size_t(NR) * 2;

  static WC_INLINE bool ready(const wc_gemm_args &g) { return g.k % G == 0; }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int X = P * (NR / simd::lanes), H = (R + 1) / 2;
    simd::f32 rows[R][X], bank[H][2 * X];
    start_sums<float_sums>(g, c, row, rows);
    blocks_of_rows<R, X>(rows, bank);
    const size_t row_bytes = g.lda * 2;
    const char *a = static_cast<const char *>(g.a) + row * row_bytes;
    for (size_t group = 0; group < g.k / G; ++group, b += record_bytes) {
      if constexpr (Stream) {
#pragma unroll
        for (int p = 0; p < P; ++p) {
          for (size_t line = 0; line < record_bytes; line += 64) {
            __builtin_prefetch(b + p * c.panel_bytes + c.ahead + line);
          }
        }
      }
      simd::f32 sum[H][2 * X] = {};
#pragma clang loop unroll(disable)
      for (int pair = 0; pair < G / 8; ++pair, a += 16) {
        const row_pairs<R> values(a, row_bytes);
#pragma unroll
        for (int x = 0; x < X; ++x) {
          const simd::s32 codes = simd::load_bytes(
              c.panel(b, x) + pair * pair_bytes + x % c.vectors * 16);
          multiply<H>(sum, 2 * x, values.first, simd::low_codes(codes));
          multiply<H>(sum, 2 * x, values.second, simd::high_codes(codes));
        }
      }
#pragma unroll
      for (int x = 0; x < 2 * X; ++x) {
        const simd::f32 scale = two_scales(c.panel(b, x / 2) + codes_bytes + x % (NR / 2) * 4);
#pragma unroll
        for (int r = 0; r < H; ++r) bank[r][x] = simd::fma(sum[r][x], scale, bank[r][x]);
      }
    }
    rows_of_blocks<R, X>(bank, rows);
    end_sums<float_sums>(g, c, row, rows);
  }

 private:
  // One k-step of four values, by four columns: blocks x and x + 1.
  template <int H, int Blocks>
  static WC_INLINE void multiply(
      simd::f32 (&sum)[H][Blocks], int x, const uint64x2_t (&a)[H], simd::s32 codes) {
    const uint8x16_t index = vreinterpretq_u8_s32(codes);
    const uint8x16_t low = vqtbl1q_u8(vld1q_u8(low_bytes), index), high = vqtbl1q_u8(vld1q_u8(high_bytes), index);
    const bfloat16x8_t weights[2] = {
        vreinterpretq_bf16_u8(vzip1q_u8(low, high)), vreinterpretq_bf16_u8(vzip2q_u8(low, high))};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int r = 0; r < H; ++r) {
        sum[r][x + i] = vbfmmlaq_f32(sum[r][x + i], vreinterpretq_bf16_u64(a[r]), weights[i]);
        settle(sum[r][x + i]);
      }
    }
  }
};
}  // namespace

extern "C" wc_status gemm_bf16q4g32_neonbf16_8x8(const wc_gemm_args *g) {
  return run_block<bf16q4_family<8, 8, 32>>(g);
}
extern "C" wc_status gemm_bf16q4g64_neonbf16_8x8(const wc_gemm_args *g) {
  return run_block<bf16q4_family<8, 8, 64>>(g);
}
extern "C" wc_status gemm_bf16q4g128_neonbf16_8x8(const wc_gemm_args *g) {
  return run_block<bf16q4_family<8, 8, 128>>(g);
}
WC_TARGET_END
#endif
