// The end of every tile that does not go straight from registers to C: activation, gate, residual and
// conversion of a tile of scaled and biased sums still in L1. No include guard on purpose: block.hpp
// includes this.
//
// Vectors are taken `abreast` at a time, over the ends of rows: an activation alone is a chain of
// dependent operations so long that the processor's window holds too few of them to fill its pipes.

struct no_activation {
  template <int count>
  static WC_INLINE void each(simd::f32 (&)[count]) {}
};
struct gelu_activation {
  template <int count>
  static WC_INLINE void each(simd::f32 (&x)[count]) {
    simd::gelu_each(x);
  }
};
struct gelu_tanh_activation {
  template <int count>
  static WC_INLINE void each(simd::f32 (&x)[count]) {
    simd::gelu_tanh_each(x);
  }
};
struct silu_activation {
  template <int count>
  static WC_INLINE void each(simd::f32 (&x)[count]) {
    simd::silu_each(x);
  }
};
struct relu_activation {
  template <int count>
  static WC_INLINE void each(simd::f32 (&x)[count]) {
    simd::relu_each(x);
  }
};

// The sums of a tile: row i at t + i·ldt belongs to row `row` + i of C, its first value to `column`, and
// `count` of them are outputs. Gated, what an output is multiplied by lies `half` beyond it.
struct finished_tile {
  const float *t;
  size_t ldt, half, row, rows, column, count;
};

WC_INLINE simd::f32 load_live(const float *p, size_t live) {
  return live == simd::lanes ? simd::load(p) : simd::load_first(p, live);
}

// Residual, conversion and store of the first `live` lanes at (row, column) of C; `factor` makes codes.
WC_INLINE void store_outputs(
    const wc_gemm_args &g, size_t row, size_t column, simd::f32 x, size_t live, float factor) {
  if (g.epilogue & WC_EPILOGUE_residual) {
    x = simd::add(x, load_live(g.residual + row * g.ldr + column, live));
  }
  const size_t at = row * g.ldc + column;
  if (__builtin_expect(!(g.epilogue & WC_CONVERSIONS), 1)) {
    float *c = static_cast<float *>(g.c) + at;
    if (live == simd::lanes) return simd::store(c, x);
    return simd::store_first(c, x, live);
  }
  if (g.epilogue & WC_EPILOGUE_bf16) return simd::store_bf16(static_cast<uint16_t *>(g.c) + at, x, live);
  const int plus = g.epilogue & WC_EPILOGUE_u8 ? 128 : 0;
  simd::store_codes(static_cast<int8_t *>(g.c) + at, simd::mul(x, simd::broadcast(factor)), plus, live);
}

template <class Activation, bool Gated>
__attribute__((noinline)) void finish_rows(const wc_gemm_args &g, const finished_tile &tile) {
  constexpr int abreast = 4;
  const bool codes = g.epilogue & (WC_EPILOGUE_s8 | WC_EPILOGUE_u8);
  float factor = 0;
  for (size_t i = 0, j = 0; i < tile.rows;) {
    simd::f32 x[abreast];
    size_t rows[abreast], columns[abreast], lives[abreast];
    int taken = 0;
    for (int v = 0; v < abreast; ++v) {
      x[v] = simd::zero_f32();
      if (i == tile.rows) continue;
      const size_t left = tile.count - j;
      rows[v] = i;
      columns[v] = j;
      lives[v] = left < simd::lanes ? left : simd::lanes;
      x[v] = load_live(tile.t + i * tile.ldt + j, lives[v]);
      ++taken;
      j += simd::lanes;
      if (j >= tile.count) {
        j = 0;
        ++i;
      }
    }
    Activation::each(x);
    for (int v = 0; v < taken; ++v) {
      const float *sums = tile.t + rows[v] * tile.ldt + columns[v];
      if (Gated) x[v] = simd::mul(x[v], load_live(sums + tile.half, lives[v]));
      if (codes && (v == 0 || columns[v] == 0)) factor = code_factor(g, tile.row + rows[v]);
      store_outputs(g, tile.row + rows[v], tile.column + columns[v], x[v], lives[v], factor);
    }
  }
}

