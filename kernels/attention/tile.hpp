// One register tile of attention: up to mr rows of queries by some keys of a cache, and their weights by its values.
// Include inside the target region of the ISA, after products.hpp and layout.hpp; nothing is included here.

namespace {

template <class P, int mr, int vectors>
struct attention_tile {
  using L = typename P::lanes;
  using S = typename P::stored;
  using values = typename L::values;
  static constexpr int nr = vectors * static_cast<int>(L::width);
  using layout = cache_layout<S, nr>;

  // Panels side by side that give `rows` rows as many sums as a full tile has: few would wait for each other.
  static constexpr int abreast(int rows) { return mr / rows < 1 ? 1 : mr / rows > 4 ? 4 : mr / rows; }

  // One tile of rows against `keys` keys from the first of a block of the cache.
  struct tile {
    const char *queries, *key_block, *value_block;
    layout l;
    size_t words, keys;  // words: of a query
    // Bytes from what is read to what is fetched meanwhile: from the keys to their values, from those to the next block.
    // 0: nothing is. One stream through memory is faster than several then, so panels are taken one by one.
    ptrdiff_t ahead_of_keys, ahead_of_values;
    float *scores, *weights;
    size_t stride;  // of scores
    float *outputs;
    size_t columns;
    const float *factor;  // null: outputs as they are
  };

  template <int rows, int panels>
  static WC_INLINE void scores_of(const tile &t, size_t j) {
    values sum[rows][panels * vectors];
    const char *block = t.key_block + j / nr * t.l.key_bytes;
    clear(sum);
    if constexpr (S::group == 0 || S::group == whole) {
      P::template multiply<rows, panels, vectors>(
          t.queries, t.words, block, t.l.key_bytes, round_up(t.l.d, S::step), t.ahead_of_keys, sum);
      if constexpr (S::group != 0) scale_by<rows, panels>(t, block, 0, sum, sum, false);
    } else {
      for (size_t g = 0; g < t.l.groups; ++g) {
        const size_t first = g * S::group, count = t.l.d - first < S::group ? t.l.d - first : S::group;
        values part[rows][panels * vectors];
        clear(part);
        P::template multiply<rows, panels, vectors>(
            t.queries + P::query_offset(first), t.words, block + first / S::step * layout::row_bytes, t.l.key_bytes,
            round_up(count, S::step), t.ahead_of_keys, part);
        scale_by<rows, panels>(t, block, g, part, sum, true);
      }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; ++i) {
#pragma clang loop unroll(full)
      for (int v = 0; v < panels * vectors; ++v) {
        L::store(t.scores + static_cast<size_t>(i) * t.stride + j + static_cast<size_t>(v) * L::width, sum[i][v]);
      }
    }
  }

  template <int rows, int count>
  static WC_INLINE void clear(values (&sum)[rows][count]) {
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; ++i) {
#pragma clang loop unroll(full)
      for (int v = 0; v < count; ++v) sum[i][v] = L::set(0);
    }
  }

