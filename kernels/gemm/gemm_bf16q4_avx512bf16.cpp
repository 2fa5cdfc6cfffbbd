// C f32 = A bf16 · B q4 by vdpbf16ps.  B packed in q4 pair panels.  Any m, n; k a multiple of the group.
//
// A code less eight is exact in bf16, and VPERMW looks it up: it reads the low five bits of each word, so
// a table that repeats after sixteen entries needs no mask. Per group of G values along K, in ascending
// order:  f = fma(Σ a·(code − 8), scale, f). Where groups have zero points of their own, the difference is
// taken before the lookup, and the five bits index what a two's complement number of that length stands for.
// Subnormal activations count as zero: that is the instruction.
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

// bf16 of −8 … 7, twice.
alignas(64) constexpr uint16_t code_values[32] = {
    0xC100, 0xC0E0, 0xC0C0, 0xC0A0, 0xC080, 0xC040, 0xC000, 0xBF80, 0x0000, 0x3F80, 0x4000,
    0x4040, 0x4080, 0x40A0, 0x40C0, 0x40E0, 0xC100, 0xC0E0, 0xC0C0, 0xC0A0, 0xC080, 0xC040,
    0xC000, 0xBF80, 0x0000, 0x3F80, 0x4000, 0x4040, 0x4080, 0x40A0, 0x40C0, 0x40E0};

// bf16 of 0 … 15, −16 … −1.
alignas(64) constexpr uint16_t difference_values[32] = {
    0x0000, 0x3F80, 0x4000, 0x4040, 0x4080, 0x40A0, 0x40C0, 0x40E0, 0x4100, 0x4110, 0x4120,
    0x4130, 0x4140, 0x4150, 0x4160, 0x4170, 0xC180, 0xC170, 0xC160, 0xC150, 0xC140, 0xC130,
    0xC120, 0xC110, 0xC100, 0xC0E0, 0xC0C0, 0xC0A0, 0xC080, 0xC040, 0xC000, 0xBF80};

template <int MR, int NR, int G, bool Zeros = false>
struct bf16q4_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = simd::accumulators / 2;  // beside the bank of groups
  static constexpr bool fetches = true;
  static constexpr int panels_of_a_row = 3;  // expanding codes takes long enough that two streams leave memory idle
  static constexpr size_t octet_bytes = size_t(NR) * 4, codes_bytes = G / 8 * octet_bytes;
  static constexpr size_t zeros = codes_bytes + size_t(NR) * 2, record_bytes = zeros + (Zeros ? NR / 2 : 0);

  static WC_INLINE bool ready(const wc_gemm_args &g) { return g.k % G == 0; }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  // K values 2·pair and 2·pair + 1 of eight, of each column; `zero`: its zero point in every byte.
  static WC_INLINE __m512bh values(simd::s32 codes, int pair, simd::s32 zero, simd::s32 table) {
    simd::s32 index = _mm512_srli_epi16(codes, 4 * pair);
    if constexpr (Zeros) {
      // Two pairs at a time, a code a byte: the compiler shares what `pair` and `pair` ± 2 have in common.
      const simd::s32 codes_of_two = pair % 2 ? simd::high_codes(codes) : simd::low_codes(codes);
      index = _mm512_srli_epi16(_mm512_sub_epi8(codes_of_two, zero), pair / 2 * 8);
    }
    return reinterpret_cast<__m512bh>(_mm512_permutexvar_epi16(index, table));
  }
  static WC_INLINE __m512bh broadcast_pair(const uint16_t *a) {
    return reinterpret_cast<__m512bh>(broadcast_word(a));
  }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int V = NR / simd::lanes, X = P * V;
    const simd::s32 table = simd::load_bytes(Zeros ? difference_values : code_values);
    simd::f32 bank[R][X];
    start_sums<float_sums>(g, c, row, bank);
    const auto *a = static_cast<const uint16_t *>(g.a) + row * g.lda;
    const size_t lda = g.lda;
    for (size_t group = 0, turn = 0; group < g.k / G; ++group, turn = c.after(turn), b += record_bytes) {
      const size_t ahead = turn == c.turn ? c.ahead : 0;
      simd::f32 sum[R][X];
#pragma unroll
      for (int r = 0; r < R; ++r) {
#pragma unroll
        for (int x = 0; x < X; ++x) sum[r][x] = simd::zero_f32();
      }
      simd::s32 zero[X] = {};
      if constexpr (Zeros) {
#pragma unroll
        for (int x = 0; x < X; ++x) {
          const simd::s32 points = simd::load_zeros(c.panel(b, x) + zeros + x % V * simd::lanes / 2);
          zero[x] = _mm512_mullo_epi32(points, simd::broadcast(0x01010101));
        }
      }
#pragma nounroll
      for (int octet = 0; octet < G / 8; ++octet, a += 8) {
        const char *codes = b + octet * octet_bytes;
        if constexpr (X > R) {
#pragma unroll
          for (int x = 0; x < X; ++x) {
            const char *at = c.panel(codes, x) + x % V * 64;
            if constexpr (Stream) __builtin_prefetch(at + ahead);
            const simd::s32 all = simd::load_bytes(at);
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
              const __m512bh weights = values(all, pair, zero[x], table);
#pragma unroll
              for (int r = 0; r < R; ++r) {
                sum[r][x] = _mm512_dpbf16_ps(sum[r][x], broadcast_pair(a + r * lda + 2 * pair), weights);
              }
            }
#pragma unroll
            for (int r = 0; r < R; ++r) settle(sum[r][x]);
          }
        } else {
#pragma unroll
          for (int pair = 0; pair < 4; ++pair) {
            __m512bh weights[X];
#pragma unroll
            for (int x = 0; x < X; ++x) {
              const char *at = c.panel(codes, x) + x % V * 64;
              if constexpr (Stream) {
                if (pair == 0) __builtin_prefetch(at + ahead);
              }
              weights[x] = values(simd::load_bytes(at), pair, zero[x], table);
            }
#pragma unroll
            for (int r = 0; r < R; ++r) {
              const __m512bh value = broadcast_pair(a + r * lda + 2 * pair);
#pragma unroll
              for (int x = 0; x < X; ++x) {
                sum[r][x] = _mm512_dpbf16_ps(sum[r][x], value, weights[x]);
                settle(sum[r][x]);
              }
            }
          }
        }
      }
