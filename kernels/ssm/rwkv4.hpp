// The WKV operator of RWKV-4 in f32, written once over the lanes of an ISA (common/lanes_*.hpp).
//
// Channels are lanes. Numerator and denominator are kept in units of a power of two, whose exponent is the whole number
// nearest to the greatest exponent that is in the sums: passing from one unit to the next is exact, weights are
// multiplied by e^(−w) itself, and a token takes one exponential, which is at most √2. The greatest exponent
// decays by w a token; it chooses the unit and no more, so its roundings do not reach the sums.
//
// What decides about a channel's tokens is the state alone: a sequence may be cut anywhere without changing a bit.
//
// Include inside the target region of the ISA, after panels.hpp; nothing is included here.

namespace {

template <class L>
struct rwkv4 {
  using values = typename L::values;
  static constexpr size_t width = L::width;

  // Above this many halvings a token the unit falls by them, and sums are multiplied by what is left of the decay.
  static constexpr float most_halvings = 60;
  // Where units of such channels end, so that they and their differences are exact.
  static constexpr float lowest = 8388608;

  // What is fixed about a vector of channels, and its state. `top` and `unit` are negative: −P and the nearest to it.
  struct column {
    values decay, halvings, bonus, numerator, denominator, top, unit;
    values whole;  // wide: the halvings that are no part of `decay`
  };

  template <bool whole>
  static WC_INLINE values load(const wc_rwkv4_args &g, const float *row, size_t channel) {
    if (whole) return L::load(row + channel);
    return load_some<L>(row + channel, static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel));
  }