  // sum = part·scale of group g, or with what sum was added.
  template <int rows, int panels>
  static WC_INLINE void scale_by(
      const tile &t, const char *block, size_t g, const values (&part)[rows][panels * vectors],
      values (&sum)[rows][panels * vectors], bool add) {
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; ++p) {
      const auto *scales = reinterpret_cast<const typename S::scale *>(
                               block + static_cast<size_t>(p) * t.l.key_bytes + t.l.key_values) + g * nr;
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; ++v) {
        const values scale = L::load_scales(scales + static_cast<size_t>(v) * L::width);
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; ++i) {
          const int at = p * vectors + v;
          sum[i][at] = add ? L::multiply_add(part[i][at], scale, sum[i][at]) : L::mul(part[i][at], scale);
        }
      }
    }
  }

  // outputs = outputs·factor + p·V for `panels` panels of V's columns.
  template <int rows, int panels>
  static WC_INLINE void weigh(const tile &t, const float *weights, size_t c) {
    values sum[rows][panels * vectors];
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; ++i) {
      const values f = L::set(t.factor ? t.factor[i] : 1.0f);
#pragma clang loop unroll(full)
      for (int v = 0; v < panels * vectors; ++v) {
        const values o = L::load(t.outputs + static_cast<size_t>(i) * t.columns + c + static_cast<size_t>(v) * L::width);
        sum[i][v] = t.factor ? L::mul(o, f) : o;
      }
    }
    const char *block = t.value_block + c / nr * layout::panel_bytes;
    const size_t depth = round_up(t.keys, S::step);
    for (size_t j = 0; j < depth; j += nr, block += t.l.value_bytes) {
      P::template multiply<rows, panels, vectors>(
          reinterpret_cast<const char *>(weights) + P::weight_offset(j), t.stride, block, layout::panel_bytes,
          depth - j < nr ? depth - j : nr, t.ahead_of_values, sum);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; ++i) {
#pragma clang loop unroll(full)
      for (int v = 0; v < panels * vectors; ++v) {
        L::store(t.outputs + static_cast<size_t>(i) * t.columns + c + static_cast<size_t>(v) * L::width, sum[i][v]);
      }
    }
  }

  // weights = p·(scale of each key's value for group g)
  template <int rows>
  static WC_INLINE void scale_weights(const tile &t, size_t g) {
    for (size_t j = 0; j < t.keys; j += nr) {
      const auto *scales = reinterpret_cast<const typename S::scale *>(
                               t.value_block + j / nr * t.l.value_bytes + t.l.value_values) + g * nr;
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; ++v) {
        const size_t at = j + static_cast<size_t>(v) * L::width;
        const values scale = L::load_scales(scales + static_cast<size_t>(v) * L::width);
        for (size_t i = 0; i < rows; ++i) {
          L::store(t.weights + i * t.stride + at, L::mul(L::load(t.scores + i * t.stride + at), scale));
        }
      }
    }
  }

  template <int rows>
  static WC_INLINE void all_scores(const tile &t) {
    constexpr int wide = abreast(rows);
    size_t j = 0;
    if constexpr (wide > 1) {
      if (!t.ahead_of_keys) {
        for (; j + (wide - 1) * nr < t.keys; j += wide * nr) scores_of<rows, wide>(t, j);
      }
    }
    for (; j < t.keys; j += nr) scores_of<rows, 1>(t, j);
  }

  template <int rows>
  static WC_INLINE void weigh_all(const tile &t) {
    constexpr int wide = abreast(rows);
    const float *weights = t.scores;
    size_t ready = ~size_t{0}, c = 0;
    while (c < t.columns) {
      // Panels side by side share a group of scales.
      size_t room = t.columns - c;
      if constexpr (S::group != 0) {
        weights = t.weights;
        const size_t g = S::group == whole ? 0 : c / S::group;
        if (g != ready) scale_weights<rows>(t, ready = g);
        if (S::group != whole && (g + 1) * S::group - c < room) room = (g + 1) * S::group - c;
      }
      if constexpr (wide > 1) {
        if (!t.ahead_of_values && room >= wide * nr) {
          weigh<rows, wide>(t, weights, c);
          c += wide * nr;
          continue;
        }
      }
      weigh<rows, 1>(t, weights, c);
      c += nr;
    }
  }

  // The smallest tile that holds `rows`; the rows beyond are zero queries whose outputs nobody reads.
  template <bool scores>
  static WC_INLINE void multiply_rows(size_t rows, const tile &t) {
#define WC_TILE(count) return scores ? all_scores<count>(t) : weigh_all<count>(t)
    if (rows == 1) WC_TILE(1);
    if constexpr (mr > 2) {
      if (rows == 2) WC_TILE(2);
    }
    if constexpr (mr > 4) {
      if (rows <= 4) WC_TILE(4);
    }
    if constexpr (mr > 8) {
      if (rows <= 8) WC_TILE(8);
    }
    WC_TILE(mr);
#undef WC_TILE
  }
};

}  // namespace
