// The row-wise ops of a decoder from f32 to f32, written once over the lanes of an ISA (lanes_*.hpp).
//
// Include inside the target region of that ISA, after rows.hpp; nothing is included here. y may be x.

namespace {

// What is read next, brought from memory while something else is done.
class ahead {
 public:
  explicit WC_INLINE ahead(const float *row) : row_(row) {}
  // Columns c ..< c + count.
  template <size_t count>
  WC_INLINE void fetch(size_t c) const {
    if (!row_) return;
#pragma clang loop unroll(full)
    for (size_t i = 0; i < count; i += 16) __builtin_prefetch(row_ + c + i, 0, 2);
  }

 private:
  const float *row_;
};

// ---------------------------------------------------------------------------------------------
// RMS norm

// Σh² in f32 loses what overflows or underflows; then once more in f64.
WC_INLINE float inverse_rms(float square, const float *h, size_t columns, float epsilon) {
  const float count = static_cast<float>(columns);
  if (square > 1e-30f && square < 1e38f) return 1.0f / __builtin_sqrtf(square / count + epsilon);
  double sum = 0;
  for (size_t c = 0; c < columns; ++c) sum += static_cast<double>(h[c]) * static_cast<double>(h[c]);
  return static_cast<float>(1 / __builtin_sqrt(sum / static_cast<double>(columns) + static_cast<double>(epsilon)));
}

// One row on its way: h = x + residual, or x, and y.
struct norm_row {
  const float *x, *residual;  // null: none
  float *h;                   // where the sum goes
  const float *weight;
  float *y;

  WC_INLINE const float *values() const { return residual ? h : x; }
};

// Σh² of row `next`, while y of row `last` is made of its h: reading the one overlaps writing the other.
template <class L, bool measures, bool adds, bool finishes>
WC_INLINE float norm_pass(norm_row next, norm_row last, float factor, size_t columns) {
  using values = typename L::values;
  constexpr size_t width = L::width, step = 4 * width;
  const float *h = last.values();
  const values f = L::set(factor);
  values s[4] = {L::set(0), L::set(0), L::set(0), L::set(0)};
  size_t c = 0;
  for (; c + step <= columns; c += step) {
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 4; ++i) {
      const size_t at = c + i * width;
      if (measures) {
        values v = L::load(next.x + at);
        if (adds) L::store(next.h + at, v = L::add(v, L::load(next.residual + at)));
        s[i] = L::multiply_add(v, v, s[i]);
      }
      if (finishes) L::store(last.y + at, L::mul(L::mul(L::load(h + at), f), L::load(last.weight + at)));
    }
  }
  for (; c < columns; c += width) {
    if (measures) {
      values v = load_at<L>(next.x, c, columns);
      if (adds) store_at<L>(next.h, c, columns, v = L::add(v, load_at<L>(next.residual, c, columns)));
      s[0] = L::multiply_add(v, v, s[0]);
    }
    if (finishes) {
      const values v = L::mul(load_at<L>(h, c, columns), f);
      store_at<L>(last.y, c, columns, L::mul(v, load_at<L>(last.weight, c, columns)));
    }
  }
  return measures ? L::sum(L::add(L::add(s[0], s[1]), L::add(s[2], s[3]))) : 0;
}

template <class L, bool adds>
WC_INLINE void rms_norm_rows(const wc_rowwise_args &g) {
  norm_row last{};
  float factor = 0;
  for (size_t r = 0; r < g.rows; ++r) {
    norm_row next{g.x + r * g.ldx, nullptr, nullptr, g.weight, g.y + r * g.ldy};
    if (adds) {
      next.residual = g.residual + r * g.ldr;
      next.h = g.sum ? g.sum + r * g.ld_sum : next.y;
    }
    const float square = r == 0 ? norm_pass<L, true, adds, false>(next, last, factor, g.columns)
                                : norm_pass<L, true, adds, true>(next, last, factor, g.columns);
    factor = inverse_rms(square, next.values(), g.columns, g.epsilon);
    last = next;
  }
  if (g.rows) norm_pass<L, false, false, true>(last, last, factor, g.columns);
}

template <class L>
WC_INLINE wc_status rms_norm(const wc_rowwise_args &g) {
  if (!g.weight || (g.sum && !g.residual)) return WC_INVALID_ARGUMENT;
  if (g.residual) {
    rms_norm_rows<L, true>(g);
  } else {
    rms_norm_rows<L, false>(g);
  }
  return WC_OK;
}

// ---------------------------------------------------------------------------------------------
// activations

