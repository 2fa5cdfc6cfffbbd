// Causal convolution along time with one short filter per channel, written once over the lanes of an ISA.
//
// Channels are lanes. Four tokens of a panel go together, so that a row is loaded once for the four it reaches and a
// tap once for all; panels follow one another along the rows, and what four tokens read of the range of channels stays
// in the nearest cache for the next four. Tokens that reach back into the state go one by one.
//
// Include inside the target region of the ISA, after panels.hpp; nothing is included here.

namespace {

template <class L>
struct conv1d {
  using values = typename L::values;
  static constexpr size_t width = L::width;

  // Row `token` of the sequence, from channel `channel` on; before the first, of the state.
  static WC_INLINE const float *row(const wc_conv1d_args &g, ptrdiff_t token, size_t channel) {
    if (token >= 0) return g.x + static_cast<size_t>(token) * g.ldx + channel;
    const size_t back = static_cast<size_t>(static_cast<ptrdiff_t>(g.width) - 1 + token);
    return g.state + (channel / panel * (g.width - 1) + back) * panel + channel % panel;
  }

  // `count` tokens from `token` on of the vector at `channel`. taps: the width, where it is one of those
  // that are unrolled, else 0. `reach`: whether any of them reads the state.
  template <int count, int taps, bool whole, bool reach>
  static WC_INLINE void tile(const wc_conv1d_args &g, size_t token, size_t channel) {
    const ptrdiff_t left = static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel);
    const size_t all = taps ? taps : g.width;
    const float *weight = g.weight + channel / panel * all * panel + channel % panel;
    values sum[count];
    const values bias = !g.bias ? L::set(0) : whole ? L::load(g.bias + channel) : load_some<L>(g.bias + channel, left);
#pragma clang loop unroll(full)
    for (int j = 0; j < count; ++j) sum[j] = bias;
    const auto take = [&](size_t i) __attribute__((always_inline)) {
      const values w = L::load(weight + i * panel);
#pragma clang loop unroll(full)
      for (int j = 0; j < count; ++j) {
        const ptrdiff_t t = static_cast<ptrdiff_t>(token + j + i) - static_cast<ptrdiff_t>(all - 1);
        const float *p = reach ? row(g, t, channel) : g.x + static_cast<size_t>(t) * g.ldx + channel;
        // A panel of the state has all its lanes.
        const bool full = whole || (reach && t < 0);
        sum[j] = L::multiply_add(w, full ? L::load(p) : load_some<L>(p, left), sum[j]);
      }
    };
    if constexpr (taps > 0) {
#pragma clang loop unroll(full)
      for (int i = 0; i < taps; ++i) take(static_cast<size_t>(i));
    } else {
      for (size_t i = 0; i < all; ++i) take(i);
    }
    if (g.silu) L::silu_each(sum);
#pragma clang loop unroll(full)
    for (int j = 0; j < count; ++j) {
      float *to = g.y + (token + static_cast<size_t>(j)) * g.ldy + channel;
      if (whole) {
        L::store(to, sum[j]);
      } else {
        store_some<L>(to, sum[j], left);
      }
    }
  }

  template <int count, int taps, bool reach>
  static WC_INLINE void tokens(const wc_conv1d_args &g, size_t token) {
    size_t channel = 0;
    for (; channel + width <= g.channels; channel += width) tile<count, taps, true, reach>(g, token, channel);
    if (channel < g.channels) tile<count, taps, false, reach>(g, token, channel);
  }

  template <int taps>
  static WC_INLINE void all(const wc_conv1d_args &g) {
    size_t t = 0;
    for (; t < g.tokens && t + 1 < g.width; ++t) tokens<1, taps, true>(g, t);
    for (; t + 4 <= g.tokens; t += 4) tokens<4, taps, false>(g, t);
    for (; t < g.tokens; ++t) tokens<1, taps, false>(g, t);
  }

  // The last width − 1 rows: each comes from a later one, so the state may be moved in place.
  static WC_INLINE void keep(const wc_conv1d_args &g) {
    for (size_t channel = 0; channel < g.channels; channel += width) {
      const ptrdiff_t left = static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel);
      for (size_t i = 0; i + 1 < g.width; ++i) {
        const ptrdiff_t t = static_cast<ptrdiff_t>(g.tokens + i) - static_cast<ptrdiff_t>(g.width - 1);
        const float *from = row(g, t, channel);
        float *to = g.state + (channel / panel * (g.width - 1) + i) * panel + channel % panel;
        L::store(to, t < 0 ? L::load(from) : load_some<L>(from, left));
      }
    }
  }

  static WC_INLINE wc_status run(const wc_conv1d_args &g) {
    if (g.width == 0 || (g.width > 1 && !g.state) || !g.weight) return WC_INVALID_ARGUMENT;
    if (g.tokens == 0 || g.channels == 0) return WC_OK;
    switch (g.width) {
      case 2: all<2>(g); break;
      case 3: all<3>(g); break;
      case 4: all<4>(g); break;
      default: all<0>(g); break;
    }
    keep(g);
    return WC_OK;
  }
};

}  // namespace
