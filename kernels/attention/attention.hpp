// softmax(scale · Q·Kᵀ, capped, sloped and masked) · V for the query heads that share one head of a cache, online
// over blocks of keys: written once over the products P (products.hpp) and a register tile of mr×nr.
//
// The rows of the products are (position, head) pairs, so that a tile of K and V serves all heads of the group.
// For each block of bk keys and each mr rows: S = Q·Kᵀ, its row maxima m and p = 2^(S − m), then
// O = O·2^(m_old − m) + p·V, left unscaled when no m of the tile moved (Dao et al., arXiv 2205.14135). Panels of
// keys that the mask hides from all rows of a tile are passed over. A row's result does not depend on which others
// share its tile or call, but for roundings where a window has other panels passed over for them.
//
// Include inside the target region of the ISA, after tile.hpp and scores.hpp.

namespace {

// Scratch, each part rounded up to 64 bytes: queries, scores [mr][bk], scaled weights [mr][bk] (caches with scales),
// outputs [rows][d], then for each row its maximum, sum and factor.
template <class P, int mr, int nr>
struct attention_scratch {
  size_t queries, scores, weights, outputs, rows;  // bytes

  WC_INLINE attention_scratch(size_t count, size_t bk, size_t d) {
    const size_t padded = round_up(count, mr);
    queries = round_up(padded * P::query_words(d) * sizeof(float), 64);
    scores = round_up(mr * round_up(bk, nr) * sizeof(float), 64);
    weights = P::stored::group ? scores : 0;
    outputs = round_up(padded * round_up(d, nr) * sizeof(float), 64);
    rows = round_up(padded * sizeof(float), 64);
  }
  WC_INLINE size_t bytes() const { return queries + scores + weights + outputs + 3 * rows; }
};

// Rows of a block of `bq`: whole positions of `group` heads, one at least.
WC_INLINE size_t rows_of_block(size_t bq, size_t group) { return bq < group ? group : bq / group * group; }

template <class P, int mr, int nr>
size_t attention_scratch_bytes(size_t bq, size_t bk, size_t group, size_t d) {
  return attention_scratch<P, mr, nr>(rows_of_block(bq, group), bk, d).bytes();
}

template <class P, int mr, int vectors>
struct attention {
  using tiles = attention_tile<P, mr, vectors>;
  using tile = typename tiles::tile;
  using L = typename P::lanes;
  using values = typename L::values;
  using layout = typename tiles::layout;
  static constexpr int nr = tiles::nr;

  // The keys that a position sees: lo ..< hi and those of them below `sinks`.
  struct span {
    size_t lo, hi;
    ptrdiff_t position;  // of the query among the keys
  };
  static WC_INLINE size_t within(ptrdiff_t j, size_t tk) {
    return j <= 0 ? 0 : static_cast<size_t>(j) < tk ? static_cast<size_t>(j) : tk;
  }
  static WC_INLINE span seen(const wc_attention_args &g, size_t i) {
    const ptrdiff_t position =
        static_cast<ptrdiff_t>(g.q_first + i + g.tk) - static_cast<ptrdiff_t>(g.tq_total);
    const ptrdiff_t window = static_cast<ptrdiff_t>(g.window);
    span s = {0, g.tk, position};
    if (g.mask == WC_MASK_causal) {
      s.hi = within(position + 1, g.tk);
    } else if (window > 0) {
      s.hi = within(position + window, g.tk);
    }
    if (window > 0) s.lo = within(position - window + 1, g.tk);
    return s;
  }

