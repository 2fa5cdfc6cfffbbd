// The register tile of instructions that multiply two rows of A by two columns of B, eight bytes along K
// of each: accumulators hold 2×2 blocks. No include guard on purpose: each file includes this inside its
// own target region and unnamed namespace, after dot_tile.hpp.
//
// Dot says what one step along K is:
//   element        A's type in memory;  kr: how many of them eight bytes hold
//   sum            accumulator vector;  lane: its element in `acc`
//   dot(sum, a, b) with two rows, two columns as sixteen bytes
//   start, and what ends it, as in dot_tile.hpp

// Rows of four columns and blocks of two rows by two columns, either way.
template <class Vector>
WC_INLINE Vector first_halves(Vector x, Vector y) {
  return __builtin_shufflevector(x, y, 0, 1, 4, 5);
}
template <class Vector>
WC_INLINE Vector second_halves(Vector x, Vector y) {
  return __builtin_shufflevector(x, y, 2, 3, 6, 7);
}

// The last of an odd number of rows is its own partner; what that block holds of it is never read.
template <int R, int X, class Vector>
WC_INLINE void blocks_of_rows(const Vector (&rows)[R][X], Vector (&blocks)[(R + 1) / 2][2 * X]) {
#pragma unroll
  for (int r = 0; r < R; r += 2) {
    const int partner = r + 1 < R ? r + 1 : r;
#pragma unroll
    for (int x = 0; x < X; ++x) {
      blocks[r / 2][2 * x] = first_halves(rows[r][x], rows[partner][x]);
      blocks[r / 2][2 * x + 1] = second_halves(rows[r][x], rows[partner][x]);
    }
  }
}
template <int R, int X, class Vector>
WC_INLINE void rows_of_blocks(const Vector (&blocks)[(R + 1) / 2][2 * X], Vector (&rows)[R][X]) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int x = 0; x < X; ++x) {
      const Vector left = blocks[r / 2][2 * x], right = blocks[r / 2][2 * x + 1];
      rows[r][x] = r % 2 ? second_halves(left, right) : first_halves(left, right);
    }
  }
}

// The f16 scales of two columns, for both rows of a block.
WC_INLINE simd::f32 two_scales(const char *p) {
  uint32_t both;
  __builtin_memcpy(&both, p, sizeof both);
  return vcvt_f32_f16(vreinterpret_f16_u32(vdup_n_u32(both)));
}

// Two steps of A: sixteen bytes of each row, by pairs of rows.
template <int R>
struct row_pairs {
  uint64x2_t first[(R + 1) / 2], second[(R + 1) / 2];

  WC_INLINE row_pairs(const char *a, size_t row_bytes) {
#pragma unroll
    for (int r = 0; r < R; r += 2) {
      const uint64x2_t upper = vreinterpretq_u64_u8(vld1q_u8(row(a, row_bytes, r)));
      const uint64x2_t lower = vreinterpretq_u64_u8(vld1q_u8(row(a, row_bytes, r + 1 < R ? r + 1 : r)));
      first[r / 2] = vzip1q_u64(upper, lower);
      second[r / 2] = vzip2q_u64(upper, lower);
    }
  }

  // One step, where no more is left.
  static WC_INLINE void last(const char *a, size_t row_bytes, uint64x2_t (&pairs)[(R + 1) / 2]) {
#pragma unroll
    for (int r = 0; r < R; r += 2) {
      const uint8x8_t upper = vld1_u8(row(a, row_bytes, r));
      const uint8x8_t lower = vld1_u8(row(a, row_bytes, r + 1 < R ? r + 1 : r));
      pairs[r / 2] = vreinterpretq_u64_u8(vcombine_u8(upper, lower));
    }
  }

 private:
  static WC_INLINE const uint8_t *row(const char *a, size_t row_bytes, int r) {
    return reinterpret_cast<const uint8_t *>(a) + static_cast<size_t>(r) * row_bytes;
  }
};

template <class Dot, int MR, int NR>
struct mmla_family {
  static constexpr int mr = MR, nr = NR;
  // Counted in rows of four columns. Half of what there is: a single row fills blocks of two.
  static constexpr int accumulators = simd::accumulators / 2;
  static constexpr bool fetches = false;

  static WC_INLINE bool ready(const wc_gemm_args &g) { return Dot::ready(g); }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int X = P * (NR / simd::lanes);
    constexpr size_t step = size_t(NR) * 8;
    typename Dot::sum rows[R][X], sum[(R + 1) / 2][2 * X];
    start_sums<Dot>(g, c, row, rows);
    blocks_of_rows<R, X>(rows, sum);

    constexpr size_t element_bytes = sizeof(typename Dot::element);
    const char *a = static_cast<const char *>(g.a) + row * g.lda * element_bytes;
    const size_t row_bytes = g.lda * element_bytes;
    const size_t steps = (g.k + Dot::kr - 1) / Dot::kr;
#pragma clang loop unroll(disable)
    for (size_t pair = 0; pair < steps / 2; ++pair) {
      if constexpr (Stream) {
#pragma unroll
        for (int p = 0; p < P; ++p) {
#pragma unroll
          for (size_t line = 0; line < 2 * step; line += 64) {
            __builtin_prefetch(b + p * c.panel_bytes + c.ahead + line);
          }
        }
      }
      const row_pairs<R> values(a, row_bytes);
      multiply<R, X>(c, b, values.first, sum);
      multiply<R, X>(c, b + step, values.second, sum);
      a += 16;
      b += 2 * step;
    }
    if (steps % 2) {
      uint64x2_t values[(R + 1) / 2];
      row_pairs<R>::last(a, row_bytes, values);
      multiply<R, X>(c, b, values, sum);
    }
    rows_of_blocks<R, X>(sum, rows);
    end_sums<Dot>(g, c, row, rows);
  }

 private:
  template <int R, int X, int P>
  static WC_INLINE void multiply(
      const columns<NR, P> &c, const char *b, const uint64x2_t (&a)[(R + 1) / 2],
      typename Dot::sum (&sum)[(R + 1) / 2][2 * X]) {
#pragma unroll
    for (int x = 0; x < 2 * X; ++x) {
      const simd::s32 weights = simd::load_bytes(c.panel(b, x / 2) + x % (NR / 2) * 16);
#pragma unroll
      for (int r = 0; r < (R + 1) / 2; ++r) {
        sum[r][x] = Dot::dot(sum[r][x], a[r], weights);
        settle(sum[r][x]);
      }
    }
  }
};
