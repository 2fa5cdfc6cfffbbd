// Causal convolution with a filter as long as the sequence in O(L log L), written once over the lanes of an ISA.
//
// Sequences of real numbers are multiplied as polynomials modulo X^M − i with M ≥ L: what exceeds the degree returns
// times i, so the low half of the product is the real part and nothing wraps into it; half the points that padding to
// 2L would take, none of them complex on the way in or out. X^n − ζ is split as the product of X^(n/r) − ω_r^k·ζ^(1/r),
// and so on down to points: a transform whose order is its own, in which the filter is kept as well, and whose
// twiddles are the same for a whole block. The inverse goes the same way back. A block is followed to its points,
// multiplied and brought back while it is in a cache, before the next one is begun, so only blocks larger than a
// cache level pass through it more than once; the last four points are done in registers.
//
// Sequences come and go through a buffer, 64 channels at a time: rows of a wide sequence are then walked by whole
// groups of lines, once, where 16 channels of each row at a time would wait for memory at every one.
//
// Channels are lanes: no shuffles. M = 2^a·3^b, radices 3, 2, then 4; points are [M][2][width], real and imaginary.
//
// Include inside the target region of the ISA, after panels.hpp; <math.h> comes before the region.

namespace {

// How M is split, from the outermost level to the last, which is 4.
struct fft_plan {
  size_t points;
  int levels;
  int radix[32];
  size_t twiddles[32];  // complex numbers ahead of a level's first

  explicit fft_plan(size_t length) {
    points = ~size_t{0};
    for (size_t power = 1; power < 4 * length + 64; power *= 3) {
      size_t size = 16 * power;
      while (size < length) size *= 2;
      if (size < points) points = size;
    }
    levels = 0;
    size_t rest = points / 4;
    while (rest % 3 == 0) radix[levels++] = 3, rest /= 3;
    if (__builtin_ctzll(rest) % 2 != 0) radix[levels++] = 2, rest /= 2;
    while (rest > 1) radix[levels++] = 4, rest /= 4;
    radix[levels++] = 4;
    size_t blocks = 1, sum = 0;
    for (int l = 0; l < levels; ++l) {
      twiddles[l] = sum;
      sum += blocks * static_cast<size_t>(radix[l] - 1);
      blocks *= static_cast<size_t>(radix[l]);
    }
    twiddles[levels] = sum;
  }
};

inline size_t fft_shared_bytes(size_t length) {
  const fft_plan plan(length);
  return plan.twiddles[plan.levels] * 2 * sizeof(float);
}
inline size_t fft_panel_bytes(size_t length) { return fft_plan(length).points * 2 * panel * sizeof(float); }

// The r-th roots of each block's ζ and their powers.
inline wc_status fft_share(size_t length, void *shared) {
  const fft_plan plan(length);
  float *to = static_cast<float *>(shared);
  size_t blocks = 1;
  for (int l = 0; l < plan.levels; ++l) {
    for (size_t b = 0; b < blocks; ++b) {
      // In turns; the digits of b, the outermost level's first, are the branches taken.
      double turns = 0.25;
      size_t digit = blocks;
      for (int i = 0; i < l; ++i) {
        digit /= static_cast<size_t>(plan.radix[i]);
        turns = (turns + static_cast<double>(b / digit % static_cast<size_t>(plan.radix[i]))) / plan.radix[i];
      }
      for (int q = 1; q < plan.radix[l]; ++q, to += 2) {
        const double angle = 6.283185307179586476925 * (turns / plan.radix[l] * q);
        to[0] = static_cast<float>(cos(angle));
        to[1] = static_cast<float>(sin(angle));
      }
    }
    blocks *= static_cast<size_t>(plan.radix[l]);
  }
  return WC_OK;
}

template <class L>
struct long_conv_fft {
  using values = typename L::values;
  static constexpr size_t width = L::width;
  static constexpr size_t point = 2 * width;  // floats

