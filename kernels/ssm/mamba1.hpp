// The selective scan in f32, written once over the lanes of an ISA (common/lanes_*.hpp).
//
// Channels are lanes, so no sum crosses them. A panel's states stay in registers, eight at a time, while a block
// of bt tokens passes; what the block needs of each token and channel, Δ and Δ·u, is made ahead of that for all of it,
// several vectors side by side, and y is gated behind it. Panel after panel takes the same block of tokens: rows are
// then read a whole line after the other, and the lines of the next panel are asked for while one computes. With
// few tokens several panels go through a step together.
//
// Include inside the target region of the ISA; nothing is included here.

namespace {

constexpr size_t step_vectors = 64;  // tokens × panels of a step
constexpr size_t step_floats = step_vectors * panel;

template <class L>
struct mamba1 {
  using values = typename L::values;
  static constexpr size_t width = L::width;

  // `panels` panels from channel `channel` on, tokens first ..< first + tokens.
  struct step {
    size_t first, tokens, channel, panels;
    // [panels][tokens][16]: Δ, Δ·u, y before the gate.
    float *delta, *input, *sum;
  };

  // Vectors of a step side by side: the first one's token and channel and where it lies in the step's arrays, and
  // how far it is to the next one.
  struct row {
    size_t token, channel, at, tokens_on, channels_on, floats_on;
  };

  // What a vector of `tokens` needs before the scan, of as many vectors as stand side by side.
  struct prepare {
    template <int count, bool whole>
    static WC_INLINE void make(const wc_mamba1_args &g, const step &s, const row &r) {
      values delta[count], u[count];
#pragma clang loop unroll(full)
      for (int i = 0; i < count; ++i) {
        const size_t channel = r.channel + i * r.channels_on, token = r.token + i * r.tokens_on;
        u[i] = load<whole>(g, g.u + token * g.ldu, channel);
        delta[i] = load<whole>(g, g.delta + token * g.ld_delta, channel);
        if (g.delta_bias) delta[i] = L::add(delta[i], load<whole>(g, g.delta_bias, channel));
        const values own = g.skip ? L::mul(load<whole>(g, g.skip, channel), u[i]) : L::set(0);
        L::store(s.sum + r.at + i * r.floats_on, own);
      }
      L::softplus_each(delta);
#pragma clang loop unroll(full)
      for (int i = 0; i < count; ++i) {
        L::store(s.delta + r.at + i * r.floats_on, delta[i]);
        L::store(s.input + r.at + i * r.floats_on, L::mul(delta[i], u[i]));
      }
    }
  };

  // And what is left to do behind it.
  struct finish {
    template <int count, bool whole>
    static WC_INLINE void make(const wc_mamba1_args &g, const step &s, const row &r) {
      values gate[count];
      if (g.z) {
#pragma clang loop unroll(full)
        for (int i = 0; i < count; ++i) {
          gate[i] = load<whole>(g, g.z + (r.token + i * r.tokens_on) * g.ldz, r.channel + i * r.channels_on);
        }
        L::silu_each(gate);
      }
#pragma clang loop unroll(full)
      for (int i = 0; i < count; ++i) {
        const size_t channel = r.channel + i * r.channels_on;
        values y = L::load(s.sum + r.at + i * r.floats_on);
        if (g.z) y = L::mul(y, gate[i]);
        float *to = g.y + (r.token + i * r.tokens_on) * g.ldy + channel;
        if (whole) {
          L::store(to, y);
        } else {
          store_some<L>(to, y, static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel));
        }
      }
    }
  };

  template <bool whole>
  static WC_INLINE values load(const wc_mamba1_args &g, const float *row, size_t channel) {
    if (whole) return L::load(row + channel);
    return load_some<L>(row + channel, static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(channel));
  }

  // All vectors of a step, four at a time: along its tokens, or across its panels where tokens are few.
  template <class Phase>
  static WC_INLINE void all(const wc_mamba1_args &g, const step &s) {
    const bool along = s.panels == 1;
    const size_t count = along ? s.tokens : s.panels, lines = along ? s.panels : s.tokens;
    const size_t floats_on = along ? panel : s.tokens * panel;
    for (size_t v = 0; v < panel; v += width) {
      for (size_t line = 0; line < lines; ++line) {
        for (size_t i = 0; i < count;) {
          const row r = {s.first + (along ? i : line), s.channel + v + (along ? 0 : i * panel),
                         (along ? i : i * s.tokens + line) * panel + v, along, along ? 0 : panel, floats_on};
          const size_t last = r.channel + 3 * r.channels_on + width;
          if (i + 4 <= count && last <= g.channels) {
            Phase::template make<4, true>(g, s, r);
            i += 4;
          } else {
            Phase::template make<1, false>(g, s, r);
            i += 1;
          }
        }
      }
    }
  }

