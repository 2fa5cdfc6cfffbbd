// softmax(scale · Q·Kᵀ + mask) · V for one head in f32, online over blocks of keys: written once over the
// lanes of an ISA (common/lanes_*.hpp) and a register tile of mr×nr, nr = vectors·width.
//
// For each block of bk keys and each mr queries: S = Q·Kᵀ, its row maxima m and p = 2^(S − m), then
// O = O·2^(m_old − m) + p·V, left unscaled when no m of the tile moved (Milakov and Gimelshein, arXiv
// 1805.02867; Dao et al., arXiv 2205.14135). log₂e is folded into the scale, which is folded into Q.
// A query's result does not depend on which others share its tile or call.
//
// K is packed into panels [tk/nr][d][nr], its last panel padded with zero keys; V into [d/nr][tk][nr],
// padded with zero columns.
//
// Include inside the target region of the ISA; nothing is included here.

namespace {

constexpr float minus_infinity = -__builtin_inff();

WC_INLINE size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

template <int nr>
size_t attention_packed_bytes(size_t tk, size_t d) {
  return (round_up(tk, nr) * d + round_up(d, nr) * tk) * sizeof(float);
}

// Scratch, each part rounded up to 64 bytes: queries [bq/mr][d][mr], scores [mr][bk], outputs
// [bq][d], then for each query its maximum, sum and factor.
template <int mr, int nr>
struct attention_scratch {
  size_t queries, scores, outputs, rows;  // floats

  WC_INLINE attention_scratch(size_t bq, size_t bk, size_t d)
      : queries(round_up(round_up(bq, mr) * d, 16)),
        scores(round_up(mr * round_up(bk, nr), 16)),
        outputs(round_up(round_up(bq, mr) * round_up(d, nr), 16)),
        rows(round_up(round_up(bq, mr), 16)) {}

  WC_INLINE size_t bytes() const { return (queries + scores + outputs + 3 * rows) * sizeof(float); }
};

template <int mr, int nr>
size_t attention_scratch_bytes(size_t bq, size_t bk, size_t d) {
  return attention_scratch<mr, nr>(bq, bk, d).bytes();
}

// sum[i] += Σ_k a[i·row + k·step] · b[k·nr …]
template <class L, int rows, int vectors>
WC_INLINE void multiply(
    const float *a, size_t row, size_t step, const float *b, size_t depth,
    typename L::values (&sum)[rows][vectors]) {
  using values = typename L::values;
#pragma clang loop unroll_count(2)
  for (size_t k = 0; k < depth; ++k) {
    values right[vectors];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; ++v) right[v] = L::load(b + v * L::width);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; ++i) {
      const values left = L::set(a[static_cast<size_t>(i) * row]);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; ++v) sum[i][v] = L::multiply_add(left, right[v], sum[i][v]);
    }
    a += step;
    b += vectors * L::width;
  }
}

// Scores of one panel of keys.
template <class L, int rows, int mr, int vectors>
WC_INLINE void scores_of_panel(
    const float *queries, const float *panel, size_t d, float *scores, size_t stride) {
  typename L::values sum[rows][vectors];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; ++i) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; ++v) sum[i][v] = L::set(0);
  }
  multiply<L, rows, vectors>(queries, 1, mr, panel, d, sum);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; ++i) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; ++v) L::store(scores + i * stride + v * L::width, sum[i][v]);
  }
}

// outputs = outputs·factor + p·V for one panel of V's columns; factor null: as they are.
template <class L, int rows, int vectors>
WC_INLINE void weigh_panel(
    const float *p, size_t stride, const float *panel, size_t keys, const float *factor, float *outputs,
    size_t columns) {
  typename L::values sum[rows][vectors];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; ++i) {
    const typename L::values f = L::set(factor ? factor[i] : 1.0f);
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; ++v) {
      const typename L::values o = L::load(outputs + i * columns + v * L::width);
      sum[i][v] = factor ? L::mul(o, f) : o;
    }
  }
  multiply<L, rows, vectors>(p, stride, 1, panel, keys, sum);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; ++i) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; ++v) L::store(outputs + i * columns + v * L::width, sum[i][v]);
  }
}