  // Row by row from scores to weights; keys from ..< from + t.keys of the cache. True where a factor is not 1.
  static WC_INLINE bool softmax(
      const wc_attention_args &g, const tile &t, const span *spans, const size_t *heads, size_t rows, size_t from,
      float factor_of_scores, float *maximum, float *sum, float *factor) {
    const size_t padded = round_up(t.keys, nr), end = from + t.keys;
    size_t used[mr];
    float scale[mr], greatest[mr];
    // Row after row would wait for each maximum; so all are found first.
    for (size_t i = 0; i < rows; ++i) {
      float *s = t.scores + i * t.stride;
      const span &see = spans[i];
      const size_t hi = see.hi < end ? see.hi : end, last = hi > from ? hi - from : 0;
      used[i] = round_up(last, L::width);
      scale[i] = factor_of_scores;
      if (g.softcap > 0) {
        cap_row<L>(s, used[i], scale[i], g.softcap * wc::log2_e);
        scale[i] = 1;
      }
      if (g.slopes) {
        const ptrdiff_t distance = static_cast<ptrdiff_t>(from) - see.position;
        slope_row<L>(s, used[i], scale[i], g.slopes[heads[i]] * wc::log2_e, static_cast<float>(distance));
        scale[i] = 1;
      }
      hide(s, last, used[i]);
      if (see.lo > from) {
        const size_t kept = g.sinks > from ? g.sinks - from : 0, hidden = see.lo - from;
        hide(s, kept, hidden < used[i] ? hidden : used[i]);
      }
      greatest[i] = greatest_of_row<L>(s, used[i]);
      if (!P::scaled_queries) greatest[i] *= scale[i];
    }
    bool moved = false;
    for (size_t i = 0; i < rows; ++i) {
      factor[i] = weights_of_row<L, P, !P::scaled_queries>(
          t.scores + i * t.stride, used[i], padded, scale[i], greatest[i], maximum[i], sum[i]);
      moved |= factor[i] != 1.0f;
    }
    return moved;
  }

  static WC_INLINE void write_row(const float *from, float share, size_t d, float *o) {
    const values f = L::set(share);
    size_t c = 0;
    for (; c + L::width <= d; c += L::width) L::store(o + c, L::mul(L::load(from + c), f));
    if (c < d) L::store_first(o + c, L::mul(L::load(from + c), f), d - c);
  }

  // Rows first ..< first + count of the call.
  static void block(const wc_attention_args &g, size_t first, size_t count) {
    const layout l(g.d);
    const size_t columns = round_up(g.d, nr), stride = round_up(g.bk, nr);
    const attention_scratch<P, mr, nr> parts(rows_of_block(g.bq, g.group), g.bk, g.d);
    char *queries = static_cast<char *>(g.scratch);
    float *scores = reinterpret_cast<float *>(queries + parts.queries);
    float *weights = reinterpret_cast<float *>(queries + parts.queries + parts.scores);
    float *outputs = weights + parts.weights / sizeof(float), *maximum = outputs + parts.outputs / sizeof(float);
    float *sum = maximum + parts.rows / sizeof(float), *factor = sum + parts.rows / sizeof(float);
    const char *keys = static_cast<const char *>(g.cache), *cached_values = keys + l.first_value(g.capacity);

    // Scores are multiplied by a positive number after masking, for −∞ stays −∞ then; its sign goes to the queries.
    const float scale = g.scale * wc::log2_e, size = __builtin_fabsf(scale);
    const float in_queries = P::scaled_queries ? scale : scale > 0 ? 1.0f : scale < 0 ? -1.0f : 0.0f;
    const float in_scores = P::scaled_queries || !(size > 0) ? 1.0f : size;
    const size_t padded = round_up(count, mr), words = P::query_words(g.d);
    for (size_t r = 0; r < padded; ++r) {
      const size_t row = first + r;
      char *to = queries + r * words * sizeof(float);
      if (r < count) {
        P::put_query(to, g.q + row / g.group * g.ldq + row % g.group * g.q_head, g.d, in_queries);
      } else {
        __builtin_memset(to, 0, words * sizeof(float));
      }
      maximum[r] = minus_infinity;
      sum[r] = 0;
      for (size_t c = 0; c < columns; c += L::width) L::store(outputs + r * columns + c, L::set(0));
    }
    for (size_t begin = g.k_first; begin < g.k_end; begin += stride) {
      const size_t stop = g.k_end - begin < stride ? g.k_end : begin + stride;
      for (size_t r = 0; r < count; r += mr) {
        const size_t rows = count - r < mr ? count - r : mr;
        span spans[mr];
        size_t heads[mr];
        for (size_t i = 0; i < rows; ++i) {
          spans[i] = seen(g, (first + r + i) / g.group);
          heads[i] = (first + r + i) % g.group;
        }
        const size_t last = spans[rows - 1].hi;  // positions ascend, and so do lo and hi
        size_t end = stop < last ? stop : last, from = begin > spans[0].lo ? begin : spans[0].lo;
        if (begin < g.sinks && from > begin) {
          if (from >= end && g.sinks < end) end = g.sinks;
          from = begin;
        }
        if (from >= end) continue;
        from -= (from - begin) % nr;
        tile t = {
            queries + r * words * sizeof(float), keys + from / nr * l.key_bytes, cached_values + from / nr * l.value_bytes,
            l, words, end - from, 0, 0, scores, weights, stride, outputs + r * columns, columns, nullptr};
        if (g.prefetch) {
          t.ahead_of_keys = t.value_block - t.key_block;
          t.ahead_of_values = keys + (begin + stride) / nr * l.key_bytes - t.value_block;
        }
        tiles::template multiply_rows<true>(rows, t);
        if (softmax(g, t, spans, heads, rows, from, in_scores, maximum + r, sum + r, factor + r)) t.factor = factor + r;
        for (size_t i = rows; i < mr; ++i) factor[r + i] = 1;
        tiles::template multiply_rows<false>(rows, t);
      }
    }
    for (size_t r = 0; r < count; ++r) {
      const size_t row = first + r;
      if (g.partial) {
        float *to = g.partial + row * (g.d + 2);
        write_row(outputs + r * columns, 1, g.d, to);
        to[g.d] = maximum[r];
        to[g.d + 1] = sum[r];
      } else {
        // A row that saw no key has zeros and a sum of zero.
        write_row(
            outputs + r * columns, sum[r] == 0 ? 0.0f : 1.0f / sum[r], g.d,
            g.o + row / g.group * g.ldo + row % g.group * g.o_head);
      }
    }
  }

