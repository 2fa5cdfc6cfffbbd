// The two products of attention, queries by keys and weights by values, in f32 whatever type the cache has.
// Include inside the target region of the ISA; nothing is included here.

namespace {

// One step of b: `S::step` rows of `vectors` vectors, widened to f32. Codes are not yet scaled.
template <class L, class S, int vectors>
WC_INLINE void widen(const char *b, typename L::values (&right)[S::step][vectors]) {
#pragma clang loop unroll(full)
  for (int v = 0; v < vectors; ++v) {
    const char *p = b + static_cast<size_t>(v) * L::width * S::step * S::bits / 8;
    if constexpr (S::bits == 32) {
      right[0][v] = L::load(reinterpret_cast<const float *>(p));
    } else if constexpr (S::bits == 16) {
      right[0][v] = L::even_bf16(p);
      right[1][v] = L::odd_bf16(p);
    } else if constexpr (S::bits == 8) {
      right[0][v] = L::load_s8(p);
    } else {
      right[0][v] = L::even_q4(p);
      right[1][v] = L::odd_q4(p);
    }
  }
}

// Products on the lanes L of a cache that stores S. Queries and weights are rows of f32.
template <class L, class S>
struct lane_products {
  using lanes = L;
  using stored = S;
  static constexpr bool scaled_queries = true;  // scale·log₂e is folded into the queries
  // What one row of queries takes, in the units that rows of `multiply` are apart by; each is 4 bytes.
  static constexpr size_t query_words(size_t d) { return round_up(d, 16); }
  static constexpr size_t query_offset(size_t c) { return c * sizeof(float); }

  static WC_INLINE void put_query(void *row, const float *q, size_t d, float factor) {
    float *to = static_cast<float *>(row);
    const typename L::values f = L::set(factor);
    size_t c = 0;
    for (; c + L::width <= d; c += L::width) L::store(to + c, L::mul(L::load(q + c), f));
    for (; c < d; ++c) to[c] = q[c] * factor;
    for (; c < round_up(d, 16); ++c) to[c] = 0;
  }
  // Where the weight of key j lies, in bytes from the row's first.
  static constexpr size_t weight_offset(size_t j) { return j * sizeof(float); }
  template <int count>
  static WC_INLINE void put_weights(float *row, size_t j, const typename L::values (&p)[count]) {
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) L::store(row + j + static_cast<size_t>(i) * L::width, p[i]);
  }

  // sum[i][p·vectors + v] += Σ_k a[i·row + k] · b[p][k][v] for `depth` values, a multiple of S::step.
  template <int rows, int panels, int vectors>
  static WC_INLINE void multiply(
      const void *a, size_t row, const char *b, size_t panel_bytes, size_t depth, ptrdiff_t ahead,
      typename L::values (&sum)[rows][panels * vectors]) {
    constexpr size_t bytes = vectors * L::width * S::step * S::bits / 8;
    const float *left = static_cast<const float *>(a);
#pragma clang loop unroll_count(2)
    for (size_t k = 0; k < depth; k += S::step) {
      typename L::values right[panels][S::step][vectors];
#pragma clang loop unroll(full)
      for (int p = 0; p < panels; ++p) {
        const char *from = b + static_cast<size_t>(p) * panel_bytes;
        widen<L, S, vectors>(from, right[p]);
        if constexpr (rows <= 8) {
#pragma clang loop unroll(full)
          for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + ahead + line);
        }
      }
#pragma clang loop unroll(full)
      for (size_t s = 0; s < S::step; ++s) {
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; ++i) {
          const typename L::values x = L::set(left[static_cast<size_t>(i) * row + s]);
#pragma clang loop unroll(full)
          for (int p = 0; p < panels; ++p) {
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; ++v) {
              sum[i][p * vectors + v] = L::multiply_add(x, right[p][s][v], sum[i][p * vectors + v]);
            }
          }
        }
      }
      left += S::step;
      b += bytes;
    }
  }
};

}  // namespace
