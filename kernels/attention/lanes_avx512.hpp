// What attention needs of sixteen floats beside common/lanes_avx512.hpp, under the names of lanes_scalar.hpp.
#pragma once

#if defined(__x86_64__)
#include "../common/lanes_avx512.hpp"
#include "lanes_avx2.hpp"

WC_TARGET_BEGIN(avx512)
namespace wc {

struct attention_lanes_avx512 : lanes_avx512 {
  static WC_INLINE __m512i codes(const void *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i *>(p)));
  }
  static WC_INLINE values even_bf16(const void *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
  }
  static WC_INLINE values odd_bf16(const void *p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static WC_INLINE values load_s8(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i *>(p))));
  }
  // A permutation reads the low four bits of its index.
  static WC_INLINE values value_of_code(__m512i code) {
    return _mm512_permutexvar_ps(code, _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7));
  }
  static WC_INLINE values even_q4(const void *p) { return value_of_code(codes(p)); }
  static WC_INLINE values odd_q4(const void *p) { return value_of_code(_mm512_srli_epi32(codes(p), 4)); }
  static WC_INLINE values load_scales(const float *p) { return load(p); }
  static WC_INLINE values load_scales(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
  }
  static WC_INLINE values count_up() {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  static WC_INLINE values div(values a, values b) { return _mm512_div_ps(a, b); }
  static WC_INLINE values negative_size(values v) { return _mm512_or_ps(v, _mm512_set1_ps(-0.0f)); }
  static WC_INLINE values with_sign_of(values size, values v) {
    return _mm512_or_ps(size, _mm512_and_ps(v, _mm512_set1_ps(-0.0f)));
  }
};

}  // namespace wc
WC_TARGET_END
#endif
