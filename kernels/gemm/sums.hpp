// How sums over K become C, and where they start. No include guard on purpose: each file includes this
// inside its own target region and unnamed namespace, after block.hpp.

// column_end: what a vector of columns' sums become C by, and row_end a row's; each is read once a tile.

// What sums in f32 have in common.
struct float_sums {
  using sum = simd::f32;
  using lane = float;
  static constexpr int accumulators = simd::accumulators;
  struct column_end {
    simd::f32 bias;
  };
  struct row_end {};

  static WC_INLINE bool ready(const wc_gemm_args &) { return true; }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_f32();
  }
  template <class C>
  static WC_INLINE column_end end_of_columns(const wc_gemm_args &g, const C &c, int x) {
    return {c.bias(g, x)};
  }
  static WC_INLINE row_end end_of_row(const wc_gemm_args &, size_t) { return {}; }
  static WC_INLINE simd::f32 finish(sum s, const column_end &column, const row_end &) {
    return simd::add(s, column.bias);
  }
};

// Sums in f32 of products with 8-bit codes: one scale a column, applied once, at the end.
struct channel_sums : float_sums {
  struct column_end {
    simd::f32 scale, bias;
  };

  static WC_INLINE bool ready(const wc_gemm_args &g) { return g.b_scale; }
  template <class C>
  static WC_INLINE column_end end_of_columns(const wc_gemm_args &g, const C &c, int x) {
    return {c.load(g.b_scale, x), c.bias(g, x)};
  }
  static WC_INLINE simd::f32 finish(sum s, const column_end &column, const row_end &) {
    return simd::fma(s, column.scale, column.bias);
  }
};

// What sums in s32 of s8 weights have in common.
struct s8_sums {
  using sum = simd::s32;
  using lane = int32_t;
  struct column_end {
    simd::f32 weights, scale, bias;  // weights: their sum, for activations about a centre
  };
  struct row_end {
    simd::f32 scale, offset;
  };

  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.a_scale && g.b_scale && (!g.a_offset || g.b_sum);
  }
  template <class C>
  static WC_INLINE column_end end_of_columns(const wc_gemm_args &g, const C &c, int x) {
    const simd::f32 weights = g.a_offset ? simd::to_f32(c.load(g.b_sum, x)) : simd::zero_f32();
    return {weights, c.load(g.b_scale, x), c.bias(g, x)};
  }
  static WC_INLINE row_end end_of_row(const wc_gemm_args &g, size_t row) {
    return {simd::broadcast(g.a_scale[row]), simd::broadcast(g.a_offset ? g.a_offset[row] : 0.0f)};
  }
  static WC_INLINE simd::f32 finish(sum s, const column_end &column, const row_end &row) {
    const simd::f32 t = simd::mul(simd::to_f32(s), row.scale);
    return simd::fma(simd::fma(row.offset, column.weights, t), column.scale, column.bias);
  }
};

// Sums of 4-bit weights, scaled group by group: A's scale is applied once, at the end.
struct bank_sums : float_sums {
  struct row_end {
    simd::f32 scale;
  };

  static WC_INLINE row_end end_of_row(const wc_gemm_args &g, size_t row) { return {simd::broadcast(g.a_scale[row])}; }
  static WC_INLINE simd::f32 finish(sum s, const column_end &column, const row_end &row) {
    return simd::fma(s, row.scale, column.bias);
  }
};