  // What a panel reads next, at one token: a line of each sequence.
  struct ahead {
    const float *u, *delta, *z, *y;
    WC_INLINE void fetch(const wc_mamba1_args &g, size_t token) const {
      if (!u) return;
      __builtin_prefetch(u + token * g.ldu);
      __builtin_prefetch(delta + token * g.ld_delta);
      if (z) __builtin_prefetch(z + token * g.ldz);
      __builtin_prefetch(y + token * g.ldy, 1);
    }
  };

  // States `n` ..< n + states of one vector of channels over the tokens of a step.
  template <int states>
  static WC_INLINE void scan(
      const wc_mamba1_args &g, const step &s, size_t n, const float *delta, const float *input, float *sum,
      const float *a, float *state, const ahead &next) {
    const typename L::decay decay;
    values h[states];
#pragma clang loop unroll(full)
    for (int i = 0; i < states; ++i) h[i] = L::load(state + i * panel);
    const float *b = g.b + s.first * g.ldb + n, *c = g.c + s.first * g.ldc + n;
    for (size_t t = 0; t < s.tokens; ++t, b += g.ldb, c += g.ldc) {
      next.fetch(g, s.first + t);
      const values d = L::load(delta + t * panel), x = L::load(input + t * panel);
      values even = L::load(sum + t * panel), odd = L::set(0), e[states];
#pragma clang loop unroll(full)
      for (int i = 0; i < states; ++i) e[i] = L::mul(d, L::load(a + i * panel));
      decay.each(e);
#pragma clang loop unroll(full)
      for (int i = 0; i < states; ++i) {
        h[i] = L::multiply_add(e[i], h[i], L::mul(x, L::set(b[i])));
        values &y = i % 2 == 0 ? even : odd;
        y = L::multiply_add(h[i], L::set(c[i]), y);
      }
      L::store(sum + t * panel, L::add(even, odd));
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < states; ++i) L::store(state + i * panel, h[i]);
  }

  // As many states in registers as leave room for the rest.
  static constexpr int most_states = 8;

  static WC_INLINE void scan_panel(const wc_mamba1_args &g, const step &s, size_t p, const ahead &next) {
    const size_t from = p * s.tokens * panel, first = (s.channel / panel + p) * g.states * panel;
    for (size_t v = 0; v < panel; v += width) {
      const float *delta = s.delta + from + v, *input = s.input + from + v;
      float *sum = s.sum + from + v;
      for (size_t n = 0; n < g.states;) {
        const size_t more = g.states - n;
        const float *a = g.a + first + n * panel + v;
        float *state = g.state + first + n * panel + v;
        const ahead now = v == 0 && n == 0 ? next : ahead{};
        if (more >= most_states) {
          scan<most_states>(g, s, n, delta, input, sum, a, state, now);
          n += most_states;
        } else if (more >= 4) {
          scan<4>(g, s, n, delta, input, sum, a, state, now);
          n += 4;
        } else {
          scan<1>(g, s, n, delta, input, sum, a, state, now);
          n += 1;
        }
      }
    }
  }

  static WC_INLINE void run_step(const wc_mamba1_args &g, const step &s, const ahead &next) {
    all<prepare>(g, s);
    for (size_t i = 0; i < s.panels; ++i) scan_panel(g, s, i, next);
    all<finish>(g, s);
  }

  static WC_INLINE wc_status run(const wc_mamba1_args &g) {
    if (g.bt == 0 || g.bt > WC_LARGEST_BT) return WC_INVALID_ARGUMENT;
    if (g.tokens == 0 || g.channels == 0) return WC_OK;
    if (g.states > 0 && (!g.a || !g.state || !g.b || !g.c)) return WC_INVALID_ARGUMENT;
    const wc::denormals_as_zero off;
    alignas(64) float delta[step_floats], input[step_floats], sum[step_floats];
    const size_t panels = (g.channels + panel - 1) / panel;
    for (size_t first = 0; first < g.tokens; first += g.bt) {
      const size_t tokens = g.tokens - first < g.bt ? g.tokens - first : g.bt;
      const size_t together = step_vectors / tokens < 8 ? step_vectors / tokens : 8;
      const size_t at_once = tokens >= 16 ? 1 : together;
      for (size_t p = 0; p < panels; p += at_once) {
        const size_t count = panels - p < at_once ? panels - p : at_once;
        const step s = {first, tokens, p * panel, count, delta, input, sum};
        // The panel beside, a block of tokens ahead at the end of the row.
        ahead next = {};
        if (at_once == 1) {
          const bool beside = p + 1 < panels;
          const size_t row = beside ? 0 : tokens, column = beside ? (p + 1) * panel : 0;
          if (beside || first + 2 * tokens <= g.tokens) {
            next = {g.u + row * g.ldu + column, g.delta + row * g.ld_delta + column,
                    g.z ? g.z + row * g.ldz + column : nullptr, g.y + row * g.ldy + column};
          }
        }
        run_step(g, s, next);
      }
    }
    return WC_OK;
  }
};

}  // namespace