// Turns the first `seen` scores of a row into weights 2^(s − m) and the rest, up to `padded`, a
// multiple of the width, into zeros; returns the factor 2^(m_old − m) that older sums take.
template <class L>
WC_INLINE float weights_of_row(float *s, size_t seen, size_t padded, float &maximum, float &sum) {
  using values = typename L::values;
  constexpr size_t width = L::width;
  const size_t whole = seen / width * width, left = seen - whole;
  values m0 = L::set(minus_infinity), m1 = m0;
  size_t c = 0;
  for (; c + 2 * width <= whole; c += 2 * width) {
    m0 = L::max(m0, L::load(s + c));
    m1 = L::max(m1, L::load(s + c + width));
  }
  if (c < whole) m0 = L::max(m0, L::load(s + c));
  if (left) {
    const values last = L::keep_first(L::load(s + whole), left, minus_infinity);
    L::store(s + whole, last);
    m1 = L::max(m1, last);
  }
  const float greatest = L::greatest(L::max(m0, m1));
  const float old = maximum, now = old > greatest ? old : greatest;
  maximum = now;
  // A row that has seen no key yet has m = −∞, and −∞ − −∞ would be NaN.
  const float shift = now == minus_infinity ? 0.0f : now;
  const values m = L::set(shift);
  values total[4] = {L::set(0), L::set(0), L::set(0), L::set(0)};
  const size_t used = left ? whole + width : whole;
  for (c = 0; c + 4 * width <= used; c += 4 * width) {
    values p[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) p[i] = L::sub(L::load(s + c + i * width), m);
    L::exp2_nonpositive_each(p);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
      L::store(s + c + i * width, p[i]);
      total[i] = L::add(total[i], p[i]);
    }
  }
  for (; c < used; c += width) {
    values p[1] = {L::sub(L::load(s + c), m)};
    L::exp2_nonpositive_each(p);
    L::store(s + c, p[0]);
    total[0] = L::add(total[0], p[0]);
  }
  for (c = used; c < padded; c += width) L::store(s + c, L::set(0));
  const float factor = old == now ? 1.0f : wc::exp2_nonpositive_scalar(old - shift);
  const values pairs = L::add(L::add(total[0], total[1]), L::add(total[2], total[3]));
  sum = sum * factor + L::sum(pairs);
  return factor;
}

template <class L, int mr, int vectors>
struct attention {
  static constexpr int nr = vectors * static_cast<int>(L::width);

  // One tile of queries against keys first ..< first + keys. seen[i]: how many of them row i sees.
  struct tile {
    const float *queries, *k, *v;  // k: the block's first panel; v: the first panel's row `first`
    size_t d, tk, keys;
    const size_t *seen;
    float *scores;
    size_t stride;
    float *outputs;
    size_t columns;
    float *maximum, *sum, *factor;
  };

  template <int rows>
  static WC_INLINE void advance(const tile &t) {
    const size_t padded = round_up(t.keys, nr);
    for (size_t j = 0; j < padded; j += nr) {
      scores_of_panel<L, rows, mr, vectors>(t.queries, t.k + j * t.d, t.d, t.scores + j, t.stride);
    }
    bool moved = false;
    for (int i = 0; i < rows; ++i) {
      t.factor[i] = weights_of_row<L>(
          t.scores + static_cast<size_t>(i) * t.stride, t.seen[i], padded, t.maximum[i], t.sum[i]);
      moved |= t.factor[i] != 1.0f;
    }
    for (size_t c = 0; c < t.columns; c += nr) {
      weigh_panel<L, rows, vectors>(
          t.scores, t.stride, t.v + c * t.tk, t.keys, moved ? t.factor : nullptr, t.outputs + c, t.columns);
    }
  }

