// What attention needs of eight floats beside common/lanes_avx2.hpp, under the names of lanes_scalar.hpp.
#pragma once

#if defined(__x86_64__)
#include "../common/lanes_avx2.hpp"

WC_TARGET_BEGIN(avx2)
namespace wc {

struct attention_lanes_avx2 : lanes_avx2 {
  static WC_INLINE __m256i words(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
  static WC_INLINE __m128i bytes(const void *p) { return _mm_loadl_epi64(static_cast<const __m128i *>(p)); }
  static WC_INLINE values even_bf16(const void *p) { return _mm256_castsi256_ps(_mm256_slli_epi32(words(p), 16)); }
  static WC_INLINE values odd_bf16(const void *p) {
    return _mm256_castsi256_ps(_mm256_and_si256(words(p), _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static WC_INLINE values load_s8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes(p))); }
  static WC_INLINE values less_8(__m256i codes) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, _mm256_set1_epi32(8)));
  }
  static WC_INLINE values even_q4(const void *p) {
    return less_8(_mm256_and_si256(_mm256_cvtepu8_epi32(bytes(p)), _mm256_set1_epi32(15)));
  }
  static WC_INLINE values odd_q4(const void *p) { return less_8(_mm256_srli_epi32(_mm256_cvtepu8_epi32(bytes(p)), 4)); }
  static WC_INLINE values load_scales(const float *p) { return load(p); }
  static WC_INLINE values load_scales(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
  }
  static WC_INLINE values count_up() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
  static WC_INLINE values div(values a, values b) { return _mm256_div_ps(a, b); }
  static WC_INLINE values negative_size(values v) { return _mm256_or_ps(v, _mm256_set1_ps(-0.0f)); }
  static WC_INLINE values with_sign_of(values size, values v) {
    return _mm256_or_ps(size, _mm256_and_ps(v, _mm256_set1_ps(-0.0f)));
  }
};

struct transposer_avx2 {
  static constexpr size_t side = 8;
  static WC_INLINE void transpose(const float *from, size_t ld, float *to, size_t stride) {
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
      const size_t row = static_cast<size_t>(i);
      _mm256_storeu_ps(to + row * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
      _mm256_storeu_ps(to + (row + 4) * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
  }
};

}  // namespace wc
WC_TARGET_END
#endif