template <class L>
struct by_gelu {
  template <int count>
  static WC_INLINE void each(typename L::values (&v)[count]) { L::gelu_each(v); }
};
template <class L>
struct by_silu {
  template <int count>
  static WC_INLINE void each(typename L::values (&v)[count]) { L::silu_each(v); }
};
template <class L>
struct by_gelu_tanh {
  template <int count>
  static WC_INLINE void each(typename L::values (&v)[count]) { L::gelu_tanh_each(v); }
};
template <class L>
struct by_softplus {
  template <int count>
  static WC_INLINE void each(typename L::values (&v)[count]) { L::softplus_each(v); }
};

// y = f(x), or f(x) · residual: several vectors side by side, since one is a chain of dependent operations.
template <class L, class F, bool gated>
WC_INLINE wc_status activate(const wc_rowwise_args &g) {
  constexpr int side = 4;
  constexpr size_t width = L::width, step = side * width;
  if (gated && !g.residual) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    const float *x = g.x + r * g.ldx, *up = gated ? g.residual + r * g.ldr : nullptr;
    float *y = g.y + r * g.ldy;
    size_t c = 0;
    for (; c + step <= g.columns; c += step) {
      typename L::values v[side];
#pragma clang loop unroll(full)
      for (int i = 0; i < side; ++i) v[i] = L::load(x + c + i * width);
      F::each(v);
#pragma clang loop unroll(full)
      for (int i = 0; i < side; ++i) {
        L::store(y + c + i * width, gated ? L::mul(v[i], L::load(up + c + i * width)) : v[i]);
      }
    }
    for (; c < g.columns; c += width) {
      typename L::values v[1] = {load_at<L>(x, c, g.columns)};
      F::each(v);
      store_at<L>(y, c, g.columns, gated ? L::mul(v[0], load_at<L>(up, c, g.columns)) : v[0]);
    }
  }
  return WC_OK;
}

// ---------------------------------------------------------------------------------------------
// softmax

// Up to here x and y lie in half a megabyte, near enough for three passes to cost less than exponentials made twice.
constexpr size_t softmax_near_columns = 65536;

constexpr float lowest_f32 = -3.40282347e38f;

// The greatest, then exponentials and their sum, then all of them divided.
template <class L>
WC_INLINE void softmax_three_passes(const float *x, size_t columns, float *y, ahead next) {
  using values = typename L::values;
  constexpr size_t width = L::width, step = 4 * width;
  const float nothing = -__builtin_inff();
  const size_t stepped = columns / step * step;
  values m[4] = {L::set(nothing), L::set(nothing), L::set(nothing), L::set(nothing)};
  size_t c = 0;
  for (; c < stepped; c += step) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) m[i] = L::max(m[i], L::load(x + c + i * width));
  }
  for (; c < columns; c += width) m[0] = L::max(m[0], load_at<L>(x, c, columns, nothing));
  const float greatest = L::greatest(L::max(L::max(m[0], m[1]), L::max(m[2], m[3])));
  // A NaN among −∞ may be lost in `greatest`, but not in the sum.
  const values shift = L::set(greatest == nothing ? 0.0f : greatest);
  const typename L::exponential exponential;
  values s[4] = {L::set(0), L::set(0), L::set(0), L::set(0)};
  for (c = 0; c < stepped; c += step) {
    next.fetch<step>(c);
    values v[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) v[i] = L::sub(L::load(x + c + i * width), shift);
    exponential.each(v);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
      L::store(y + c + i * width, v[i]);
      s[i] = L::add(s[i], v[i]);
    }
  }
  for (; c < columns; c += width) {
    values v[1] = {L::sub(load_at<L>(x, c, columns, nothing), shift)};
    exponential.each(v);
    store_at<L>(y, c, columns, v[0]);
    s[0] = L::add(s[0], v[0]);
  }
  const float sum = L::sum(L::add(L::add(s[0], s[1]), L::add(s[2], s[3])));
  const values factor = L::set(sum == 0.0f ? 0.0f : 1.0f / sum);
  for (c = 0; c < stepped; c += step) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) L::store(y + c + i * width, L::mul(L::load(y + c + i * width), factor));
  }
  for (; c < columns; c += width) store_at<L>(y, c, columns, L::mul(load_at<L>(y, c, columns), factor));
}