  static WC_INLINE wc_status run(const wc_attention_args &g) {
    if (g.bq == 0 || g.bk == 0 || g.group == 0 || g.mask > WC_MASK_causal) return WC_INVALID_ARGUMENT;
    if (g.k_first % nr || g.k_first > g.k_end || g.k_end > g.tk || g.tk > g.capacity) return WC_INVALID_ARGUMENT;
    if (!g.scratch || (g.tk > 0 && g.d > 0 && !g.cache)) return WC_INVALID_ARGUMENT;
    const size_t rows = g.tq * g.group, step = rows_of_block(g.bq, g.group);
    for (size_t first = 0; first < rows; first += step) block(g, first, rows - first < step ? rows - first : step);
    return WC_OK;
  }
};

// o = Σ O·2^(m − M) / Σ l·2^(m − M) over the parts, in their order, with M the greatest m.
template <class L>
wc_status attention_merge(
    size_t parts, size_t positions, size_t group, size_t d, const float *partial, size_t part_stride, float *o,
    size_t ldo, size_t o_head) {
  using values = typename L::values;
  for (size_t row = 0; row < positions * group; ++row) {
    const float *first = partial + row * (d + 2);
    float *to = o + row / group * ldo + row % group * o_head;
    float greatest = minus_infinity, total = 0;
    for (size_t s = 0; s < parts; ++s) {
      const float m = first[s * part_stride + d];
      greatest = greatest > m ? greatest : m;
    }
    const float shift = greatest == minus_infinity ? 0.0f : greatest;
    for (size_t s = 0; s < parts; ++s) {
      total += first[s * part_stride + d + 1] * wc::exp2_nonpositive_scalar(first[s * part_stride + d] - shift);
    }
    const float share = total == 0 ? 0.0f : 1.0f / total;
    for (size_t c = 0; c < d; c += L::width) {
      const size_t left = d - c < L::width ? d - c : L::width;
      values sum = L::set(0);
      for (size_t s = 0; s < parts; ++s) {
        const float *from = first + s * part_stride;
        const values part = left < L::width ? L::load_first(from + c, left) : L::load(from + c);
        sum = L::multiply_add(part, L::set(wc::exp2_nonpositive_scalar(from[d] - shift)), sum);
      }
      sum = L::mul(sum, L::set(share));
      if (left < L::width) {
        L::store_first(to + c, sum, left);
      } else {
        L::store(to + c, sum);
      }
    }
  }
  return WC_OK;
}

}  // namespace
