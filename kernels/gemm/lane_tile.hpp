// The register tile of instructions that multiply a vector of columns by one lane of A: sixteen bytes
// of a row of A are loaded once and serve several steps along K. No include guard on purpose: each file
// includes this inside its own target region and unnamed namespace, after dot_tile.hpp.
//
// Dot says what one step along K is:
//   element        A's type in memory
//   values         sixteen bytes of a row of A;  load_row(a)
//   step(a)        one step's values of A in every lane
//   sum            accumulator vector;  lane: its element in `acc`
//   operand        what dot takes of B
//   kr             K values in a packed step
//   width          column vectors that are loaded together;  step_bytes: bytes of one of them
//   load(p, w)     B's operands from `width` such vectors
//   dot<L>(sum, a, b)   with lane L of A
//   start, and what ends it, as in dot_tile.hpp

// One step: lane L of each row of A, by all columns.
template <class Dot, int L, int R, int X, int NR, int P>
WC_INLINE void lane_step(
    const columns<NR, P> &c, const char *b, const typename Dot::values (&a)[R], typename Dot::sum (&sum)[R][X]) {
#pragma unroll
  for (int x = 0; x < X; x += Dot::width) {
    typename Dot::operand weights[Dot::width];
    Dot::load(c.panel(b, x) + x % c.vectors * Dot::step_bytes, weights);
#pragma unroll
    for (int w = 0; w < Dot::width; ++w) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        sum[r][x + w] = Dot::template dot<L>(sum[r][x + w], a[r], weights[w]);
        settle(sum[r][x + w]);
      }
    }
  }
}

// Steps L ..< Steps of one load of A.
template <class Dot, int L, int Steps, int R, int X, int NR, int P>
WC_INLINE void lane_steps(
    const columns<NR, P> &c, const char *b, const typename Dot::values (&a)[R], typename Dot::sum (&sum)[R][X]) {
  lane_step<Dot, L>(c, b, a, sum);
  if constexpr (L + 1 < Steps) lane_steps<Dot, L + 1, Steps>(c, b + c.vectors * Dot::step_bytes, a, sum);
}

template <class Dot, int MR, int NR>
struct lane_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = simd::accumulators;
  static constexpr bool fetches = false;

  static WC_INLINE bool ready(const wc_gemm_args &g) { return Dot::ready(g); }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int V = NR / simd::lanes, X = P * V;
    constexpr int steps_a_load = 16 / (Dot::kr * static_cast<int>(sizeof(typename Dot::element)));
    constexpr size_t step = size_t(V) * Dot::step_bytes;
    typename Dot::sum sum[R][X];
    start_sums<Dot>(g, c, row, sum);

    const auto *a = static_cast<const typename Dot::element *>(g.a) + row * g.lda;
    const size_t lda = g.lda;
    const size_t steps = (g.k + Dot::kr - 1) / Dot::kr;
    typename Dot::values values[R];
    size_t s = 0;
#pragma clang loop unroll(disable)
    for (; s + steps_a_load <= steps; s += steps_a_load) {
      if constexpr (Stream) prefetch_panels<steps_a_load * step>(c, b + c.ahead);
#pragma unroll
      for (int r = 0; r < R; ++r) values[r] = Dot::load_row(a + r * lda);
      lane_steps<Dot, 0, steps_a_load>(c, b, values, sum);
      a += steps_a_load * Dot::kr;
      b += steps_a_load * step;
    }
#pragma clang loop unroll(disable)
    for (; s < steps; ++s) {
#pragma unroll
      for (int r = 0; r < R; ++r) values[r] = Dot::step(a + r * lda);
      lane_step<Dot, 0>(c, b, values, sum);
      a += Dot::kr;
      b += step;
    }
    end_sums<Dot>(g, c, row, sum);
  }

 private:
  template <size_t Bytes, int P>
  static WC_INLINE void prefetch_panels(const columns<NR, P> &c, const char *b) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
#pragma unroll
      for (size_t line = 0; line < Bytes; line += 64) {
        __builtin_prefetch(b + p * c.panel_bytes + line);
      }
    }
  }
};

// A f32 · B f32.
struct f32_lane_dot : float_sums {
  using element = float;
  using values = float32x4_t;
  using operand = float32x4_t;
  static constexpr int kr = 1, width = 1, step_bytes = 16;
  static WC_INLINE values load_row(const float *a) { return vld1q_f32(a); }
  static WC_INLINE values step(const float *a) { return vld1q_dup_f32(a); }
  static WC_INLINE void load(const char *p, operand (&w)[1]) { w[0] = simd::load(reinterpret_cast<const float *>(p)); }
  template <int L>
  static WC_INLINE sum dot(sum s, values a, operand b) {
    return vfmaq_laneq_f32(s, b, a, L);
  }
};
