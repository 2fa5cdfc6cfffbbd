// Blocks of 32×32 sums in four AMX tiles, under panels of 32 columns as VNNI's and BF16's kernels pack them.
// No include guard on purpose: each file includes this inside its own target region and unnamed namespace,
// after dot_tile.hpp.
//
// Tiles 0 to 3 hold the sums: 0 and 1 of the first 16 rows, 2 and 3 of the others; 4 and 5 hold A's rows, 6
// and 7 the two halves of B's panel. A step is 64 bytes of a row of A by 16 packed steps of B. Each call
// configures the tiles itself and gives them back, so that no thread carries their state from call to call.

// What LDTILECFG reads (Intel SDM vol. 2A).
struct alignas(64) tile_configuration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};

  WC_INLINE void set(int tile, size_t tile_rows, size_t bytes) {
    // A tile without rows has no columns either.
    rows[tile] = static_cast<uint8_t>(tile_rows);
    column_bytes[tile] = static_cast<uint16_t>(tile_rows ? bytes : 0);
  }
};

constexpr size_t tile_rows = 16, strip_rows = 32, panel_columns = 32, packed_step = panel_columns * 4;

// For strips of `rows` ≤ 32 rows and steps of `step` packed steps of B.
__attribute__((noinline)) void configure(size_t rows, size_t step) {
  tile_configuration c;
  const size_t upper = rows < tile_rows ? rows : tile_rows, lower = rows - upper;
  for (int x = 0; x < 2; ++x) {
    c.set(x, upper, 64);
    c.set(2 + x, lower, 64);
    c.set(6 + x, step, 64);
  }
  c.set(4, upper, step * 4);
  c.set(5, lower, step * 4);
  _tile_loadconfig(&c);
}

// One step's products. Two: the strip has more than 16 rows.
template <class Dot, bool Two>
WC_INLINE void multiply(const char *a, size_t a_bytes, const char *b) {
  _tile_loadd(6, b, packed_step);
  _tile_loadd(4, a, a_bytes);
  Dot::template dot<0, 4, 6>();
  _tile_loadd(7, b + 64, packed_step);
  Dot::template dot<1, 4, 7>();
  if constexpr (Two) {
    _tile_loadd(5, a + tile_rows * a_bytes, a_bytes);
    Dot::template dot<2, 5, 6>();
    Dot::template dot<3, 5, 7>();
  }
}

// Sums from or to memory, `row_bytes` from one row to the next; 0 gives all rows the same.
template <bool Two>
WC_INLINE void load_sums(const void *from, size_t row_bytes) {
  const char *p = static_cast<const char *>(from);
  _tile_loadd(0, p, row_bytes);
  _tile_loadd(1, p + 64, row_bytes);
  if constexpr (Two) {
    _tile_loadd(2, p + tile_rows * row_bytes, row_bytes);
    _tile_loadd(3, p + tile_rows * row_bytes + 64, row_bytes);
  }
}
template <bool Two>
WC_INLINE void store_sums(void *to, size_t row_bytes) {
  char *p = static_cast<char *>(to);
  _tile_stored(0, p, row_bytes);
  _tile_stored(1, p + 64, row_bytes);
  if constexpr (Two) {
    _tile_stored(2, p + tile_rows * row_bytes, row_bytes);
    _tile_stored(3, p + tile_rows * row_bytes + 64, row_bytes);
  }
}

// Families whose sums need no group scales. Dot: element, sum, lane, start and ends as in dot_tile.hpp, and
// dot<C, A, B>(), the product of two tiles.
template <class Dot>
struct tile_dot_family {
  static constexpr size_t step = 16;

  static WC_INLINE bool ready(const wc_gemm_args &g) { return Dot::ready(g); }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <bool Two, bool Stream>
  static __attribute__((noinline)) void strip(
      const wc_gemm_args &g, const columns<panel_columns, 1> &c, const char *b, size_t row, size_t rows) {
    constexpr size_t element = sizeof(typename Dot::element), step_bytes = step * packed_step;
    alignas(64) typename Dot::lane sums[strip_rows * panel_columns];
    auto *acc = static_cast<typename Dot::lane *>(g.acc);
    if (is_first(g)) {
      for (int x = 0; x < 2; ++x) simd::store(sums + x * simd::lanes, Dot::start(g, c, x));
      load_sums<Two>(sums, 0);
    } else {
      load_sums<Two>(acc + row * g.ldacc + c.first, g.ldacc * 4);
    }

    const char *a = static_cast<const char *>(g.a) + row * g.lda * element;
    const size_t a_bytes = g.lda * element, packed = (g.k + Dot::kr - 1) / Dot::kr;
    for (size_t s = 0; s < packed / step; ++s, a += 64, b += step_bytes) {
      if constexpr (Stream) {
        if (g.prefetch) {
          for (size_t line = 0; line < step_bytes; line += 64) __builtin_prefetch(b + g.prefetch + line);
        }
      }
      multiply<Dot, Two>(a, a_bytes, b);
    }
    if (const size_t left = packed % step) {
      // A tile is read whole: what is left is copied between zeros.
      alignas(64) char last_a[strip_rows * 64] = {}, last_b[step_bytes] = {};
      for (size_t r = 0; r < rows; ++r) __builtin_memcpy(last_a + r * 64, a + r * a_bytes, left * 4);
      __builtin_memcpy(last_b, b, left * packed_step);
      multiply<Dot, Two>(last_a, 64, last_b);
    }

    if (!is_last(g)) return store_sums<Two>(acc + row * g.ldacc + c.first, g.ldacc * 4);
    store_sums<Two>(sums, panel_columns * 4);
    for (size_t r = 0; r < rows; ++r) {
      const typename Dot::lane *from = sums + r * panel_columns;
      const typename Dot::sum one[1][2] = {{simd::load(from), simd::load(from + simd::lanes)}};
      end_sums<Dot>(g, c, row + r, one);
    }
  }
};

// Strips of one height under every panel, which is expanded once for all of them.
template <class Family, bool Two, bool Stream>
WC_INLINE void strips_of(const wc_gemm_args &g, size_t row, size_t count, size_t rows) {
  configure(rows, Family::step);
  const char *b = static_cast<const char *>(g.b);
  for (size_t column = 0; column < g.n; column += panel_columns, b += g.b_panel_bytes) {
    const columns<panel_columns, 1> c(g, column);
    const char *panel = Family::panel(g, b);
    for (size_t s = 0; s < count; ++s) {
      Family::template strip<Two, Stream>(g, c, panel, row + s * rows, rows);
    }
  }
}

// The whole call. Strips of 32 rows first, then the rest: configuring clears the tiles, and is slow.
template <class Family>
WC_INLINE wc_status run_tiles(const wc_gemm_args *args) {
  if (!args) return WC_INVALID_ARGUMENT;
  const wc_gemm_args &g = *args;
  if (g.m == 0 || g.n == 0) return WC_OK;
  if (!valid(g) || !Family::ready(g)) return WC_INVALID_ARGUMENT;
  const size_t whole = g.m / strip_rows, rest = g.m % strip_rows, row = whole * strip_rows;
  if (whole == 1 && rest == 0) {
    strips_of<Family, true, true>(g, 0, 1, strip_rows);
  } else if (whole) {
    strips_of<Family, true, false>(g, 0, whole, strip_rows);
  }
  if (rest > tile_rows) {
    strips_of<Family, true, true>(g, row, 1, rest);
  } else if (rest) {
    strips_of<Family, false, true>(g, row, 1, rest);
  }
  _tile_release();
  return WC_OK;
}
