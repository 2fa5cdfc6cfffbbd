// The Dot of each family that dot_tile.hpp serves with the vectors of simd_*.hpp alone. No include
// guard on purpose: each file includes this inside its own target region and unnamed namespace.

#include "sums.hpp"

// A 32-bit word of A in every lane.
template <class T>
WC_INLINE simd::s32 broadcast_word(const T *a) {
  int32_t word;
  __builtin_memcpy(&word, a, sizeof word);
  return simd::broadcast(word);
}

// A f32 · B f32.
struct f32_dot : float_sums {
  using element = float;
  using operand = simd::f32;
  static constexpr int kr = 1, parts = 1, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int) { return simd::load(reinterpret_cast<const float *>(p)); }
  static WC_INLINE simd::f32 broadcast(const float *a) { return simd::broadcast(*a); }
  static WC_INLINE sum dot(sum s, simd::f32 a, simd::f32 b) { return simd::fma(a, b, s); }
};

// A f32 · B bf16, pairs along K in one 32-bit lane: a shift or an AND widens eight (sixteen) weights,
// on pipes that multiply-adds leave free.
struct f32bf16_dot : float_sums {
  using element = float;
  using operand = simd::f32;
  static constexpr int accumulators = simd::accumulators_beside_work;
  static constexpr int kr = 2, parts = 2, step_bytes = simd::lanes * 4;
  static WC_INLINE operand load(const char *p, int h) {
    return h ? simd::high_bf16(simd::load_bytes(p)) : simd::low_bf16(simd::load_bytes(p));
  }
  static WC_INLINE simd::f32 broadcast(const float *a) { return simd::broadcast(*a); }
  static WC_INLINE sum dot(sum s, simd::f32 a, simd::f32 b) { return simd::fma(a, b, s); }
};

// A f32 · B s8, widened to f32 in registers.
struct f32s8_dot : channel_sums {
  using element = float;
  using operand = simd::f32;
  static constexpr int accumulators = simd::accumulators_beside_work;
  static constexpr int kr = 1, parts = 1, step_bytes = simd::lanes;
  static WC_INLINE operand load(const char *p, int) { return simd::load_s8_as_f32(p); }
  static WC_INLINE simd::f32 broadcast(const float *a) { return simd::broadcast(*a); }
  static WC_INLINE sum dot(sum s, simd::f32 a, simd::f32 b) { return simd::fma(a, b, s); }
};

// A s16 (widened s8) · B s8, by pairs: exact, no saturation can occur.
struct s16s8_dot : s8_sums {
  using element = int16_t;
  using operand = simd::s32;
  static constexpr int accumulators = simd::accumulators_beside_work;
  static constexpr int kr = 2, parts = 1, step_bytes = simd::lanes * 2;
  static WC_INLINE operand load(const char *p, int) { return simd::load_s8_as_s16(p); }
  static WC_INLINE simd::s32 broadcast(const int16_t *a) { return broadcast_word(a); }
  static WC_INLINE sum dot(sum s, simd::s32 a, simd::s32 b) { return simd::dot_s16(s, a, b); }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_s32();
  }
};

// A u8 · B s8.  A holds s8 values plus 128; accumulators start at −128·Σ_k w, so the 128 costs nothing
// later.  Vnni::dot adds four products of u8 and s8 to each s32 lane, without saturation.
template <class Vnni>
struct u8s8_dot : s8_sums {
  using element = uint8_t;
  using operand = simd::s32;
  static constexpr int accumulators = simd::accumulators;
  static constexpr int kr = 4, parts = 1, step_bytes = simd::lanes * 4;
  static WC_INLINE bool ready(const wc_gemm_args &g) { return s8_sums::ready(g) && g.b_sum; }
  static WC_INLINE operand load(const char *p, int) { return simd::load_bytes(p); }
  static WC_INLINE simd::s32 broadcast(const uint8_t *a) { return broadcast_word(a); }
  static WC_INLINE sum dot(sum s, simd::s32 a, simd::s32 b) { return Vnni::dot(s, a, b); }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &g, const C &c, int x) {
    return simd::minus_128_times(c.load(g.b_sum, x));
  }
};
