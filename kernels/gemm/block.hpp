// What every GEMM family shares: argument checks, the walk over panels and strips, and the end of
// a tile. No include guard on purpose: each file includes this inside its own target region and
// unnamed namespace, after simd_*.hpp.
//
// Panels (nr columns of packed B) are the outer loop and strips (≤ mr rows of A) the inner one, so
// that one kc×nr panel stays in L1 while A's rows pass over it [BLIS]. m is split into strips of
// nearly equal height: 7 rows as 4 + 3 keep more accumulators busy than 6 + 1. When all of m is one
// short strip, several panels run side by side instead, for chains enough to hide the latency.
//
// Where prefetching is asked for, a single strip fetches so many bytes ahead of what it reads; of several
// strips, the first few fetch a part each of the panel that comes next, so that memory works while they do.

#include "ends.hpp"
#include "epilogue.hpp"

alignas(64) constexpr float zeros[simd::lanes] = {};

// The columns one tile covers: P panels, `apart` columns from one to the next; only a single panel may
// lack some (no gated one does: its operands are whole panels). Gives what the epilogue needs of each vector of columns, zeros past `count`.
template <int NR, int P>
struct columns {
  static constexpr int vectors = NR / simd::lanes;
  size_t first, apart, count;
  size_t panel_bytes;  // from one of the P panels to the next
  size_t ahead;        // bytes from what a tile reads to what it fetches, …
  size_t parts = 1, turn = 0;  // … which is part `turn` of so many
  bool direct;         // whole panels, bias and residual alone: results go straight from registers to C

  WC_INLINE columns(const wc_gemm_args &g, size_t column, size_t panels_apart = 1)
      : first(column),
        apart(panels_apart * NR),
        count(P > 1 || g.n - column >= NR || is_gated(g) ? NR : g.n - column),
        panel_bytes(panels_apart * g.b_panel_bytes),
        ahead(g.prefetch),
        direct(count == NR && !(g.epilogue & ~uint32_t(WC_EPILOGUE_bias | WC_EPILOGUE_residual))) {}

  WC_INLINE size_t column(int x) const { return first + x / vectors * apart + x % vectors * simd::lanes; }
  WC_INLINE const char *panel(const char *b, int x) const { return b + x / vectors * panel_bytes; }

  // The turn after `one`, of those that take parts.
  WC_INLINE size_t after(size_t one) const { return one + 1 == parts ? 0 : one + 1; }

  template <class T>
  WC_INLINE auto load(const T *source, int x) const {
    if constexpr (P > 1) {
      return simd::load(source + column(x));
    } else {
      const size_t at = x * simd::lanes, left = count > at ? count - at : 0;
      return simd::load_first(source + first + at, left < simd::lanes ? left : simd::lanes);
    }
  }
  WC_INLINE simd::f32 bias(const wc_gemm_args &g, int x) const {
    return g.epilogue & WC_EPILOGUE_bias ? load(g.bias, x) : simd::load(zeros);
  }
};

// The same where no column is missing, so that loads need no mask.
template <int NR, int P>
struct whole_columns {
  const columns<NR, P> &c;

  template <class T>
  WC_INLINE auto load(const T *source, int x) const {
    return simd::load(source + c.column(x));
  }
  WC_INLINE simd::f32 bias(const wc_gemm_args &g, int x) const {
    return simd::load(g.epilogue & WC_EPILOGUE_bias ? g.bias + c.column(x) : zeros);
  }
};

WC_INLINE bool is_last(const wc_gemm_args &g) { return g.flags & WC_GEMM_LAST; }
WC_INLINE bool is_first(const wc_gemm_args &g) { return g.flags & WC_GEMM_FIRST; }

// Writes R×(X·lanes) scaled and biased sums as the epilogue has it.
template <int R, int X, int NR, int P>
WC_INLINE void write_tile(
    const wc_gemm_args &g, const columns<NR, P> &c, size_t row, const simd::f32 (&t)[R][X]) {
  if (__builtin_expect(c.direct, 1)) {
    float *to = static_cast<float *>(g.c) + row * g.ldc;
    if (g.epilogue & WC_EPILOGUE_residual) {
      const float *from = g.residual + row * g.ldr;
#pragma unroll
      for (int r = 0; r < R; ++r, to += g.ldc, from += g.ldr) {
#pragma unroll
        for (int x = 0; x < X; ++x) {
          simd::store(to + c.column(x), simd::add(t[r][x], simd::load(from + c.column(x))));
        }
      }
      return;
    }
#pragma unroll
    for (int r = 0; r < R; ++r, to += g.ldc) {
#pragma unroll
      for (int x = 0; x < X; ++x) simd::store(to + c.column(x), t[r][x]);
    }
    return;
  }
  alignas(64) float copy[R * X * simd::lanes];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int x = 0; x < X; ++x) simd::store(copy + (r * X + x) * simd::lanes, t[r][x]);
  }
  for (int p = 0; p < P; ++p) {
    finish_tile<NR>(g, copy + p * NR, X * simd::lanes, row, R, c.first + p * c.apart);
  }
}