#pragma unroll
      for (int x = 0; x < X; ++x) {
        const char *at = c.panel(b, x) + codes_bytes + x % V * simd::lanes * 2;
        if constexpr (Stream) {
          if (x % V % 2 == 0) __builtin_prefetch(at + ahead);
        }
        const simd::f32 scale = simd::load_f16(at);
#pragma unroll
        for (int r = 0; r < R; ++r) bank[r][x] = simd::fma(sum[r][x], scale, bank[r][x]);
      }
    }
    end_sums<float_sums>(g, c, row, bank);
  }
};
}  // namespace

extern "C" wc_status gemm_bf16q4g32_avx512bf16_4x48(const wc_gemm_args *g) {
  return run_block<bf16q4_family<4, 48, 32>>(g);
}
extern "C" wc_status gemm_bf16q4g64_avx512bf16_4x48(const wc_gemm_args *g) {
  return run_block<bf16q4_family<4, 48, 64>>(g);
}
extern "C" wc_status gemm_bf16q4g128_avx512bf16_4x48(const wc_gemm_args *g) {
  return run_block<bf16q4_family<4, 48, 128>>(g);
}
extern "C" wc_status gemm_bf16q4g32_avx512bf16_6x32(const wc_gemm_args *g) {
  return run_block<bf16q4_family<6, 32, 32>>(g);
}
extern "C" wc_status gemm_bf16q4g64_avx512bf16_6x32(const wc_gemm_args *g) {
  return run_block<bf16q4_family<6, 32, 64>>(g);
}
extern "C" wc_status gemm_bf16q4g128_avx512bf16_6x32(const wc_gemm_args *g) {
  return run_block<bf16q4_family<6, 32, 128>>(g);
}
extern "C" wc_status gemm_bf16q4zg32_avx512bf16_4x48(const wc_gemm_args *g) {
  return run_block<bf16q4_family<4, 48, 32, true>>(g);
}
extern "C" wc_status gemm_bf16q4zg64_avx512bf16_4x48(const wc_gemm_args *g) {
  return run_block<bf16q4_family<4, 48, 64, true>>(g);
}
extern "C" wc_status gemm_bf16q4zg128_avx512bf16_4x48(const wc_gemm_args *g) {
  return run_block<bf16q4_family<4, 48, 128, true>>(g);
}
extern "C" wc_status gemm_bf16q4zg32_avx512bf16_6x32(const wc_gemm_args *g) {
  return run_block<bf16q4_family<6, 32, 32, true>>(g);
}
extern "C" wc_status gemm_bf16q4zg64_avx512bf16_6x32(const wc_gemm_args *g) {
  return run_block<bf16q4_family<6, 32, 64, true>>(g);
}
extern "C" wc_status gemm_bf16q4zg128_avx512bf16_6x32(const wc_gemm_args *g) {
  return run_block<bf16q4_family<6, 32, 128, true>>(g);
}
WC_TARGET_END
#endif
