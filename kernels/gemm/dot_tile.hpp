// The register tile of every family whose sums need no group scales. No include guard on purpose:
// each file includes this inside its own target region and unnamed namespace, after block.hpp.
//
// Dot says what one step along K is:
//   element        A's type in memory
//   sum            accumulator vector;  lane: its element in `acc`
//   operand        what dot takes of A and of B
//   kr, parts      K values in a packed step, and how many multiply-adds they take
//   step_bytes     bytes of one vector of columns in a packed step
//   load(p, h)     B's operand of multiply-add h, from such a vector
//   broadcast(a)   A's operand, from its first element
//   dot(sum, a, b)
//   start(g, c, x)  what accumulators of column vector x hold before K
//   end_of_columns(g, c, x), end_of_row(g, row), finish(sum, column_end, row_end)   scaled and biased

// Puts this accumulator's step here in the instruction stream, before every load that follows in the
// source. Left alone, the scheduler moves loads and products up until they take the registers of
// accumulators, and a spilled accumulator costs a store-to-load round trip every step.
template <class Vector>
WC_INLINE void settle(Vector &sum) {
  asm volatile("" : WC_VECTOR_REGISTER(sum) : : "memory");
}

template <class Dot, int R, int X, int NR, int P>
WC_INLINE void start_sums(
    const wc_gemm_args &g, const columns<NR, P> &c, size_t row, typename Dot::sum (&sum)[R][X]) {
  if (is_first(g)) {
#pragma unroll
    for (int x = 0; x < X; ++x) {
      const typename Dot::sum start = Dot::start(g, c, x);
#pragma unroll
      for (int r = 0; r < R; ++r) sum[r][x] = start;
    }
    return;
  }
  const auto *acc = static_cast<const typename Dot::lane *>(g.acc) + row * g.ldacc;
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int x = 0; x < X; ++x) sum[r][x] = simd::load(acc + r * g.ldacc + c.column(x));
  }
}

template <class Dot, int R, int X, int NR, int P>
WC_INLINE void end_sums(
    const wc_gemm_args &g, const columns<NR, P> &c, size_t row, const typename Dot::sum (&sum)[R][X]) {
  if (!is_last(g)) {
    auto *acc = static_cast<typename Dot::lane *>(g.acc) + row * g.ldacc;
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int x = 0; x < X; ++x) simd::store(acc + r * g.ldacc + c.column(x), sum[r][x]);
    }
    return;
  }
  typename Dot::column_end columns[X];
  if (P > 1 || c.count == NR) {
    const whole_columns<NR, P> whole{c};
#pragma unroll
    for (int x = 0; x < X; ++x) columns[x] = Dot::end_of_columns(g, whole, x);
  } else {
#pragma unroll
    for (int x = 0; x < X; ++x) columns[x] = Dot::end_of_columns(g, c, x);
  }
  simd::f32 t[R][X];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const typename Dot::row_end end = Dot::end_of_row(g, row + r);
#pragma unroll
    for (int x = 0; x < X; ++x) t[r][x] = Dot::finish(sum[r][x], columns[x], end);
  }
  write_tile<R, X>(g, c, row, t);
}

template <class Dot, int MR, int NR>
struct dot_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = Dot::accumulators;
  static constexpr bool fetches = true;

  static WC_INLINE bool ready(const wc_gemm_args &g) { return Dot::ready(g); }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int V = NR / simd::lanes, X = P * V;
    constexpr size_t step = size_t(V) * Dot::step_bytes;
    typename Dot::sum sum[R][X];
    start_sums<Dot>(g, c, row, sum);

    const auto *a = static_cast<const typename Dot::element *>(g.a) + row * g.lda;
    const size_t lda = g.lda;
    const size_t steps = (g.k + Dot::kr - 1) / Dot::kr;
    const char *fetch = b;
    size_t fetch_step = step;
    if constexpr (Stream) {
      fetch += c.ahead + c.turn * steps * step / c.parts;
      fetch_step /= c.parts;
    }
#pragma clang loop unroll_count(4)
    for (size_t s = 0; s < steps; ++s) {
      if constexpr (Stream) {
#pragma unroll
        for (int p = 0; p < P; ++p) {
#pragma unroll
          for (size_t line = 0; line < step; line += 64) {
            __builtin_prefetch(fetch + p * c.panel_bytes + line);
          }
        }
        fetch += fetch_step;
      }
#pragma unroll
      for (int h = 0; h < Dot::parts; ++h) {
        const auto *values = a + h * (Dot::kr / Dot::parts);
        if constexpr (X <= R) {
          typename Dot::operand weights[X];
#pragma unroll
          for (int x = 0; x < X; ++x) {
            weights[x] = Dot::load(c.panel(b, x) + x % V * Dot::step_bytes, h);
          }
#pragma unroll
          for (int r = 0; r < R; ++r) {
            const auto value = Dot::broadcast(values + r * lda);
#pragma unroll
            for (int x = 0; x < X; ++x) {
              sum[r][x] = Dot::dot(sum[r][x], value, weights[x]);
              settle(sum[r][x]);
            }
          }
        } else {
          typename Dot::operand value[R];
#pragma unroll
          for (int r = 0; r < R; ++r) value[r] = Dot::broadcast(values + r * lda);
#pragma unroll
          for (int x = 0; x < X; ++x) {
            const auto weights = Dot::load(c.panel(b, x) + x % V * Dot::step_bytes, h);
#pragma unroll
            for (int r = 0; r < R; ++r) {
              sum[r][x] = Dot::dot(sum[r][x], value[r], weights);
              settle(sum[r][x]);
            }
          }
        }
      }
      a += Dot::kr;
      b += step;
    }

    end_sums<Dot>(g, c, row, sum);
  }
};
