// How sums over K become C, and where they start. No include guard on purpose: each file includes this
// inside its own target region and unnamed namespace, after block.hpp.

// What sums in f32 have in common.
struct float_sums {
  using sum = simd::f32;
  using lane = float;
  static constexpr int accumulators = simd::accumulators;

  static WC_INLINE bool ready(const wc_gemm_args &) { return true; }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_f32();
  }
  template <class C>
  static WC_INLINE simd::f32 finish(sum s, const wc_gemm_args &g, size_t, const C &c, int x) {
    return simd::add(s, c.bias(g, x));
  }
};

// Sums in f32 of products with 8-bit codes: one scale a column, applied once, at the end.
struct channel_sums : float_sums {
  static WC_INLINE bool ready(const wc_gemm_args &g) { return g.b_scale; }
  template <class C>
  static WC_INLINE simd::f32 finish(sum s, const wc_gemm_args &g, size_t, const C &c, int x) {
    return simd::fma(s, c.load(g.b_scale, x), c.bias(g, x));
  }
};

// What sums in s32 of s8 weights have in common.
struct s8_sums {
  using sum = simd::s32;
  using lane = int32_t;
  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.a_scale && g.b_scale && (!g.a_offset || g.b_sum);
  }
  template <class C>
  static WC_INLINE simd::f32 finish(sum s, const wc_gemm_args &g, size_t row, const C &c, int x) {
    simd::f32 t = simd::mul(simd::to_f32(s), simd::broadcast(g.a_scale[row]));
    if (g.a_offset) t = simd::fma(simd::broadcast(g.a_offset[row]), simd::to_f32(c.load(g.b_sum, x)), t);
    return simd::fma(t, c.load(g.b_scale, x), c.bias(g, x));
  }
};

// Sums of 4-bit weights, scaled group by group: A's scale is applied once, at the end.
struct bank_sums : float_sums {
  template <class C>
  static WC_INLINE simd::f32 finish(sum s, const wc_gemm_args &g, size_t row, const C &c, int x) {
    return simd::fma(s, simd::broadcast(g.a_scale[row]), c.bias(g, x));
  }
};
