// Drawing one of a row's columns by its logits, written once over the lanes of an ISA. Include inside the target region,
// after select_f32.hpp; nothing is included here.
//
// Weights are multiples of 2⁻³² of which the greatest is 1, so that sums of them in f64 are exact in any order: the same
// column is drawn on every ISA.

namespace {

constexpr size_t draw_block = 256;

WC_INLINE double in_grains(float weight) {
  const double shift = 1572864.0;  // 1.5·2²⁰: the sum's last bit is worth 2⁻³²
  return (static_cast<double>(weight) + shift) - shift;
}

struct weighing {
  float greatest, inverse;  // of the temperature
};

// e^((x − greatest)/temperature) of `count` values.
template <class L>
WC_INLINE void weigh(weighing by, const float *x, size_t count, float *weights) {
  const typename L::values shift = L::set(by.greatest), factor = L::set(by.inverse);
  size_t i = 0;
  for (; i + 4 * L::width <= count; i += 4 * L::width) {
    typename L::values v[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; ++j) v[j] = L::mul(L::sub(L::load(x + i + j * L::width), shift), factor);
    L::exp_nonpositive_each(v);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; ++j) L::store(weights + i + j * L::width, v[j]);
  }
  for (; i < count; i += L::width) {
    typename L::values v[1] = {L::mul(L::sub(load_at<L>(x, i, count), shift), factor)};
    L::exp_nonpositive_each(v);
    store_at<L>(weights, i, count, v[0]);
  }
}

// The weight of what is at least `bound` among `count` values.
template <class L>
WC_INLINE double mass_of(weighing by, const float *x, size_t count, float bound) {
  constexpr size_t side = 16;
  float weights[draw_block];
  double sums[side] = {};
  for (size_t first = 0; first < count; first += draw_block) {
    const size_t here = count - first < draw_block ? count - first : draw_block;
    weigh<L>(by, x + first, here, weights);
    size_t i = 0;
    for (; i + side <= here; i += side) {
      for (size_t j = 0; j < side; ++j) sums[j] += in_grains(x[first + i + j] >= bound ? weights[i + j] : 0.0f);
    }
    for (; i < here; ++i) sums[0] += in_grains(x[first + i] >= bound ? weights[i] : 0.0f);
  }
  double sum = 0;
  for (size_t j = 0; j < side; ++j) sum += sums[j];
  return sum;
}

// Columns begin ..< end that are at least `bound`.
struct candidates {
  size_t begin, end;
  float bound;
};

// Of one part of the candidates the first by which the weights exceed `target`; −1, and `before` moved on, where none does.
template <class L>
WC_INLINE int32_t drawn(weighing by, const float *x, candidates among, double target, double *before) {
  for (size_t first = among.begin; first < among.end; first += draw_block) {
    const size_t count = among.end - first < draw_block ? among.end - first : draw_block;
    const double mass = mass_of<L>(by, x + first, count, among.bound);
    if (*before + mass <= target) {
      *before += mass;
      continue;
    }
    float weights[draw_block];
    weigh<L>(by, x + first, count, weights);
    for (size_t i = 0; i < count; ++i) {
      if (x[first + i] >= among.bound) *before += in_grains(weights[i]);
      if (*before > target) return static_cast<int32_t>(first + i);
    }
  }
  return -1;
}

// Where the draw falls among weights of `total`; below it, so that some candidate exceeds it.
WC_INLINE double target_of(double uniform, double total) {
  const double target = uniform * total;
  return target < total ? target : total * (1 - 0x1p-52);
}