  template <bool whole>
  static WC_INLINE void store(const wc_rwkv4_args &g, float *row, size_t channel, values y) {
    if (whole) return L::store(row + channel, y);
    store_some<L>(row + channel, y, static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel));
  }

  // `count` tokens from `token` on of the vector at `channel`; what does not depend on the sums side by side. wide: an
  // output has a unit of its own, since the sums and its own weight may be further apart than one holds.
  template <int count, bool wide, bool whole>
  static WC_INLINE void tokens(
      const wc_rwkv4_args &g, const typename L::decay &exp2, size_t token, size_t channel, column &c) {
    const values log2e = L::set(wc::log2_e), minus_log2e = L::set(-wc::log2_e);
    values v[count], weight[count], scale[count], output[count], own[count];
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) {
      const values k = load<whole>(g, g.k + (token + static_cast<size_t>(i)) * g.ldk, channel);
      v[i] = load<whole>(g, g.v + (token + static_cast<size_t>(i)) * g.ldv, channel);
      if (wide) {
        // The output's own unit.
        const values exponent = L::multiply_add(k, log2e, c.bonus);
        const values unit = L::min(c.unit, L::nearest(L::sub(L::set(0), exponent)));
        output[i] = L::power_of_two(L::sub(unit, c.unit));
        own[i] = L::add(exponent, unit);
      }
      c.top = L::min(L::add(c.top, c.halvings), L::mul(k, minus_log2e));
      if (wide) c.top = L::min(L::set(lowest), c.top);
      const values unit = L::nearest(c.top);
      weight[i] = L::multiply_add(k, log2e, unit);
      const values fallen = wide ? L::min(L::set(lowest), L::add(c.unit, c.whole)) : c.unit;
      scale[i] = L::power_of_two(L::sub(unit, fallen));
      c.unit = unit;
    }
    exp2.each(weight);
    if (wide) exp2.each(own);
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) {
      if (!wide) {
        output[i] = scale[i];
        own[i] = L::mul(c.bonus, weight[i]);
      }
      const values kept = L::mul(scale[i], c.decay);
      const values above = L::multiply_add(c.numerator, output[i], L::mul(own[i], v[i]));
      const values below = L::multiply_add(c.denominator, output[i], own[i]);
      c.numerator = L::multiply_add(c.numerator, kept, L::mul(weight[i], v[i]));
      c.denominator = L::multiply_add(c.denominator, kept, weight[i]);
      store<whole>(g, g.y + (token + static_cast<size_t>(i)) * g.ldy, channel, L::div(above, below));
    }
  }

  // What a panel reads next, at one token: a line of each sequence.
  struct ahead {
    const float *k, *v, *y;
    WC_INLINE void fetch(const wc_rwkv4_args &g, size_t token) const {
      if (!k) return;
      __builtin_prefetch(k + token * g.ldk);
      __builtin_prefetch(v + token * g.ldv);
      __builtin_prefetch(y + token * g.ldy, 1);
    }
  };

  template <bool wide, bool whole>
  static WC_INLINE void block(
      const wc_rwkv4_args &g, const typename L::decay &exp2, size_t first, size_t count, size_t channel, column &c,
      const ahead &next) {
    size_t t = 0;
    for (; t + 4 <= count; t += 4) {
#pragma clang loop unroll(full)
      for (size_t i = 0; i < 4; ++i) next.fetch(g, first + t + i);
      tokens<4, wide, whole>(g, exp2, first + t, channel, c);
    }
    for (; t < count; ++t) {
      next.fetch(g, first + t);
      tokens<1, wide, whole>(g, exp2, first + t, channel, c);
    }
  }

  static WC_INLINE void vector(
      const wc_rwkv4_args &g, const typename L::decay &exp2, size_t first, size_t count, size_t channel,
      const ahead &next) {
    const float *fixed = g.parameters + channel / panel * 4 * panel + channel % panel;
    float *state = g.state + channel / panel * 3 * panel + channel % panel;
    const values zero = L::set(0);
    column c = {L::load(fixed), L::load(fixed + panel), L::load(fixed + 2 * panel), L::load(state),
                L::load(state + panel), L::sub(zero, L::load(state + 2 * panel)), zero, zero};
    c.unit = L::nearest(c.top);
    if (fixed[2 * panel] == 0) {
      c.bonus = L::load(fixed + 3 * panel);
      c.whole = L::where_less(L::set(most_halvings), c.halvings, L::nearest(c.halvings), zero);
      if (channel + width <= g.channels) {
        block<true, true>(g, exp2, first, count, channel, c, next);
      } else {
        block<true, false>(g, exp2, first, count, channel, c, next);
      }
    } else {
      if (channel + width <= g.channels) {
        block<false, true>(g, exp2, first, count, channel, c, next);
      } else {
        block<false, false>(g, exp2, first, count, channel, c, next);
      }
    }
    L::store(state, c.numerator);
    L::store(state + panel, c.denominator);
    L::store(state + 2 * panel, L::sub(zero, c.top));
  }

  static WC_INLINE wc_status run(const wc_rwkv4_args &g) {
    if (g.bt == 0 || g.bt > WC_LARGEST_BT) return WC_INVALID_ARGUMENT;
    if (g.tokens == 0 || g.channels == 0) return WC_OK;
    if (!g.parameters || !g.state) return WC_INVALID_ARGUMENT;
    const wc::denormals_as_zero off;
    const typename L::decay exp2;
    for (size_t first = 0; first < g.tokens; first += g.bt) {
      const size_t count = g.tokens - first < g.bt ? g.tokens - first : g.bt;
      for (size_t channel = 0; channel < g.channels; channel += width) {
        // The panel beside, a block of tokens ahead at the end of the row.
        ahead next = {};
        if (channel % panel == 0 && count > 1) {
          const bool beside = channel + panel < g.channels;
          const size_t row = beside ? 0 : count, column = beside ? channel + panel : 0;
          if (beside || first + 2 * count <= g.tokens) {
            next = {g.k + row * g.ldk + column, g.v + row * g.ldv + column, g.y + row * g.ldy + column};
          }
        }
        vector(g, exp2, first, count, channel, next);
      }
    }
    return WC_OK;
  }
};

}  // namespace
