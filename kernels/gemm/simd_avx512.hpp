// 512-bit vector operations under the names the tile templates use. No include guard on purpose:
// each file includes this inside its own target region and unnamed namespace.

struct simd {
  static constexpr int lanes = 16;
  // Accumulators of panels run abreast, of 32 registers: the others hold A and B; and fewer where
  // widening or products need some too.
  static constexpr int accumulators = 24, accumulators_beside_work = 20;
  using f32 = __m512;
  using s32 = __m512i;

  static WC_INLINE f32 zero_f32() { return _mm512_setzero_ps(); }
  static WC_INLINE s32 zero_s32() { return _mm512_setzero_si512(); }
  static WC_INLINE f32 load(const float *p) { return _mm512_loadu_ps(p); }
  static WC_INLINE void store(float *p, f32 x) { _mm512_storeu_ps(p, x); }
  static WC_INLINE s32 load(const int32_t *p) { return _mm512_loadu_si512(p); }
  static WC_INLINE void store(int32_t *p, s32 x) { _mm512_storeu_si512(p, x); }
  static WC_INLINE s32 load_bytes(const void *p) { return _mm512_loadu_si512(p); }
  static WC_INLINE void store_bytes(void *p, s32 x) { _mm512_storeu_si512(p, x); }
  static WC_INLINE f32 broadcast(float x) { return _mm512_set1_ps(x); }
  static WC_INLINE s32 broadcast(int32_t x) { return _mm512_set1_epi32(x); }
  static WC_INLINE f32 add(f32 x, f32 y) { return _mm512_add_ps(x, y); }
  static WC_INLINE s32 add(s32 x, s32 y) { return _mm512_add_epi32(x, y); }
  static WC_INLINE s32 minus_128_times(s32 x) { return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(x, 7)); }
  static WC_INLINE f32 mul(f32 x, f32 y) { return _mm512_mul_ps(x, y); }
  static WC_INLINE f32 fma(f32 x, f32 y, f32 z) { return _mm512_fmadd_ps(x, y, z); }
  static WC_INLINE f32 to_f32(s32 x) { return _mm512_cvtepi32_ps(x); }

  // Two bf16 in each 32-bit lane, as f32.
  static WC_INLINE f32 low_bf16(s32 x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)); }
  static WC_INLINE f32 high_bf16(s32 x) {
    return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int32_t>(0xFFFF0000u))));
  }
  static WC_INLINE f32 load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i *>(p)));
  }

  // s8 pairs widened to s16; one multiply-add of s16 pairs.
  static WC_INLINE s32 load_s8_as_s16(const void *p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i *>(p)));
  }
  static WC_INLINE f32 load_s8_as_f32(const void *p) {
    return to_f32(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i *>(p))));
  }
  static WC_INLINE s32 dot_s16(s32 sum, s32 a, s32 b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }

  // 4-bit codes, and dot products of them with s8 in s16 (up to eight sums of a pair fit).
  static WC_INLINE s32 low_codes(s32 x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static WC_INLINE s32 high_codes(s32 x) { return low_codes(_mm512_srli_epi16(x, 4)); }
  // One code of each 32-bit lane, from bit `at` up, where it lies; the topmost, which would be a sign,
  // comes down to bit 0.
  static WC_INLINE s32 code_in_place(s32 x, int at) {
    return at == 28 ? _mm512_srli_epi32(x, 28) : _mm512_and_si512(x, _mm512_set1_epi32(15 << at));
  }
  static WC_INLINE s32 dot_u8s8_s16(s32 u, s32 s) { return _mm512_maddubs_epi16(u, s); }
  static WC_INLINE s32 add_s16(s32 x, s32 y) { return _mm512_add_epi16(x, y); }
  static WC_INLINE s32 sum_s16_pairs(s32 x) { return _mm512_madd_epi16(x, _mm512_set1_epi16(1)); }

  // Zero points of the columns, from 4 bits each; and a number times each of them, by looking the sixteen
  // possible products up: VPERMD does not share a pipe with multiplications.
  using multiples = s32;
  static WC_INLINE s32 load_zeros(const void *p) {
    int32_t all[2];
    __builtin_memcpy(all, p, sizeof all);
    const s32 places = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    const s32 words = _mm512_mask_set1_epi32(broadcast(all[0]), 0xFF00, all[1]);
    return _mm512_and_si512(_mm512_srlv_epi32(words, places), broadcast(15));
  }
  static WC_INLINE multiples multiples_of(int32_t x) {
    const s32 factors = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mullo_epi32(broadcast(x), factors);
  }
  static WC_INLINE s32 times(multiples m, s32 zeros) { return _mm512_permutexvar_epi32(zeros, m); }

  // The first `count` lanes (0…16); the others are neither read nor written.
  static WC_INLINE __mmask16 mask(size_t count) { return static_cast<__mmask16>((1u << count) - 1); }
  static WC_INLINE f32 load_first(const float *p, size_t count) {
    return _mm512_maskz_loadu_ps(mask(count), p);
  }
  static WC_INLINE s32 load_first(const int32_t *p, size_t count) {
    return _mm512_maskz_loadu_epi32(mask(count), p);
  }
  static WC_INLINE void store_first(float *p, f32 x, size_t count) {
    _mm512_mask_storeu_ps(p, mask(count), x);
  }

  // The first `count` lanes as bf16, to nearest even; NaN quieted.
  static WC_INLINE void store_bf16(void *p, f32 x, size_t count) {
    const s32 bits = _mm512_castps_si512(x), high = _mm512_srli_epi32(bits, 16);
    const s32 odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    s32 near = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
    near = _mm512_mask_or_epi32(near, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), high, _mm512_set1_epi32(0x40));
    _mm512_mask_cvtepi32_storeu_epi16(p, mask(count), near);
  }
  // The first `count` lanes as clamp(rne(x), −127, 127) + plus, NaN as plus.
  static WC_INLINE void store_codes(void *p, f32 x, int plus, size_t count) {
    x = _mm512_maskz_min_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), _mm512_set1_ps(127.0f), x);
    const s32 q = _mm512_cvtps_epi32(_mm512_max_ps(_mm512_set1_ps(-127.0f), x));
    _mm512_mask_cvtepi32_storeu_epi8(p, mask(count), _mm512_add_epi32(q, _mm512_set1_epi32(plus)));
  }

  template <int count>
  static WC_INLINE void gelu_each(f32 (&x)[count]) {
    wc::gelu_each_avx512(x);
  }
  template <int count>
  static WC_INLINE void gelu_tanh_each(f32 (&x)[count]) {
    wc::gelu_tanh_each_avx512(x);
  }
  template <int count>
  static WC_INLINE void silu_each(f32 (&x)[count]) {
    wc::silu_each_avx512(x);
  }
  template <int count>
  static WC_INLINE void relu_each(f32 (&x)[count]) {
    wc::relu_each_avx512(x);
  }
};