  // The smallest tile that holds `rows`; the rows beyond are zero queries that see no key.
  static WC_INLINE void advance_rows(size_t rows, const tile &t) {
    if (rows == 1) return advance<1>(t);
    if constexpr (mr > 2) {
      if (rows == 2) return advance<2>(t);
    }
    if constexpr (mr > 4) {
      if (rows <= 4) return advance<4>(t);
    }
    if constexpr (mr > 8) {
      if (rows <= 8) return advance<8>(t);
    }
    advance<mr>(t);
  }

  // How many keys row i of the call sees.
  static WC_INLINE size_t visible(const wc_attention_args &g, size_t i) {
    if (g.mask == WC_MASK_full) return g.tk;
    const size_t last = g.q_first + i + g.tk + 1;  // ≤ tk + tq_total
    if (last <= g.tq_total) return 0;
    return last - g.tq_total < g.tk ? last - g.tq_total : g.tk;
  }

  static WC_INLINE void write_row(const float *from, float sum, size_t d, float *o) {
    // A row that saw no key has zeros and a sum of zero.
    const typename L::values share = L::set(sum == 0 ? 0.0f : 1.0f / sum);
    size_t c = 0;
    for (; c + L::width <= d; c += L::width) L::store(o + c, L::mul(L::load(from + c), share));
    if (c < d) L::store_first(o + c, L::mul(L::load(from + c), share), d - c);
  }

  // Queries first ..< first + count of the call.
  static WC_INLINE void block(const wc_attention_args &g, size_t first, size_t count) {
    const size_t columns = round_up(g.d, nr), stride = round_up(g.bk, nr);
    const attention_scratch<mr, nr> layout(g.bq, g.bk, g.d);
    float *queries = static_cast<float *>(g.scratch), *scores = queries + layout.queries;
    float *outputs = scores + layout.scores, *maximum = outputs + layout.outputs;
    float *sum = maximum + layout.rows, *factor = sum + layout.rows;
    const float *k = static_cast<const float *>(g.packed_kv), *v = k + round_up(g.tk, nr) * g.d;

    const float log2e = 1.44269504088896340736f, scale = g.scale * log2e;
    const size_t padded = round_up(count, mr);
    for (size_t r = 0; r < padded; ++r) {
      float *to = queries + r / mr * mr * g.d + r % mr;
      const float *q = g.q + (first + r) * g.ldq;
      for (size_t c = 0; c < g.d; ++c) to[c * mr] = r < count ? q[c] * scale : 0.0f;
      maximum[r] = minus_infinity;
      sum[r] = 0;
      for (size_t c = 0; c < columns; c += L::width) L::store(outputs + r * columns + c, L::set(0));
    }
    for (size_t begin = 0; begin < g.tk; begin += stride) {
      const size_t keys = g.tk - begin < stride ? g.tk - begin : stride;
      for (size_t r = 0; r < count; r += mr) {
        const size_t rows = count - r < mr ? count - r : mr;
        const size_t end = visible(g, first + r + rows - 1);
        if (end <= begin) continue;
        size_t seen[mr];
        for (size_t i = 0; i < mr; ++i) {
          const size_t see = i < rows ? visible(g, first + r + i) : 0;
          seen[i] = see <= begin ? 0 : see - begin < keys ? see - begin : keys;
        }
        const tile t = {
            queries + r * g.d, k + begin * g.d, v + begin * nr, g.d, g.tk,
            seen[rows - 1], seen, scores, stride, outputs + r * columns, columns, maximum + r,
            sum + r, factor + r};
        advance_rows(rows, t);
      }
    }
    for (size_t r = 0; r < count; ++r) {
      write_row(outputs + r * columns, sum[r], g.d, g.o + (first + r) * g.ldo);
    }
  }

  static WC_INLINE wc_status run(const wc_attention_args &g) {
    if (g.bq == 0 || g.bk == 0 || g.mask > WC_MASK_causal) return WC_INVALID_ARGUMENT;
    if (!g.scratch || (g.tk > 0 && g.d > 0 && !g.packed_kv)) return WC_INVALID_ARGUMENT;
    for (size_t first = 0; first < g.tq; first += g.bq) {
      block(g, first, g.tq - first < g.bq ? g.tq - first : g.bq);
    }
    return WC_OK;
  }
};

}  // namespace
