// argmax, and the k greatest of a row, written once over the lanes of an ISA. Include inside the target region, after
// rows.hpp; nothing is included here.

namespace {

constexpr float negative_infinity = -__builtin_inff();

// The next float above one that is not a NaN; a NaN, which nothing is greater or less than, above +∞.
WC_INLINE float next_above(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = x == 0.0f ? 1 : x > 0.0f ? bits + 1 : bits - 1;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The greatest of a row, and where the block begins that first has it; found by blocks, whose greatest lanes are compared
// with the greatest of all so far.
struct peak {
  float value;
  size_t block, index;
  bool ordered;  // no NaN
};

template <class L>
WC_INLINE peak peak_of(const float *x, size_t columns) {
  using values = typename L::values;
  constexpr size_t width = L::width, block = 8 * width;
  peak found{negative_infinity, 0, 0, true};
  values best = L::set(negative_infinity);
  typename L::nans nans = L::no_nans();
  size_t c = 0;
  for (; c + block <= columns; c += block) {
    values v[8];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; ++i) v[i] = L::load(x + c + i * width);
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i += 2) nans = L::or_nan(nans, v[i], v[i + 1]);
    const values low = L::max(L::max(v[0], v[1]), L::max(v[2], v[3]));
    const values high = L::max(L::max(v[4], v[5]), L::max(v[6], v[7])), most = L::max(low, high);
    if (L::any_greater(most, best)) {
      found.value = L::greatest(most);
      found.block = c;
      best = L::set(found.value);
    }
  }
  for (; c < columns; c += width) {
    const values v = load_at<L>(x, c, columns, negative_infinity);
    nans = L::or_nan(nans, v, v);
    if (L::any_greater(v, best)) {
      found.value = L::greatest(v);
      found.block = c;
      best = L::set(found.value);
    }
  }
  found.ordered = !L::any(nans);
  found.index = found.block;
  // Equal ones before the block would have been its block.
  while (found.ordered && found.index < columns && x[found.index] != found.value) ++found.index;
  return found;
}

template <class L>
WC_INLINE wc_status argmax(const wc_rowwise_args &g) {
  if (!g.indices || !g.columns || g.columns > 0x7fffffff) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    const peak found = peak_of<L>(g.x + r * g.ldx, g.columns);
    g.indices[r * g.ld_indices] = found.ordered ? static_cast<int32_t>(found.index) : -1;
  }
  return WC_OK;
}

// ---------------------------------------------------------------------------------------------
// the k greatest

// Orders as the pair (value descending, index ascending) does, greater first. −0 equals 0.
WC_INLINE uint64_t order_of(float value, size_t index) {
  value += 0.0f;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
  return static_cast<uint64_t>(bits) << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}

