// 128-bit vector operations under the names the tile templates use. No include guard on purpose:
// each file includes this inside its own target region and unnamed namespace.

struct simd {
  static constexpr int lanes = 4;
  // Accumulators of panels run abreast, of 32 registers: the others hold A and B.
  static constexpr int accumulators = 24;
  using f32 = float32x4_t;
  using s32 = int32x4_t;

  static WC_INLINE f32 zero_f32() { return vdupq_n_f32(0); }
  static WC_INLINE s32 zero_s32() { return vdupq_n_s32(0); }
  static WC_INLINE f32 load(const float *p) { return vld1q_f32(p); }
  static WC_INLINE void store(float *p, f32 x) { vst1q_f32(p, x); }
  static WC_INLINE s32 load(const int32_t *p) { return vld1q_s32(p); }
  static WC_INLINE void store(int32_t *p, s32 x) { vst1q_s32(p, x); }
  static WC_INLINE s32 load_bytes(const void *p) {
    return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t *>(p)));
  }
  static WC_INLINE void store_bytes(void *p, s32 x) {
    vst1q_u8(static_cast<uint8_t *>(p), vreinterpretq_u8_s32(x));
  }
  static WC_INLINE f32 broadcast(float x) { return vdupq_n_f32(x); }
  static WC_INLINE s32 broadcast(int32_t x) { return vdupq_n_s32(x); }
  static WC_INLINE f32 add(f32 x, f32 y) { return vaddq_f32(x, y); }
  static WC_INLINE f32 mul(f32 x, f32 y) { return vmulq_f32(x, y); }
  static WC_INLINE f32 fma(f32 x, f32 y, f32 z) { return vfmaq_f32(z, x, y); }
  static WC_INLINE f32 to_f32(s32 x) { return vcvtq_f32_s32(x); }
  static WC_INLINE f32 load_f16(const void *p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(static_cast<const uint8_t *>(p))));
  }

  // 4-bit codes, two in a byte.
  static WC_INLINE s32 low_codes(s32 x) {
    return vreinterpretq_s32_u8(vandq_u8(vreinterpretq_u8_s32(x), vdupq_n_u8(15)));
  }
  static WC_INLINE s32 high_codes(s32 x) {
    return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(x), 4));
  }
  // One code of each 32-bit lane, from bit `at` up, where it lies; the topmost, which would be a sign,
  // comes down to bit 0.
  static WC_INLINE s32 code_in_place(s32 x, int at) {
    if (at == 28) return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), 28));
    return vandq_s32(x, vdupq_n_s32(15 << at));
  }

  // Zero points of the columns, from 4 bits each; and a number times each of them.
  using multiples = s32;
  static WC_INLINE s32 load_zeros(const void *p) {
    constexpr int32_t places[4] = {0, -4, -8, -12};
    uint16_t all;
    __builtin_memcpy(&all, p, sizeof all);
    const uint32x4_t shifted = vshlq_u32(vdupq_n_u32(all), vld1q_s32(places));
    return vreinterpretq_s32_u32(vandq_u32(shifted, vdupq_n_u32(15)));
  }
  static WC_INLINE multiples multiples_of(int32_t x) { return broadcast(x); }
  static WC_INLINE s32 times(multiples m, s32 zeros) { return vmulq_s32(m, zeros); }

  // The first `count` lanes (0…4); the others are neither read nor written.
  static WC_INLINE f32 load_first(const float *p, size_t count) { return wc::load_first_neon(p, count); }
  static WC_INLINE s32 load_first(const int32_t *p, size_t count) {
    return vreinterpretq_s32_f32(wc::load_first_neon(reinterpret_cast<const float *>(p), count));
  }
  static WC_INLINE void store_first(float *p, f32 x, size_t count) { wc::store_first_neon(p, x, count); }

  // The first `count` lanes as bf16, to nearest even; NaN quieted.
  static WC_INLINE void store_bf16(void *p, f32 x, size_t count) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x), high = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
    const uint32x4_t near = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF))), 16);
    const uint16x4_t words = vmovn_u32(vbslq_u32(vceqq_f32(x, x), near, vorrq_u32(high, vdupq_n_u32(0x40))));
    if (count == 4) return vst1_u8(static_cast<uint8_t *>(p), vreinterpret_u8_u16(words));
    __builtin_memcpy(p, &words, 2 * count);
  }
  // The first `count` lanes as clamp(rne(x), −127, 127) + plus, NaN as plus: it converts to 0.
  static WC_INLINE void store_codes(void *p, f32 x, int plus, size_t count) {
    x = vmaxq_f32(vdupq_n_f32(-127.0f), vminq_f32(vdupq_n_f32(127.0f), x));
    const int16x4_t words = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(x), vdupq_n_s32(plus)));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    __builtin_memcpy(p, &bytes, count == 4 ? 4 : count);
  }

  template <int count>
  static WC_INLINE void gelu_each(f32 (&x)[count]) {
    wc::gelu_each_neon(x);
  }
  template <int count>
  static WC_INLINE void gelu_tanh_each(f32 (&x)[count]) {
    wc::gelu_tanh_each_neon(x);
  }
  template <int count>
  static WC_INLINE void silu_each(f32 (&x)[count]) {
    wc::silu_each_neon(x);
  }
  template <int count>
  static WC_INLINE void relu_each(f32 (&x)[count]) {
    wc::relu_each_neon(x);
  }
};