// Draws among the `count` greatest, in their order, of which the fewest that have `needed` stay; needed < 0: that share of
// their own. −1 where they have less.
template <class L>
WC_INLINE int32_t drawn_of_greatest(
    weighing by, const float *x, const uint64_t *orders, size_t count, float share, double needed, double uniform) {
  float values[WC_LARGEST_TOP_K], weights[WC_LARGEST_TOP_K];
  uint64_t places[WC_LARGEST_TOP_K];
  for (size_t i = 0; i < count; ++i) values[i] = x[index_of(orders[i])];
  weigh<L>(by, values, count, weights);
  double total = 0;
  if (needed < 0) {
    for (size_t i = 0; i < count; ++i) total += in_grains(weights[i]);
    needed = static_cast<double>(share) * total;
  }
  total = 0;
  size_t kept = 0;
  while (kept < count && (kept == 0 || total < needed)) total += in_grains(weights[kept++]);
  if (total < needed) return -1;
  // Ascending indices are descending complements.
  for (size_t i = 0; i < kept; ++i) places[i] = orders[i] << 32 | i;
  sort_greatest(places, kept, kept);
  const double target = target_of(uniform, total);
  double so_far = 0;
  for (size_t i = 0; i < kept; ++i) {
    const size_t place = static_cast<uint32_t>(places[i]);
    so_far += in_grains(weights[place]);
    if (so_far > target) return static_cast<int32_t>(index_of(orders[place]));
  }
  return -1;
}

// Draws among the fewest greatest that have `needed`, where they may be any number: bisection finds the least of them, a
// scan the last of those equal to it that belongs to them.
template <class L>
WC_INLINE int32_t drawn_of_many(weighing by, const float *x, size_t columns, double needed, double uniform) {
  uint64_t low = order_of(negative_infinity, 0) >> 32, high = (order_of(by.greatest, 0) >> 32) + 1;
  while (high - low > 1) {
    const uint64_t middle = (low + high) / 2;
    if (mass_of<L>(by, x, columns, value_of(middle << 32)) >= needed) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const float least = value_of(low << 32), more = next_above(least);
  double total = mass_of<L>(by, x, columns, more);
  float weight[1];
  weigh<L>(by, &least, 1, weight);
  size_t last = 0;
  for (size_t i = 0; i < columns && total < needed; ++i) {
    if (x[i] != least) continue;
    total += in_grains(weight[0]);
    last = i;
  }
  const double target = target_of(uniform, total);
  double before = 0;
  const int32_t found = drawn<L>(by, x, {0, last + 1, least}, target, &before);
  return found >= 0 ? found : drawn<L>(by, x, {last + 1, columns, more}, target, &before);
}

template <class L>
WC_INLINE int32_t sampled(const wc_rowwise_args &g, const float *x, double uniform) {
  const peak found = peak_of<L>(x, g.columns);
  if (!found.ordered || __builtin_isinf(found.value)) return -1;
  if (g.temperature == 0) return static_cast<int32_t>(found.index);
  const weighing by{found.value, 1.0f / g.temperature};
  uint64_t orders[most_orders];
  const size_t most = g.columns < WC_LARGEST_TOP_K ? g.columns : WC_LARGEST_TOP_K;
  if (g.k) {
    const size_t k = g.k < most ? g.k : most;
    greatest_of<L>(x, g.columns, k, orders);
    return drawn_of_greatest<L>(by, x, orders, k, g.top_p, -1, uniform);
  }
  const double total = mass_of<L>(by, x, g.columns, negative_infinity);
  if (g.top_p == 1) {
    double before = 0;
    return drawn<L>(by, x, {0, g.columns, negative_infinity}, target_of(uniform, total), &before);
  }
  // Most rows have what is needed among their greatest.
  const double needed = static_cast<double>(g.top_p) * total;
  greatest_of<L>(x, g.columns, most, orders);
  const int32_t near = drawn_of_greatest<L>(by, x, orders, most, g.top_p, needed, uniform);
  return near >= 0 ? near : drawn_of_many<L>(by, x, g.columns, needed, uniform);
}

template <class L>
WC_INLINE wc_status sampling(const wc_rowwise_args &g) {
  if (!g.indices || !g.uniform || !g.columns || g.columns > (1u << 20)) return WC_INVALID_ARGUMENT;
  if (g.k > WC_LARGEST_TOP_K || !(g.top_p > 0 && g.top_p <= 1)) return WC_INVALID_ARGUMENT;
  if (g.temperature != 0 && !(g.temperature >= 0x1p-20f && g.temperature <= 0x1p20f)) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    if (!(g.uniform[r] >= 0 && g.uniform[r] < 1)) return WC_INVALID_ARGUMENT;
    g.indices[r * g.ld_indices] = sampled<L>(g, g.x + r * g.ldx, g.uniform[r]);
  }
  return WC_OK;
}

}  // namespace