WC_INLINE float value_of(uint64_t order) {
  uint32_t bits = static_cast<uint32_t>(order >> 32);
  bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

WC_INLINE size_t index_of(uint64_t order) { return 0xffffffffu - static_cast<uint32_t>(order); }

// Moves the k greatest of `count` ≥ k ≥ 1, all different, to the front, the k-th to place k − 1 (Hoare 1961).
WC_INLINE void bring_greatest(uint64_t *orders, size_t count, size_t k) {
  size_t low = 0, high = count - 1;
  while (low < high) {
    const uint64_t pivot = orders[low + (high - low) / 2];
    size_t i = low, j = high;
    for (;; ++i, --j) {
      while (orders[i] > pivot) ++i;
      while (orders[j] < pivot) --j;
      if (i >= j) break;
      const uint64_t swapped = orders[i];
      orders[i] = orders[j];
      orders[j] = swapped;
    }
    // Up to j none is less than the pivot, beyond it none greater; j < high.
    if (k - 1 <= j) {
      high = j;
    } else {
      low = j + 1;
    }
  }
}

constexpr size_t most_maxima = 4096, most_orders = 1024, most_ranked = 512;

// The k greatest of `count` ≥ k, all different, to the front, greatest first: each to the place that the number of greater
// ones is. Quadratic, but without a branch to mispredict, and vectors count.
WC_INLINE void sort_greatest(uint64_t *orders, size_t count, size_t k) {
  if (count > most_ranked) {
    bring_greatest(orders, count, k);
    count = k;
  }
  uint64_t copy[most_ranked];
  for (size_t i = 0; i < count; ++i) copy[i] = orders[i];
  for (size_t i = 0; i < count; ++i) {
    const uint64_t own = copy[i];
    uint64_t rank = 0;
    for (size_t j = 0; j < count; ++j) rank += copy[j] > own;
    if (rank < k) orders[rank] = own;
  }
}

// A value that at least k of `count` vectors' lanes reach, and not many more: by bisection of the floats' order.
template <class L>
WC_INLINE float reached_by(const float *maxima, size_t vectors, size_t k) {
  if (vectors * L::width < k) return negative_infinity;
  uint64_t low = order_of(negative_infinity, 0) >> 32, high = uint64_t{1} << 32;
  while (high - low > 1) {
    const uint64_t middle = (low + high) / 2;
    const float bound = value_of(middle << 32);
    size_t reaching = 0;
    // NaNs' places in the order, which no value reaches.
    if (bound == bound) {
      for (size_t i = 0; i < vectors; ++i) {
        reaching += static_cast<size_t>(
            __builtin_popcount(L::not_less(L::load(maxima + i * L::width), L::set(bound))));
      }
    }
    if (reaching < k) {
      high = middle;
    } else {
      low = middle;
      if (reaching <= k + k / 4) break;
    }
  }
  return value_of(low << 32);
}

// The k greatest of a row, 1 ≤ k ≤ WC_LARGEST_TOP_K, to the front of `orders`, in their order; false where there is a NaN.
//
// One pass takes the lanes' maxima over stretches of the row. A value that k of those reach bounds the k-th greatest from
// below, so that a second look at the few stretches that reach it finds them all. Where more reach it than
// `orders` holds, the bound rises to the k-th greatest so far, which later equal ones do not beat.
template <class L>
WC_INLINE bool greatest_of(const float *x, size_t columns, size_t k, uint64_t *orders) {
  using values = typename L::values;
  constexpr size_t width = L::width;
  alignas(64) float maxima[most_maxima];
  const size_t vectors = columns / width;
  // Enough maxima that k of them bound well, few enough that counting them costs little.
  const size_t wanted = (16 * k < 512 ? 512 : 16 * k < most_maxima ? 16 * k : most_maxima) / width;
  size_t stretch = (vectors + wanted - 1) / wanted;
  if (stretch > 1) stretch = (stretch + 7) / 8 * 8;
  typename L::nans nans = L::no_nans();
  size_t stretches = 0;
  for (size_t first = 0; first < vectors; first += stretch, ++stretches) {
    const size_t end = vectors - first < stretch ? vectors : first + stretch;
    values most = L::set(negative_infinity);
    size_t i = first;
    for (; i + 8 <= end; i += 8) {
      values v[8];
#pragma clang loop unroll(full)
      for (size_t j = 0; j < 8; ++j) v[j] = L::load(x + (i + j) * width);
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j += 2) nans = L::or_nan(nans, v[j], v[j + 1]);
      const values low = L::max(L::max(v[0], v[1]), L::max(v[2], v[3]));
      most = L::max(most, L::max(low, L::max(L::max(v[4], v[5]), L::max(v[6], v[7]))));
    }
    for (; i < end; ++i) {
      const values v = L::load(x + i * width);
      nans = L::or_nan(nans, v, v);
      most = L::max(most, v);
    }
    L::store(maxima + stretches * width, most);
  }
  const size_t left = columns - vectors * width;
  const values last = left ? L::load_first(x + vectors * width, left) : L::set(0);
  if (L::any(L::or_nan(nans, last, last))) return false;

  float bound = reached_by<L>(maxima, stretches, k);
  size_t count = 0;
  for (size_t s = 0; s <= stretches; ++s) {
    const bool tail = s == stretches;
    if (tail ? !left : !L::any_not_less(L::load(maxima + s * width), L::set(bound))) continue;
    const size_t first = tail ? vectors : s * stretch;
    const size_t end = tail ? vectors + 1 : vectors - first < stretch ? vectors : first + stretch;
    for (size_t i = first; i < end; ++i) {
      const values v = tail ? last : L::load(x + i * width);
      uint32_t bits = L::not_less(v, L::set(bound));
      if (tail) bits &= (1u << left) - 1u;
      for (; bits; bits &= bits - 1) {
        const size_t index = i * width + static_cast<size_t>(__builtin_ctz(bits));
        orders[count++] = order_of(x[index], index);
      }
      if (count + width > most_orders) {
        bring_greatest(orders, count, k);
        count = k;
        bound = next_above(value_of(orders[k - 1]));
      }
    }
  }
  sort_greatest(orders, count, k);
  return true;
}

template <class L>
WC_INLINE wc_status top_k(const wc_rowwise_args &g) {
  if (!g.indices || !g.y || g.columns > 0x7fffffff) return WC_INVALID_ARGUMENT;
  if (g.k < 1 || g.k > WC_LARGEST_TOP_K || g.k > g.columns) return WC_INVALID_ARGUMENT;
  uint64_t orders[most_orders];
  for (size_t r = 0; r < g.rows; ++r) {
    const float *x = g.x + r * g.ldx;
    float *y = g.y + r * g.ldy;
    int32_t *indices = g.indices + r * g.ld_indices;
    const bool ordered = greatest_of<L>(x, g.columns, g.k, orders);
    for (size_t i = 0; i < g.k; ++i) {
      indices[i] = ordered ? static_cast<int32_t>(index_of(orders[i])) : -1;
      y[i] = ordered ? x[index_of(orders[i])] : __builtin_nanf("");
    }
  }
  return WC_OK;
}

}  // namespace
