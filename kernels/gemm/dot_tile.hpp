// The register tile of every family whose sums need no group scales. No include guard on purpose:
// each file includes this inside its own target region and unnamed namespace, after block.hpp.
//
// Dot says what one step along K is:
//   element        A's type in memory
//   sum            accumulator vector;  lane: its element in `acc`
//   kr, parts      K values in a packed step, and how many multiply-adds they take
//   step_bytes     bytes of one vector of columns in a packed step
//   load(p)        that vector, as it lies
//   part<h>(x)     what multiply-add h reads of it
//   broadcast(a)   the A operand of a multiply-add, from its first element
//   dot(sum, a, b)
//   start(c, x)    what accumulators of column vector x hold before K
//   finish(sum, g, row, c, x)   scaled and biased

template <class Dot, int R, int X, int Width>
WC_INLINE void start_sums(
    const wc_gemm_args &g, const columns<Width> &c, size_t row, typename Dot::sum (&sum)[R][X]) {
  const bool first = is_first(g);
  const auto *acc = static_cast<const typename Dot::lane *>(g.acc) + (first ? 0 : row * g.ldacc + c.first);
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int x = 0; x < X; ++x) {
      sum[r][x] = first ? Dot::start(c, x) : simd::load(acc + r * g.ldacc + x * simd::lanes);
    }
  }
}

template <class Dot, int R, int X, int Width>
WC_INLINE void end_sums(
    const wc_gemm_args &g, const columns<Width> &c, size_t row, const typename Dot::sum (&sum)[R][X]) {
  if (!is_last(g)) {
    auto *acc = static_cast<typename Dot::lane *>(g.acc) + row * g.ldacc + c.first;
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int x = 0; x < X; ++x) simd::store(acc + r * g.ldacc + x * simd::lanes, sum[r][x]);
    }
    return;
  }
  simd::f32 t[R][X];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int x = 0; x < X; ++x) t[r][x] = Dot::finish(sum[r][x], g, row + r, c, x);
  }
  write_tile<R, X>(g, c, row, t);
}

template <class Dot, int MR, int NR>
struct dot_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = Dot::accumulators;

  static WC_INLINE bool ready(const wc_gemm_args &g) { return Dot::ready(g); }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<P * NR> &c, const char *b, size_t row) {
    constexpr int V = NR / simd::lanes, X = P * V;
    constexpr size_t step = size_t(V) * Dot::step_bytes;
    typename Dot::sum sum[R][X];
    start_sums<Dot>(g, c, row, sum);

    const auto *a = static_cast<const typename Dot::element *>(g.a) + row * g.lda;
    const size_t lda = g.lda, panel_bytes = g.b_panel_bytes, ahead = g.prefetch;
    const size_t steps = (g.k + Dot::kr - 1) / Dot::kr;
#pragma clang loop unroll_count(4)
    for (size_t s = 0; s < steps; ++s) {
      typename Dot::packed packed[X];
#pragma unroll
      for (int p = 0; p < P; ++p) {
        const char *source = b + p * panel_bytes;
        if constexpr (Stream) {
#pragma unroll
          for (size_t line = 0; line < step; line += 64) __builtin_prefetch(source + ahead + line);
        }
#pragma unroll
        for (int v = 0; v < V; ++v) packed[p * V + v] = Dot::load(source + v * Dot::step_bytes);
      }
#pragma unroll
      for (int h = 0; h < Dot::parts; ++h) {
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const auto value = Dot::broadcast(a + r * lda + h * (Dot::kr / Dot::parts));
#pragma unroll
          for (int x = 0; x < X; ++x) sum[r][x] = Dot::dot(sum[r][x], value, Dot::part(packed[x], h));
        }
      }
      a += Dot::kr;
      b += step;
    }

    end_sums<Dot>(g, c, row, sum);
  }
};