// Panels side by side for a single strip of R rows: as many as give two multiply-adds a cycle of a latency of
// four their chains. One row is limited by memory, which two streams keep busiest, unless Family says otherwise.
template <class Family, int R>
constexpr int panels_abreast() {
  if constexpr (R == 1) {
    if constexpr (requires { Family::panels_of_a_row; }) return Family::panels_of_a_row;
    return 2;
  }
  constexpr int chains = R * (Family::nr / simd::lanes), wanted = (12 + chains - 1) / chains;
  constexpr int fit = Family::accumulators / chains;
  return wanted > fit && fit > 0 ? fit : wanted;
}

// Calls Family::tile for a strip of `rows` rows, Low ≤ rows ≤ R.
template <class Family, int R, int Low, bool Stream>
WC_INLINE void tile_of(
    size_t rows, const wc_gemm_args &g, const columns<Family::nr, 1> &c, const char *b, size_t row) {
  if constexpr (R > Low) {
    if (rows != R) return tile_of<Family, R - 1, Low, Stream>(rows, g, c, b, row);
  }
  Family::template tile<R, 1, Stream>(g, c, b, row);
}

// Panels `first` ..< `last` of B under one strip of R rows, which is the whole of m: P side by side, or one
// fewer where that leaves nearly as many for the last. Those side by side lie as far apart as they can, so
// that each of P streams through memory goes on where it stopped.
template <class Family, int R, int P>
WC_INLINE void strip_of_panels(const wc_gemm_args &g, size_t first, size_t last) {
  const char *b = static_cast<const char *>(g.b);
  if constexpr (P > 1) {
    const size_t whole = (last * Family::nr <= g.n ? last : last - 1) - first;
    const size_t turns = (whole + P - 1) / P, fewer = turns * P - whole;  // turns that lack a panel
    const size_t streams = fewer <= turns ? turns - fewer : whole / P;
    for (size_t i = first; i < first + streams; ++i) {
      const columns<Family::nr, P> c(g, i * Family::nr, streams);
      Family::template tile<R, P, true>(g, c, b + i * g.b_panel_bytes, 0);
    }
    strip_of_panels<Family, R, P - 1>(g, first + streams * P, last);
  } else {
    for (size_t i = first; i < last; ++i) {
      const columns<Family::nr, 1> c(g, i * Family::nr);
      Family::template tile<R, 1, true>(g, c, b + i * g.b_panel_bytes, 0);
    }
  }
}

template <class Family, int R>
__attribute__((noinline)) void single_strip(const wc_gemm_args &g) {
  strip_of_panels<Family, R, panels_abreast<Family, R>()>(g, 0, (g.n + Family::nr - 1) / Family::nr);
}

template <class Family, int R>
WC_INLINE void single_strip_of(size_t rows, const wc_gemm_args &g) {
  if constexpr (R > 1) {
    if (rows != R) return single_strip_of<Family, R - 1>(rows, g);
  }
  single_strip<Family, R>(g);
}

WC_INLINE bool valid(const wc_gemm_args &g) {
  if (!valid_ends(g)) return false;
  if (!(is_first(g) && is_last(g)) && !g.acc) return false;
  return g.c && (g.k == 0 || (g.a && g.b));
}

// Of how many strips each fetches a part of the next panel, at most.
constexpr size_t fetching_strips = 4;

// The whole call. Family has nr, mr, accumulators, `ready(g)` (its own checks), `panel(g, b)` (what the
// tiles read in place of packed panel b), `fetches` (whether a tile that streams may serve one of several
// strips) and `tile<R, P, Stream>(g, columns, b, row)`.
template <class Family>
WC_INLINE wc_status run_block(const wc_gemm_args *args) {
  if (!args) return WC_INVALID_ARGUMENT;
  const wc_gemm_args &g = *args;
  if (g.m == 0 || g.n == 0) return WC_OK;
  if (!valid(g) || !Family::ready(g)) return WC_INVALID_ARGUMENT;
  constexpr size_t mr = Family::mr;
  if (g.m <= mr) {
    single_strip_of<Family, Family::mr>(g.m, g);
    return WC_OK;
  }
  const size_t strips = (g.m + mr - 1) / mr, low = g.m / strips, high = g.m % strips;
  const size_t fetching = !Family::fetches || !g.prefetch ? 0 : strips < fetching_strips ? strips : fetching_strips;
  constexpr int mr_low = (Family::mr + 1) / 2;
  const char *b = static_cast<const char *>(g.b);
  for (size_t column = 0; column < g.n; column += Family::nr, b += g.b_panel_bytes) {
    columns<Family::nr, 1> c(g, column);
    c.ahead = g.b_panel_bytes;
    c.parts = fetching;
    const char *panel = Family::panel(g, b);
    size_t row = 0;
    for (size_t s = 0; s < strips; ++s) {
      const size_t rows = low + (s < high);
      if constexpr (Family::fetches) {
        if (s < fetching) {
          c.turn = s;
          tile_of<Family, Family::mr, mr_low, true>(rows, g, c, panel, row);
          row += rows;
          continue;
        }
      }
      tile_of<Family, Family::mr, mr_low, false>(rows, g, c, panel, row);
      row += rows;
    }
  }
  return WC_OK;
}
