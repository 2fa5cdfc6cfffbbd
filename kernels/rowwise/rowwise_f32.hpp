// The row-wise ops from f32 to f32, written once over the lanes of an ISA (common/lanes_*.hpp).
//
// Include inside the target region of that ISA: the templates take its features. Nothing is included
// here, so that no standard header is compiled within a region. Each op reads and writes rows×columns
// elements and nothing else; y may be x, and residual may be y. rows.hpp comes before.

namespace {

// Mean and variance over the row, in two passes while it is in L1. The second pass also sums the
// differences from the mean: they are what the mean's rounding left over, and are taken out of both,
// so that rows of nearly equal values keep their precision.
template <class L>
WC_INLINE void layer_norm_row(
    const float *x, const float *residual, const float *weight, const float *bias, float epsilon,
    size_t columns, float *y) {
  using values = typename L::values;
  constexpr size_t width = L::width, step = 4 * width;
  const size_t stepped = columns / step * step;
  const float count = static_cast<float>(columns);

  values s0 = L::set(0), s1 = s0, s2 = s0, s3 = s0;
  size_t c = 0;
  if (residual) {
    for (; c < stepped; c += step) {
      const values v0 = L::add(L::load(x + c), L::load(residual + c));
      const values v1 = L::add(L::load(x + c + width), L::load(residual + c + width));
      const values v2 = L::add(L::load(x + c + 2 * width), L::load(residual + c + 2 * width));
      const values v3 = L::add(L::load(x + c + 3 * width), L::load(residual + c + 3 * width));
      L::store(y + c, v0);
      L::store(y + c + width, v1);
      L::store(y + c + 2 * width, v2);
      L::store(y + c + 3 * width, v3);
      s0 = L::add(s0, v0);
      s1 = L::add(s1, v1);
      s2 = L::add(s2, v2);
      s3 = L::add(s3, v3);
    }
    for (; c < columns; c += width) {
      const values v = L::add(load_at<L>(x, c, columns), load_at<L>(residual, c, columns));
      store_at<L>(y, c, columns, v);
      s0 = L::add(s0, v);
    }
    x = y;
  } else {
    for (; c < stepped; c += step) {
      s0 = L::add(s0, L::load(x + c));
      s1 = L::add(s1, L::load(x + c + width));
      s2 = L::add(s2, L::load(x + c + 2 * width));
      s3 = L::add(s3, L::load(x + c + 3 * width));
    }
    for (; c < columns; c += width) s0 = L::add(s0, load_at<L>(x, c, columns));
  }
  const float mean = L::sum(L::add(L::add(s0, s1), L::add(s2, s3))) / count;
  const values m = L::set(mean);

  values q0 = L::set(0), q1 = q0;
  s0 = s1 = q0;
  for (c = 0; c < stepped; c += 2 * width) {
    const values d0 = L::sub(L::load(x + c), m), d1 = L::sub(L::load(x + c + width), m);
    s0 = L::add(s0, d0);
    s1 = L::add(s1, d1);
    q0 = L::multiply_add(d0, d0, q0);
    q1 = L::multiply_add(d1, d1, q1);
  }
  for (; c < columns; c += width) {
    values d = L::sub(load_at<L>(x, c, columns), m);
    if (columns - c < width) d = L::keep_first(d, columns - c, 0);
    s0 = L::add(s0, d);
    q0 = L::multiply_add(d, d, q0);
  }
  const float left_over = L::sum(L::add(s0, s1)) / count;
  const float square = L::sum(L::add(q0, q1)) / count - left_over * left_over;
  const float variance = square < 0 ? 0 : square;  // keeps a NaN
  const float factor = 1.0f / __builtin_sqrtf(variance + epsilon);

  const values l = L::set(left_over), f = L::set(factor);
  for (c = 0; c < columns; c += width) {
    const values d = L::sub(L::sub(load_at<L>(x, c, columns), m), l);
    const values scaled = L::mul(L::mul(d, f), load_at<L>(weight, c, columns));
    store_at<L>(y, c, columns, L::add(scaled, load_at<L>(bias, c, columns)));
  }
}

template <class L>
WC_INLINE wc_status layer_norm(const wc_rowwise_args &g) {
  if (!g.weight || !g.bias) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    layer_norm_row<L>(
        g.x + r * g.ldx, g.residual ? g.residual + r * g.ldr : nullptr, g.weight, g.bias, g.epsilon,
        g.columns, g.y + r * g.ldy);
  }
  return WC_OK;
}

