// Packing of K and V with AVX2, for panels of nr = 8n keys or columns. Include inside a target region
// that has AVX2, after attention_f32.hpp; nothing is included here.

namespace {

// to[c·stride + r] = from[r·ld + c] for r, c < 8.
WC_INLINE void transpose_8x8(const float *from, size_t ld, float *to, size_t stride) {
  __m256 r[8], t[8];
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(from + static_cast<size_t>(i) * ld);
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + static_cast<size_t>(i) * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + static_cast<size_t>(i + 4) * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

template <int nr>
wc_status attention_pack_kv_avx2(
    size_t tk, size_t d, const float *k, size_t ldk, const float *v, size_t ldv, void *packed) {
  float *to = static_cast<float *>(packed);
  for (size_t j = 0; j < tk; j += nr, to += nr * d) {
    for (size_t r = 0; r < nr; r += 8) {
      const float *rows = k + (j + r) * ldk;
      size_t c = 0;
      if (j + r + 8 <= tk) {
        for (; c + 8 <= d; c += 8) transpose_8x8(rows + c, ldk, to + c * nr + r, nr);
      }
      for (; c < d; ++c) {
        for (size_t i = 0; i < 8; ++i) to[c * nr + r + i] = j + r + i < tk ? rows[i * ldk + c] : 0.0f;
      }
    }
  }
  for (size_t c = 0; c < d; c += nr) {
    for (size_t j = 0; j < tk; ++j, to += nr) {
      const float *row = v + j * ldv;
      for (size_t i = 0; i < nr; i += 8) {
        const size_t left = c + i < d ? d - (c + i) : 0;
        const __m256 part = left >= 8  ? _mm256_loadu_ps(row + c + i)
                            : left > 0 ? wc::lanes_avx2::load_first(row + c + i, left)
                                       : _mm256_setzero_ps();
        _mm256_storeu_ps(to + i, part);
      }
    }
  }
  return WC_OK;
}

}  // namespace