  struct complex {
    values r, i;
  };
  static WC_INLINE complex add(complex a, complex b) { return {L::add(a.r, b.r), L::add(a.i, b.i)}; }
  static WC_INLINE complex sub(complex a, complex b) { return {L::sub(a.r, b.r), L::sub(a.i, b.i)}; }
  // a + i·b and a − i·b.
  static WC_INLINE complex add_turned(complex a, complex b) { return {L::sub(a.r, b.i), L::add(a.i, b.r)}; }
  static WC_INLINE complex sub_turned(complex a, complex b) { return {L::add(a.r, b.i), L::sub(a.i, b.r)}; }
  static WC_INLINE values negative(values a) { return L::sub(L::set(0), a); }
  static WC_INLINE complex mul(complex a, complex b) {
    return {L::multiply_add(a.r, b.r, negative(L::mul(a.i, b.i))), L::multiply_add(a.r, b.i, L::mul(a.i, b.r))};
  }
  static WC_INLINE complex load(const float *p) { return {L::load(p), L::load(p + width)}; }
  static WC_INLINE void store(float *p, complex a) {
    L::store(p, a.r);
    L::store(p + width, a.i);
  }

  // Twiddles 1 … radix − 1 of a block, as they multiply ahead of a split, and what undoes them.
  template <int radix>
  struct roots {
    values r[radix], i[radix], minus[radix];
    WC_INLINE explicit roots(const float *t) {
#pragma clang loop unroll(full)
      for (int q = 1; q < radix; ++q) {
        r[q] = L::set(t[2 * q - 2]);
        i[q] = L::set(t[2 * q - 1]);
        minus[q] = L::set(-t[2 * q - 1]);
      }
    }
    WC_INLINE complex times(int q, complex a) const {
      return {L::multiply_add(a.r, r[q], L::mul(a.i, minus[q])), L::multiply_add(a.r, i[q], L::mul(a.i, r[q]))};
    }
    WC_INLINE complex undo(int q, complex a) const {
      return {L::multiply_add(a.r, r[q], L::mul(a.i, i[q])), L::multiply_add(a.i, r[q], L::mul(a.r, minus[q]))};
    }
  };

  // a[q] of a block's part q, already times its root, into the residues of the sub-blocks; and back, times radix.
  static WC_INLINE void split(complex (&a)[2]) {
    const complex b = a[1];
    a[1] = sub(a[0], b);
    a[0] = add(a[0], b);
  }
  static WC_INLINE void join(complex (&a)[2]) { split(a); }
  template <bool back>
  static WC_INLINE void three(complex (&a)[3]) {
    const values half = L::set(-0.5f), high = L::set(0.866025403784438646763f);
    const complex t = add(a[1], a[2]), d = sub(a[1], a[2]);
    const complex m = {L::multiply_add(half, t.r, a[0].r), L::multiply_add(half, t.i, a[0].i)};
    const complex v = {L::mul(high, d.r), L::mul(high, d.i)};
    a[0] = add(a[0], t);
    a[1] = back ? sub_turned(m, v) : add_turned(m, v);
    a[2] = back ? add_turned(m, v) : sub_turned(m, v);
  }
  static WC_INLINE void split(complex (&a)[3]) { three<false>(a); }
  static WC_INLINE void join(complex (&a)[3]) { three<true>(a); }
  static WC_INLINE void split(complex (&a)[4]) {
    const complex s02 = add(a[0], a[2]), d02 = sub(a[0], a[2]), s13 = add(a[1], a[3]), d13 = sub(a[1], a[3]);
    a[0] = add(s02, s13);
    a[1] = add_turned(d02, d13);
    a[2] = sub(s02, s13);
    a[3] = sub_turned(d02, d13);
  }
  static WC_INLINE void join(complex (&a)[4]) {
    const complex s02 = add(a[0], a[2]), s13 = sub(a[0], a[2]), d02 = add(a[1], a[3]), t = sub(a[1], a[3]);
    a[0] = add(s02, d02);
    a[1] = sub_turned(s13, t);
    a[2] = sub(s02, d02);
    a[3] = add_turned(s13, t);
  }

  struct work {
    const fft_plan *plan;
    const float *roots;
    float *points;
    float *filter;  // the spectrum: read, or written when it is made
    float *rows;  // [tokens][width]: the sequence, then what it became
    size_t tokens;
    values skip;
    bool skips;
  };

  static WC_INLINE values row(const work &w, size_t n) { return n < w.tokens ? L::load(w.rows + n * width) : L::set(0); }