template <class L>
WC_INLINE wc_status residual_sum(const wc_rowwise_args &g) {
  if (!g.residual) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    const float *x = g.x + r * g.ldx, *residual = g.residual + r * g.ldr;
    float *y = g.y + r * g.ldy;
    for (size_t c = 0; c < g.columns; c += L::width) {
      store_at<L>(y, c, g.columns, L::add(load_at<L>(x, c, g.columns), load_at<L>(residual, c, g.columns)));
    }
  }
  return WC_OK;
}

// Rows of a table are `columns` apart; the sum is taken in the order of the tables.
template <class L>
WC_INLINE wc_status embedding(const wc_rowwise_args &g) {
  if (g.table_count < 1 || g.table_count > 3) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    const float *rows[3];
    for (size_t t = 0; t < g.table_count; ++t) {
      rows[t] = g.tables[t] + static_cast<size_t>(g.ids[t][r]) * g.columns;
    }
    float *y = g.y + r * g.ldy;
    for (size_t c = 0; c < g.columns; c += L::width) {
      typename L::values v = load_at<L>(rows[0], c, g.columns);
      for (size_t t = 1; t < g.table_count; ++t) v = L::add(v, load_at<L>(rows[t], c, g.columns));
      store_at<L>(y, c, g.columns, v);
    }
  }
  return WC_OK;
}

template <class L>
WC_INLINE wc_status mean_pool(const wc_rowwise_args &g) {
  using values = typename L::values;
  constexpr size_t width = L::width, step = 4 * width;
  const size_t stepped = g.columns / step * step;
  for (size_t s = 0; s < g.rows; ++s) {
    const size_t first = static_cast<size_t>(g.starts[s]), end = static_cast<size_t>(g.starts[s + 1]);
    if (end < first) return WC_INVALID_ARGUMENT;
    float *y = g.y + s * g.ldy;
    const values share = L::set(end > first ? 1.0f / static_cast<float>(end - first) : 0.0f);
    size_t c = 0;
    for (; c < stepped; c += step) {
      values v0 = L::set(0), v1 = v0, v2 = v0, v3 = v0;
      for (size_t r = first; r < end; ++r) {
        const float *x = g.x + r * g.ldx + c;
        v0 = L::add(v0, L::load(x));
        v1 = L::add(v1, L::load(x + width));
        v2 = L::add(v2, L::load(x + 2 * width));
        v3 = L::add(v3, L::load(x + 3 * width));
      }
      L::store(y + c, L::mul(v0, share));
      L::store(y + c + width, L::mul(v1, share));
      L::store(y + c + 2 * width, L::mul(v2, share));
      L::store(y + c + 3 * width, L::mul(v3, share));
    }
    for (; c < g.columns; c += width) {
      values v = L::set(0);
      for (size_t r = first; r < end; ++r) v = L::add(v, load_at<L>(g.x + r * g.ldx, c, g.columns));
      store_at<L>(y, c, g.columns, L::mul(v, share));
    }
    if (g.normalize) {
      // In f64: the squares of small values stay normal, and one sequence is one short row.
      double square = 0;
      for (c = 0; c < g.columns; ++c) square += static_cast<double>(y[c]) * y[c];
      if (square == 0) continue;
      const double factor = 1 / __builtin_sqrt(square);
      for (c = 0; c < g.columns; ++c) y[c] = static_cast<float>(y[c] * factor);
    }
  }
  return WC_OK;
}

}  // namespace