// The greatest so far and the sum that belongs to it, lane by lane, in one pass (Milakov and Gimelshein, arXiv
// 1805.02867); then the quotients. x is read twice and y written once: for rows that come from far.
template <class L>
WC_INLINE void softmax_online(const float *x, size_t columns, float *y) {
  using values = typename L::values;
  constexpr size_t width = L::width, step = 4 * width;
  const float nothing = -__builtin_inff();
  const typename L::exponential exponential;
  values m = L::set(lowest_f32);
  values s[4] = {L::set(0), L::set(0), L::set(0), L::set(0)};
  size_t c = 0;
  for (; c < columns; c += step) {
    values v[4];
    if (c + step <= columns) {
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) v[i] = L::load(x + c + i * width);
    } else {
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) {
        const size_t first = c + i * width;
        v[i] = first < columns ? load_at<L>(x, first, columns, nothing) : L::set(nothing);
      }
    }
    const values most = L::max(L::max(v[0], v[1]), L::max(v[2], v[3]));
    if (L::any_greater(most, m)) {
      const values before = m;
      // m first: where v is a NaN its sum becomes one, whatever m.
      m = L::max(most, m);
      values scale[1] = {L::sub(before, m)};
      exponential.each(scale);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) s[i] = L::mul(s[i], scale[0]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) v[i] = L::sub(v[i], m);
    exponential.each(v);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) s[i] = L::add(s[i], v[i]);
  }
  const float greatest = L::greatest(m);
  values lane[1] = {L::sub(m, L::set(greatest))};
  exponential.each(lane);
  const float sum = L::sum(L::mul(L::add(L::add(s[0], s[1]), L::add(s[2], s[3])), lane[0]));
  const values factor = L::set(sum == 0.0f ? 0.0f : 1.0f / sum), shift = L::set(greatest);
  for (c = 0; c + step <= columns; c += step) {
    values v[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) v[i] = L::sub(L::load(x + c + i * width), shift);
    exponential.each(v);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) L::store(y + c + i * width, L::mul(v[i], factor));
  }
  for (; c < columns; c += width) {
    values v[1] = {L::sub(load_at<L>(x, c, columns, nothing), shift)};
    exponential.each(v);
    store_at<L>(y, c, columns, L::mul(v[0], factor));
  }
}

template <class L>
WC_INLINE wc_status softmax(const wc_rowwise_args &g) {
  for (size_t r = 0; r < g.rows; ++r) {
    if (g.columns <= softmax_near_columns) {
      const ahead next(r + 1 < g.rows ? g.x + (r + 1) * g.ldx : nullptr);
      softmax_three_passes<L>(g.x + r * g.ldx, g.columns, g.y + r * g.ldy, next);
    } else {
      softmax_online<L>(g.x + r * g.ldx, g.columns, g.y + r * g.ldy);
    }
  }
  return WC_OK;
}

// ---------------------------------------------------------------------------------------------
// rotary embedding

template <class L>
WC_INLINE void turn_halves(const float *x, float *y, const float *cosines, const float *sines, size_t half) {
  using values = typename L::values;
  for (size_t i = 0; i < half; i += L::width) {
    const values a = load_at<L>(x, i, half), b = load_at<L>(x + half, i, half);
    const values cosine = load_at<L>(cosines, i, half), sine = load_at<L>(sines, i, half);
    store_at<L>(y, i, half, L::sub(L::mul(a, cosine), L::mul(b, sine)));
    store_at<L>(y + half, i, half, L::multiply_add(b, cosine, L::mul(a, sine)));
  }
}

template <class L>
WC_INLINE void turn_pairs(const float *x, float *y, const float *cosines, const float *sines, size_t rotary) {
  if constexpr (L::width == 1) {
    for (size_t i = 0; i < rotary; i += 2) {
      const float a = x[i], b = x[i + 1];
      y[i] = a * cosines[i] + b * sines[i];
      y[i + 1] = b * cosines[i + 1] + a * sines[i + 1];
    }
  } else {
    using values = typename L::values;
    for (size_t i = 0; i < rotary; i += L::width) {
      const values v = load_at<L>(x, i, rotary);
      const values turned = L::mul(L::swap_pairs(v), load_at<L>(sines, i, rotary));
      store_at<L>(y, i, rotary, L::multiply_add(v, load_at<L>(cosines, i, rotary), turned));
    }
  }
}

template <class L, bool interleaved>
WC_INLINE wc_status rope(const wc_rowwise_args &g) {
  const size_t size = g.head_dim, rotary = g.rotary;
  if (!size || g.columns % size || rotary > size || rotary % 2) return WC_INVALID_ARGUMENT;
  if (!g.cosines || !g.sines || !g.ids[0]) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    const float *x = g.x + r * g.ldx;
    float *y = g.y + r * g.ldy;
    const size_t angles = static_cast<size_t>(g.ids[0][r]) * g.ld_angles;
    const float *cosines = g.cosines + angles, *sines = g.sines + angles;
    for (size_t h = 0; h < g.columns; h += size) {
      if (interleaved) {
        turn_pairs<L>(x + h, y + h, cosines, sines, rotary);
      } else {
        turn_halves<L>(x + h, y + h, cosines, sines, rotary / 2);
      }
      if (x == y) continue;
      for (size_t i = rotary; i < size; i += L::width) store_at<L>(y + h, i, size, load_at<L>(x + h, i, size));
    }
  }
  return WC_OK;
}

}  // namespace
