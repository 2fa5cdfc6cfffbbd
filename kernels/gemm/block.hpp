// What every GEMM family shares: argument checks, the walk over panels and strips, and the end of
// a tile. No include guard on purpose: each file includes this inside its own target region and
// unnamed namespace, after simd_*.hpp.
//
// Panels (nr columns of packed B) are the outer loop and strips (≤ mr rows of A) the inner one, so
// that one kc×nr panel stays in L1 while A's rows pass over it [BLIS]. m is split into strips of
// nearly equal height: 7 rows as 4 + 3 keep more accumulators busy than 6 + 1. When all of m is one
// short strip, several panels run side by side instead, for chains enough to hide the latency.

// The columns one tile covers, and what the epilogue needs of them: `width` entries each, zeros
// past `count`.
template <int Width>
struct columns {
  size_t first, count;
  const float *bias, *scale;
  const int32_t *sum;
  bool direct;  // whole tile and no activation: results go straight from registers to C

  WC_INLINE columns(const wc_gemm_args &g, size_t column)
      : first(column), count(g.n - column < Width ? g.n - column : Width) {
    const bool whole = count == Width;
    const float *source = g.epilogue & WC_EPILOGUE_bias ? g.bias : nullptr;
    bias = whole && source ? source + column : padded(bias_copy, source);
    scale = whole && g.b_scale ? g.b_scale + column : padded(scale_copy, g.b_scale);
    sum = whole && g.b_sum ? g.b_sum + column : padded(sum_copy, g.b_sum);
    direct = whole && !(g.epilogue & WC_EPILOGUE_gelu);
  }
  columns(const columns &) = delete;

 private:
  float bias_copy[Width], scale_copy[Width];
  int32_t sum_copy[Width];

  template <class T>
  WC_INLINE const T *padded(T (&copy)[Width], const T *source) {
    for (size_t j = 0; j < Width; ++j) copy[j] = source && j < count ? source[first + j] : T(0);
    return copy;
  }
};

// The one end of every tile that is not `direct`: activation, then residual, then C, from a tile
// of scaled and biased sums still in L1.
__attribute__((noinline)) void finish_tile(
    const wc_gemm_args &g, const float *t, size_t ldt, size_t row, size_t rows, size_t column,
    size_t count) {
  const bool gelu = g.epilogue & WC_EPILOGUE_gelu, residual = g.epilogue & WC_EPILOGUE_residual;
  for (size_t i = 0; i < rows; ++i) {
    float *c = g.c + (row + i) * g.ldc + column;
    const float *r = residual ? g.residual + (row + i) * g.ldr + column : nullptr;
    for (size_t j = 0; j < count; j += simd::lanes) {
      const size_t live = count - j < simd::lanes ? count - j : simd::lanes;
      simd::f32 x = simd::load(t + i * ldt + j);
      if (gelu) x = simd::gelu(x);
      if (live == simd::lanes) {
        if (residual) x = simd::add(x, simd::load(r + j));
        simd::store(c + j, x);
      } else {
        if (residual) x = simd::add(x, simd::load_first(r + j, live));
        simd::store_first(c + j, x, live);
      }
    }
  }
}

WC_INLINE bool is_last(const wc_gemm_args &g) { return g.flags & WC_GEMM_LAST; }
WC_INLINE bool is_first(const wc_gemm_args &g) { return g.flags & WC_GEMM_FIRST; }

// Writes R×(X·lanes) scaled and biased sums as the epilogue has it.
template <int R, int X, int Width>
WC_INLINE void write_tile(
    const wc_gemm_args &g, const columns<Width> &c, size_t row, const simd::f32 (&t)[R][X]) {
  if (__builtin_expect(c.direct, 1)) {
    const bool residual = g.epilogue & WC_EPILOGUE_residual;
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int x = 0; x < X; ++x) {
        const size_t j = c.first + x * simd::lanes;
        simd::f32 value = t[r][x];
        if (residual) value = simd::add(value, simd::load(g.residual + (row + r) * g.ldr + j));
        simd::store(g.c + (row + r) * g.ldc + j, value);
      }
    }
    return;
  }
  alignas(64) float copy[R * X * simd::lanes];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int x = 0; x < X; ++x) simd::store(copy + (r * X + x) * simd::lanes, t[r][x]);
  }
  finish_tile(g, copy, X * simd::lanes, row, R, c.first, c.count);
}

// Panels side by side for a single strip of R rows.
template <class Family, int R>
constexpr int panels_abreast() {
  constexpr int fit = Family::accumulators / (R * (Family::nr / simd::lanes));
  return fit < 1 ? 1 : fit > 4 ? 4 : fit;
}

// Calls Family::tile for a strip of `rows` rows, Low ≤ rows ≤ R.
template <class Family, int R, int Low, int P, bool Stream, int Width>
WC_INLINE void tile_of(
    size_t rows, const wc_gemm_args &g, const columns<Width> &c, const char *b, size_t row) {
  if constexpr (R > Low) {
    if (rows != R) return tile_of<Family, R - 1, Low, P, Stream>(rows, g, c, b, row);
  }
  Family::template tile<R, P, Stream>(g, c, b, row);
}

// All panels under one strip of R rows, which is the whole of m.
template <class Family, int R>
__attribute__((noinline)) void single_strip(const wc_gemm_args &g) {
  constexpr int P = panels_abreast<Family, R>();
  constexpr size_t width = size_t(P) * Family::nr;
  const char *b = static_cast<const char *>(g.b);
  size_t column = 0;
  if constexpr (P > 1) {
    // A tail of one panel or less goes to the loop below.
    for (; column < g.n && g.n - column > width - Family::nr; column += width, b += P * g.b_panel_bytes) {
      Family::template tile<R, P, true>(g, columns<P * Family::nr>(g, column), b, 0);
    }
  }
  for (; column < g.n; column += Family::nr, b += g.b_panel_bytes) {
    Family::template tile<R, 1, true>(g, columns<Family::nr>(g, column), b, 0);
  }
}

template <class Family, int R>
WC_INLINE void single_strip_of(size_t rows, const wc_gemm_args &g) {
  if constexpr (R > 1) {
    if (rows != R) return single_strip_of<Family, R - 1>(rows, g);
  }
  single_strip<Family, R>(g);
}

WC_INLINE bool valid(const wc_gemm_args &g) {
  if ((g.epilogue & WC_EPILOGUE_bias) && !g.bias) return false;
  if ((g.epilogue & WC_EPILOGUE_residual) && !g.residual) return false;
  if (!(is_first(g) && is_last(g)) && !g.acc) return false;
  return g.c && (g.k == 0 || (g.a && g.b));
}

// The whole call. Family has nr, mr, accumulators, `ready(g)` (its own checks),
// `panel<Stream>(g, b)` (what the tiles read in place of packed panel b) and
// `tile<R, P, Stream>(g, columns, b, row)`.
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
  const char *b = static_cast<const char *>(g.b);
  for (size_t column = 0; column < g.n; column += Family::nr, b += g.b_panel_bytes) {
    const columns<Family::nr> c(g, column);
    const char *panel = Family::panel(g, b);
    size_t row = 0;
    for (size_t s = 0; s < strips; ++s) {
      const size_t rows = low + (s < high);
      tile_of<Family, Family::mr, (Family::mr + 1) / 2, 1, false>(rows, g, c, panel, row);
      row += rows;
    }
  }
  return WC_OK;
}
