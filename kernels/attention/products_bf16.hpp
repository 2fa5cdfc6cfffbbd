// The two products of attention on pairs of bf16 with AVX512-BF16: queries and weights are rounded to bf16, sums
// are f32. Include inside the target region, after layout.hpp; nothing is included here.

namespace {

// Queries are rows of pairs; a row of weights takes the front half of its scores.
struct bf16_products {
  using lanes = wc::attention_lanes_avx512;
  using stored = stored_bf16;
  using values = __m512;
  static constexpr bool scaled_queries = false;  // rounding the model's own bf16 loses nothing, rounding a multiple does
  static constexpr size_t query_words(size_t d) { return round_up(d, 32) / 2; }
  static constexpr size_t query_offset(size_t c) { return c * sizeof(uint16_t); }

  static WC_INLINE void put_query(void *row, const float *q, size_t d, float factor) {
    uint16_t *to = static_cast<uint16_t *>(row);
    for (size_t c = 0; c < round_up(d, 32); c += 16) {
      const size_t left = c < d ? d - c : 0;
      const values x = left >= 16 ? lanes::load(q + c) : left > 0 ? lanes::load_first(q + c, left) : lanes::set(0);
      const __m256bh pairs = _mm512_cvtneps_pbh(_mm512_mul_ps(x, _mm512_set1_ps(factor)));
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + c), reinterpret_cast<__m256i>(pairs));
    }
  }
  static constexpr size_t weight_offset(size_t j) { return j * sizeof(uint16_t); }
  template <int count>
  static WC_INLINE void put_weights(float *row, size_t j, const values (&p)[count]) {
    __m256i *to = reinterpret_cast<__m256i *>(reinterpret_cast<uint16_t *>(row) + j);
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) _mm256_storeu_si256(to + i, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(p[i])));
  }

  template <int rows, int panels, int vectors>
  static WC_INLINE void multiply(
      const void *a, size_t row, const char *b, size_t panel_bytes, size_t depth, ptrdiff_t ahead,
      values (&sum)[rows][panels * vectors]) {
    const int32_t *left = static_cast<const int32_t *>(a);
#pragma clang loop unroll_count(2)
    for (size_t k = 0; k < depth; k += 2) {
      __m512i right[panels * vectors];
#pragma clang loop unroll(full)
      for (int p = 0; p < panels; ++p) {
        const char *from = b + static_cast<size_t>(p) * panel_bytes;
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; ++v) {
          right[p * vectors + v] = _mm512_loadu_si512(from + v * 64);
          if constexpr (rows <= 8) __builtin_prefetch(from + ahead + v * 64);
        }
      }
#pragma clang loop unroll(full)
      for (int i = 0; i < rows; ++i) {
        const __m512i x = _mm512_set1_epi32(left[static_cast<size_t>(i) * row]);
#pragma clang loop unroll(full)
        for (int v = 0; v < panels * vectors; ++v) {
          sum[i][v] = _mm512_dpbf16_ps(
              sum[i][v], reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(right[v]));
        }
      }
      ++left;
      b += vectors * 64;
    }
  }
};

}  // namespace
