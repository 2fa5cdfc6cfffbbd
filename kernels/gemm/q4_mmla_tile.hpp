// The register tile of 4-bit weights against s8 activations by SMMLA, with k-steps of eight values. The
// arithmetic of a group is that of q4_tile.hpp. No include guard on purpose: each file includes this
// inside its own target region and unnamed namespace, after mmla_tile.hpp.

template <int MR, int NR, int G, bool Zeros = false>
struct q4_mmla_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = simd::accumulators / 4;  // beside the f32 bank; see mmla_family
  static constexpr bool fetches = false;
  // The packed record of one group: G/16 pairs of k-steps, `nr` f16 scales, with Zeros as many zero points.
  static constexpr size_t pair_bytes = size_t(NR) * 8, codes_bytes = G / 16 * pair_bytes;
  static constexpr size_t zeros = codes_bytes + size_t(NR) * 2, record_bytes = zeros + (Zeros ? NR / 2 : 0);

  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.k % G == 0 && g.a_scale && (g.k == 0 || g.a_sum);
  }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int X = P * (NR / simd::lanes), H = (R + 1) / 2;
    simd::f32 rows[R][X], bank[H][2 * X];
    start_sums<bank_sums>(g, c, row, rows);
    blocks_of_rows<R, X>(rows, bank);
    const char *a = static_cast<const char *>(g.a) + row * g.lda;
    const int32_t *a_sum = g.a_sum + row * g.lda_sum;
    const size_t groups = g.k / G;
    for (size_t group = 0; group < groups; ++group) {
      if constexpr (Stream) {
#pragma unroll
        for (int p = 0; p < P; ++p) {
          for (size_t line = 0; line < record_bytes; line += 64) {
            __builtin_prefetch(b + p * c.panel_bytes + c.ahead + line);
          }
        }
      }
      simd::s32 sum[H][2 * X];
#pragma unroll
      for (int r = 0; r < R; r += 2) {
        const int partner = r + 1 < R ? r + 1 : r;
        const simd::s32 start = vcombine_s32(
            vdup_n_s32(-a_sum[r * g.lda_sum + group]), vdup_n_s32(-a_sum[partner * g.lda_sum + group]));
#pragma unroll
        for (int x = 0; x < 2 * X; ++x) {
          if constexpr (Zeros) {
            sum[r / 2][x] = vmulq_s32(start, two_zeros(c.panel(b, x / 2) + zeros + x % (NR / 2)));
          } else {
            sum[r / 2][x] = vshlq_n_s32(start, 3);
          }
        }
      }
      multiply<R, X>(c, a, g.lda, b, sum);
#pragma unroll
      for (int x = 0; x < 2 * X; ++x) {
        const simd::f32 scale = two_scales(c.panel(b, x / 2) + codes_bytes + x % (NR / 2) * 4);
#pragma unroll
        for (int r = 0; r < H; ++r) bank[r][x] = simd::fma(simd::to_f32(sum[r][x]), scale, bank[r][x]);
      }
      a += G;
      b += record_bytes;
    }
    rows_of_blocks<R, X>(bank, rows);
    end_sums<bank_sums>(g, c, row, rows);
  }

 private:
  // The zero points of two columns, for both rows of a block.
  static WC_INLINE simd::s32 two_zeros(const char *p) {
    const int both = static_cast<uint8_t>(*p);
    const int32x2_t pair = vset_lane_s32(both >> 4, vdup_n_s32(both & 15), 1);
    return vcombine_s32(pair, pair);
  }

  // One group.
  template <int R, int X, int P>
  static WC_INLINE void multiply(
      const columns<NR, P> &c, const char *a, size_t lda, const char *b, simd::s32 (&sum)[(R + 1) / 2][2 * X]) {
#pragma clang loop unroll(disable)
    for (int pair = 0; pair < G / 16; ++pair) {
      const row_pairs<R> values(a + pair * 16, lda);
#pragma unroll
      for (int x = 0; x < 2 * X; ++x) {
        const simd::s32 codes = simd::load_bytes(c.panel(b, x / 2) + pair * pair_bytes + x % (NR / 2) * 16);
        const simd::s32 low = simd::low_codes(codes), high = simd::high_codes(codes);
#pragma unroll
        for (int r = 0; r < (R + 1) / 2; ++r) {
          sum[r][x] = s8_mmla::dot(sum[r][x], values.first[r], low);
          settle(sum[r][x]);
        }
#pragma unroll
        for (int r = 0; r < (R + 1) / 2; ++r) {
          sum[r][x] = s8_mmla::dot(sum[r][x], values.second[r], high);
          settle(sum[r][x]);
        }
      }
    }
  }
};