// Rows i ..< i + Rows of a whole panel's tile: as above, with nothing left to be decided at run time.
template <class Activation, bool Gated, int NR, int Rows>
WC_INLINE void finish_whole_rows(const wc_gemm_args &g, const finished_tile &tile, size_t i) {
  constexpr int outputs = Gated ? NR / 2 : NR, V = (outputs + simd::lanes - 1) / simd::lanes;
  constexpr size_t last = outputs - (V - 1) * simd::lanes;
  simd::f32 x[Rows * V];
#pragma unroll
  for (int v = 0; v < Rows * V; ++v) {
    x[v] = load_live(tile.t + (i + v / V) * tile.ldt + v % V * simd::lanes, v % V == V - 1 ? last : simd::lanes);
  }
  Activation::each(x);
#pragma unroll
  for (int v = 0; v < Rows * V; ++v) {
    const size_t row = i + v / V, j = v % V * simd::lanes, live = v % V == V - 1 ? last : simd::lanes;
    if (Gated) x[v] = simd::mul(x[v], load_live(tile.t + row * tile.ldt + NR / 2 + j, live));
    const bool codes = g.epilogue & (WC_EPILOGUE_s8 | WC_EPILOGUE_u8);
    store_outputs(g, tile.row + row, tile.column + j, x[v], live, codes ? code_factor(g, tile.row + row) : 0);
  }
}

template <class Activation, bool Gated, int NR>
__attribute__((noinline)) void finish_whole(const wc_gemm_args &g, const finished_tile &tile) {
  constexpr int V = ((Gated ? NR / 2 : NR) + simd::lanes - 1) / simd::lanes, abreast = V < 3 ? 4 / V : 1;
  size_t i = 0;
  for (; i + abreast <= tile.rows; i += abreast) finish_whole_rows<Activation, Gated, NR, abreast>(g, tile, i);
  if constexpr (abreast > 1) {
    for (; i < tile.rows; ++i) finish_whole_rows<Activation, Gated, NR, 1>(g, tile, i);
  }
}

template <class Activation, bool Gated, int NR>
WC_INLINE void finish(const wc_gemm_args &g, const finished_tile &tile) {
  if (tile.count == (Gated ? NR / 2 : NR)) return finish_whole<Activation, Gated, NR>(g, tile);
  finish_rows<Activation, Gated>(g, tile);
}

template <bool Gated, int NR>
WC_INLINE void finish_activated(const wc_gemm_args &g, const finished_tile &tile) {
  switch (g.epilogue & WC_ACTIVATIONS) {
    case WC_EPILOGUE_gelu: return finish<gelu_activation, Gated, NR>(g, tile);
    case WC_EPILOGUE_gelu_tanh: return finish<gelu_tanh_activation, Gated, NR>(g, tile);
    case WC_EPILOGUE_silu: return finish<silu_activation, Gated, NR>(g, tile);
    case WC_EPILOGUE_relu: return finish<relu_activation, Gated, NR>(g, tile);
    default: return finish<no_activation, Gated, NR>(g, tile);
  }
}

// One panel of a tile: `rows` rows of NR sums, the first of them of packed column `column`.
template <int NR>
__attribute__((noinline)) void finish_tile(
    const wc_gemm_args &g, const float *t, size_t ldt, size_t row, size_t rows, size_t column) {
  const size_t left = g.n - column, count = left < NR ? left : NR;
  if (is_gated(g)) {
    finish_activated<true, NR>(g, {t, ldt, NR / 2, row, rows, column / 2, count / 2});
  } else {
    finish_activated<false, NR>(g, {t, ldt, 0, row, rows, column, count});
  }
}