  template <int radix>
  static WC_INLINE void first(const work &w) {
    const size_t part = w.plan->points / radix;
    const roots<radix> c(w.roots);
    for (size_t j = 0; j < part; ++j) {
      complex a[radix];
#pragma clang loop unroll(full)
      for (int q = 0; q < radix; ++q) {
        const size_t n = j + static_cast<size_t>(q) * part;
        const values x = row(w, n);
        a[q] = q == 0 ? complex{x, L::set(0)} : complex{L::mul(x, c.r[q]), L::mul(x, c.i[q])};
      }
      split(a);
#pragma clang loop unroll(full)
      for (int q = 0; q < radix; ++q) store(w.points + (j + static_cast<size_t>(q) * part) * point, a[q]);
    }
  }

  template <int radix>
  static WC_INLINE void last(const work &w) {
    const size_t part = w.plan->points / radix;
    const roots<radix> c(w.roots);
    for (size_t j = 0; j < part; ++j) {
      complex a[radix];
#pragma clang loop unroll(full)
      for (int q = 0; q < radix; ++q) a[q] = load(w.points + (j + static_cast<size_t>(q) * part) * point);
      join(a);
#pragma clang loop unroll(full)
      for (int q = 0; q < radix; ++q) {
        const size_t n = j + static_cast<size_t>(q) * part;
        if (n >= w.tokens) continue;
        values y = q == 0 ? a[q].r : L::multiply_add(a[q].r, c.r[q], L::mul(a[q].i, c.i[q]));
        if (w.skips) y = L::multiply_add(w.skip, row(w, n), y);
        L::store(w.rows + n * width, y);
      }
    }
  }

  template <int radix, bool back>
  static WC_INLINE void pass(const float *t, float *points, size_t part) {
    const roots<radix> c(t);
    for (size_t j = 0; j < part; ++j) {
      complex a[radix];
#pragma clang loop unroll(full)
      for (int q = 0; q < radix; ++q) {
        a[q] = load(points + (j + static_cast<size_t>(q) * part) * point);
        if (!back && q > 0) a[q] = c.times(q, a[q]);
      }
      if (back) {
        join(a);
      } else {
        split(a);
      }
#pragma clang loop unroll(full)
      for (int q = 0; q < radix; ++q) {
        store(points + (j + static_cast<size_t>(q) * part) * point, back && q > 0 ? c.undo(q, a[q]) : a[q]);
      }
    }
  }

  template <bool back>
  static WC_INLINE void pass_of(int radix, const float *t, float *points, size_t part) {
    switch (radix) {
      case 2: return pass<2, back>(t, points, part);
      case 3: return pass<3, back>(t, points, part);
      default: return pass<4, back>(t, points, part);
    }
  }

  // Four points of the last level, there and back.
  template <bool packs>
  static WC_INLINE void leaf(const work &w, const float *t, size_t at) {
    float *points = w.points + at * point, *filter = w.filter + at * point;
    const roots<4> c(t);
    complex a[4];
#pragma clang loop unroll(full)
    for (int q = 0; q < 4; ++q) a[q] = load(points + q * point);
#pragma clang loop unroll(full)
    for (int q = 1; q < 4; ++q) a[q] = c.times(q, a[q]);
    split(a);
    if (packs) {
      const values scale = L::set(1.0f / static_cast<float>(w.plan->points));
#pragma clang loop unroll(full)
      for (int q = 0; q < 4; ++q) store(filter + q * point, {L::mul(a[q].r, scale), L::mul(a[q].i, scale)});
      return;
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < 4; ++q) a[q] = mul(a[q], load(filter + q * point));
    join(a);
#pragma clang loop unroll(full)
    for (int q = 0; q < 4; ++q) store(points + q * point, q > 0 ? c.undo(q, a[q]) : a[q]);
  }

