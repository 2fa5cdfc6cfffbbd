// The recurrent form of a diagonal state space in f32, written once over the lanes of an ISA (common/lanes_*.hpp).
//
// Channels are lanes, so no sum crosses them. Four conjugate pairs of a panel, with their λ and C where there are
// registers, stay while a block of bt tokens passes; the outputs gather in an array of the block. Panel after panel
// takes the same block, and the lines of the next one are asked for while one computes.
//
// Include inside the target region of the ISA, after panels.hpp; nothing is included here.

namespace {

template <class L>
struct s4d_scan {
  using values = typename L::values;
  static constexpr size_t width = L::width;
  static constexpr size_t together = 4;

  // What a panel reads next, at one token: a line of each sequence.
  struct ahead {
    const float *u, *y;
    WC_INLINE void fetch(const wc_s4d_args &g, size_t token) const {
      if (!u) return;
      __builtin_prefetch(u + token * g.ldu);
      __builtin_prefetch(y + token * g.ldy, 1);
    }
  };

  // `pairs` pairs of one vector of channels over `tokens` tokens; input and sum are [tokens][16].
  template <int pairs>
  static WC_INLINE void scan(
      size_t tokens, const float *input, float *sum, const float *lambda, const float *c, float *state) {
    values r[pairs], i[pairs], real[pairs], imaginary[pairs], cr[pairs], ci[pairs];
#pragma clang loop unroll(full)
    for (int n = 0; n < pairs; ++n) {
      const size_t at = static_cast<size_t>(2 * n) * panel;
      r[n] = L::load(state + at), i[n] = L::load(state + at + panel);
      real[n] = L::load(lambda + at), imaginary[n] = L::load(lambda + at + panel);
      cr[n] = L::load(c + at), ci[n] = L::load(c + at + panel);
    }
    for (size_t t = 0; t < tokens; ++t) {
      const values u = L::load(input + t * panel);
      values even = L::load(sum + t * panel), odd = L::set(0);
#pragma clang loop unroll(full)
      for (int n = 0; n < pairs; ++n) {
        const values turned = L::multiply_add(real[n], r[n], L::subtract_product(imaginary[n], i[n], u));
        i[n] = L::multiply_add(real[n], i[n], L::mul(imaginary[n], r[n]));
        r[n] = turned;
        even = L::multiply_add(cr[n], r[n], even);
        odd = L::multiply_add(ci[n], i[n], odd);
      }
      L::store(sum + t * panel, L::add(even, odd));
    }
#pragma clang loop unroll(full)
    for (int n = 0; n < pairs; ++n) {
      const size_t at = static_cast<size_t>(2 * n) * panel;
      L::store(state + at, r[n]), L::store(state + at + panel, i[n]);
    }
  }

  static WC_INLINE void scan_panel(
      const wc_s4d_args &g, size_t first, size_t tokens, size_t channel, float *input, float *sum, const ahead &next) {
    const size_t place = channel / panel * 2 * g.pairs * panel;
    for (size_t v = 0; v < panel && channel + v < g.channels; v += width) {
      const ptrdiff_t left = static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel + v);
      const values skip = g.skip ? load_some<L>(g.skip + channel + v, left) : L::set(0);
      for (size_t t = 0; t < tokens; ++t) {
        if (v == 0) next.fetch(g, first + t);
        const values u = load_some<L>(g.u + (first + t) * g.ldu + channel + v, left);
        L::store(input + t * panel, u);
        L::store(sum + t * panel, L::mul(skip, u));
      }
      for (size_t n = 0; n < g.pairs;) {
        const size_t at = place + 2 * n * panel + v;
        if (n + together <= g.pairs) {
          scan<together>(tokens, input, sum, g.lambda + at, g.c + at, g.state + at);
          n += together;
        } else {
          scan<1>(tokens, input, sum, g.lambda + at, g.c + at, g.state + at);
          n += 1;
        }
      }
      for (size_t t = 0; t < tokens; ++t) {
        store_some<L>(g.y + (first + t) * g.ldy + channel + v, L::load(sum + t * panel), left);
      }
    }
  }

  static WC_INLINE wc_status run(const wc_s4d_args &g) {
    if (g.bt == 0 || g.bt > WC_LARGEST_BT) return WC_INVALID_ARGUMENT;
    if (g.channels == 0) return WC_OK;
    if (g.pairs > 0 && (!g.lambda || !g.c || !g.state)) return WC_INVALID_ARGUMENT;
    if (g.begins) {
      const size_t count = (g.channels + panel - 1) / panel * 2 * g.pairs * panel;
      for (size_t i = 0; i < count; i += width) L::store(g.state + i, L::set(0));
    }
    const wc::denormals_as_zero off;
    alignas(64) float input[WC_LARGEST_BT * panel], sum[WC_LARGEST_BT * panel];
    for (size_t first = 0; first < g.tokens; first += g.bt) {
      const size_t tokens = g.tokens - first < g.bt ? g.tokens - first : g.bt;
      for (size_t channel = 0; channel < g.channels; channel += panel) {
        // The panel beside, a block of tokens ahead at the end of the row.
        ahead next = {};
        const bool beside = channel + panel < g.channels;
        const size_t row = beside ? 0 : tokens, column = beside ? channel + panel : 0;
        if (tokens > 1 && (beside || first + 2 * tokens <= g.tokens)) {
          next = {g.u + row * g.ldu + column, g.y + row * g.ldy + column};
        }
        scan_panel(g, first, tokens, channel, input, sum, next);
      }
    }
    return WC_OK;
  }
};

}  // namespace