  // Block `block` of a level, of `size` points from `at` on: to its points and back.
  template <bool packs>
  static void descend(const work &w, int level, size_t block, size_t at, size_t size) {
    const int radix = w.plan->radix[level];
    const float *t = w.roots + 2 * (w.plan->twiddles[level] + block * static_cast<size_t>(radix - 1));
    if (level + 1 == w.plan->levels) return leaf<packs>(w, t, at);
    const size_t part = size / static_cast<size_t>(radix);
    if (level > 0) pass_of<false>(radix, t, w.points + at * point, part);
    for (size_t k = 0; k < static_cast<size_t>(radix); ++k) {
      descend<packs>(w, level + 1, block * static_cast<size_t>(radix) + k, at + k * part, part);
    }
    if (level > 0 && !packs) pass_of<true>(radix, t, w.points + at * point, part);
  }

  template <bool packs>
  static WC_INLINE void whole(const work &w) {
    switch (w.plan->radix[0]) {
      case 2: first<2>(w); break;
      case 3: first<3>(w); break;
      default: first<4>(w); break;
    }
    descend<packs>(w, 0, 0, 0, w.plan->points);
    if (packs) return;
    switch (w.plan->radix[0]) {
      case 2: return last<2>(w);
      case 3: return last<3>(w);
      default: return last<4>(w);
    }
  }

  // Vectors that come and go together.
  static constexpr size_t together = 64 / width;

  static size_t scratch_bytes(size_t length) {
    return (fft_plan(length).points * point + together * length * width) * sizeof(float);
  }

  // Channels c … of the rows at `from` into the buffer, a vector after the other; and back.
  static WC_INLINE void gather(const float *from, size_t ld, size_t rows, size_t channels, size_t c, float *to) {
    for (size_t t = 0; t < rows; ++t) {
      for (size_t v = 0; v < together; ++v) {
        const ptrdiff_t left = static_cast<ptrdiff_t>(channels) - static_cast<ptrdiff_t>(c + v * width);
        L::store(to + (v * rows + t) * width, load_some<L>(from + t * ld + c + v * width, left));
      }
    }
  }
  static WC_INLINE void scatter(const float *from, size_t ld, size_t rows, size_t channels, size_t c, float *to) {
    for (size_t t = 0; t < rows; ++t) {
      for (size_t v = 0; v < together; ++v) {
        const ptrdiff_t left = static_cast<ptrdiff_t>(channels) - static_cast<ptrdiff_t>(c + v * width);
        store_some<L>(to + t * ld + c + v * width, L::load(from + (v * rows + t) * width), left);
      }
    }
  }

  static wc_status pack(
      size_t length, size_t channels, const float *filter, size_t ld, const void *shared, void *packed,
      void *scratch) {
    const fft_plan plan(length);
    float *points = static_cast<float *>(scratch), *rows = points + plan.points * point;
    float *to = static_cast<float *>(packed);
    const size_t padded = (channels + panel - 1) / panel * panel;
    for (size_t c = 0; c < padded; c += together * width) {
      gather(filter, ld, length, channels, c, rows);
      for (size_t v = 0; v < together && c + v * width < padded; ++v, to += plan.points * point) {
        whole<true>({&plan, static_cast<const float *>(shared), points, to, rows + v * length * width, length,
                     L::set(0), false});
      }
    }
    return WC_OK;
  }

  static WC_INLINE wc_status run(const wc_long_conv_args &g) {
    if (g.tokens > g.length || !g.shared || !g.filter || !g.scratch) return WC_INVALID_ARGUMENT;
    if (g.tokens == 0) return WC_OK;
    const fft_plan plan(g.length);
    float *points = static_cast<float *>(g.scratch), *rows = points + plan.points * point;
    // Only packing writes a filter.
    float *filter = const_cast<float *>(static_cast<const float *>(g.filter));
    for (size_t c = 0; c < g.channels; c += together * width) {
      gather(g.x, g.ldx, g.tokens, g.channels, c, rows);
      for (size_t v = 0; v < together && c + v * width < g.channels; ++v) {
        const size_t channel = c + v * width;
        const ptrdiff_t left = static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel);
        whole<false>({&plan, static_cast<const float *>(g.shared), points, filter + channel * plan.points * 2,
                      rows + v * g.tokens * width, g.tokens, g.skip ? load_some<L>(g.skip + channel, left) : L::set(0),
                      g.skip != nullptr});
      }
      scatter(rows, g.ldy, g.tokens, g.channels, c, g.y);
    }
    return WC_OK;
  }
};

}  // namespace
