// Recurrences in f32, chunk by chunk: a chunk of C tokens reads the state once for what all of them ask of it,
// and once to change it, so that the state moves once in C tokens and each of its elements costs a
// multiply-add for each read and write of a token, and one multiplication in C tokens.
// Include inside a target region, after lanes_*.hpp, denormals.hpp, rules.hpp and prepare.hpp; nothing is
// included here.

namespace {

// The state's rows of some columns, and what else those columns have.
struct panel {
  float *state;
  size_t ld;
  size_t dk;
  const float *v;  // first token
  size_t ldv;
  float *o;
  size_t ldo;
  size_t columns;  // of the last vector those that there are
};

// `registers`: vectors to accumulate in.
template <class L, class R, int C, int N, int registers>
struct step {
  using values = typename L::values;
  using factors = chunk<R, C>;
  static constexpr int lefts = factors::lefts, rights = factors::rights;
  static constexpr size_t width = L::width;
  // Rows that go to sums of their own, where a row has too few chains of additions to fill the pipes. By C
  // alone, so that a column's bits do not depend on its neighbours.
  static constexpr int ways = registers / 4 >= lefts ? registers / 4 / lefts : 1;

  template <int count>
  static WC_INLINE void reduce(const float *left, const panel &p, float *sums) {
    values acc[ways][count][N];
#pragma clang loop unroll(full)
    for (int i = 0; i < ways * count * N; ++i) acc[i / (count * N)][i / N % count][i % N] = L::set(0);
    const float *s = p.state;
    for (size_t row = 0; row < p.dk; row += block_rows, left += factors::block) {
      const size_t rows = p.dk - row < block_rows ? p.dk - row : block_rows;
      size_t i = 0;
      for (; i + ways <= rows; i += ways) {
#pragma clang loop unroll(full)
        for (int way = 0; way < ways; ++way, s += p.ld) reduce_row<count>(left + i + way, s, acc[way]);
      }
      for (; i < rows; ++i, s += p.ld) reduce_row<count>(left + i, s, acc[0]);
    }
#pragma clang loop unroll(full)
    for (int l = 0; l < count; ++l) {
#pragma clang loop unroll(full)
      for (int n = 0; n < N; ++n) {
        values sum = acc[0][l][n];
#pragma clang loop unroll(full)
        for (int way = 1; way < ways; ++way) sum = L::add(sum, acc[way][l][n]);
        L::store(sums + (l * N + n) * static_cast<int>(width), sum);
      }
    }
  }

  template <int count>
  static WC_INLINE void reduce_row(const float *left, const float *state, values (&acc)[count][N]) {
    values s[N];
#pragma clang loop unroll(full)
    for (int n = 0; n < N; ++n) s[n] = L::load(state + n * static_cast<int>(width));
#pragma clang loop unroll(full)
    for (int l = 0; l < count; ++l) {
      const values factor = L::set(left[l * static_cast<int>(block_rows)]);
#pragma clang loop unroll(full)
      for (int n = 0; n < N; ++n) acc[l][n] = L::multiply_add(factor, s[n], acc[l][n]);
    }
  }

  template <int count, bool decays>
  static WC_INLINE void update(const float *right, const float *total, const panel &p, const float *written) {
    values u[count][N];
#pragma clang loop unroll(full)
    for (int i = 0; i < count * N; ++i) u[i / N][i % N] = L::load(written + i * static_cast<int>(width));
    float *s = p.state;
    for (size_t row = 0; row < p.dk; row += block_rows, right += factors::block, total += factors::block) {
      const size_t rows = p.dk - row < block_rows ? p.dk - row : block_rows;
      for (size_t i = 0; i < rows; ++i, s += p.ld) {
        values x[N];
#pragma clang loop unroll(full)
        for (int n = 0; n < N; ++n) x[n] = L::load(s + n * static_cast<int>(width));
        if constexpr (decays) {
          const values d = L::set(total[i]);
#pragma clang loop unroll(full)
          for (int n = 0; n < N; ++n) x[n] = L::mul(d, x[n]);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < count; ++r) {
          const values factor = L::set(right[static_cast<size_t>(r) * block_rows + i]);
#pragma clang loop unroll(full)
          for (int n = 0; n < N; ++n) x[n] = L::multiply_add(factor, u[r][n], x[n]);
        }
#pragma clang loop unroll(full)
        for (int n = 0; n < N; ++n) L::store(s + n * static_cast<int>(width), x[n]);
      }
    }
  }

  // What the tokens of the chunk give one another: from the sums over the state to u and o. One vector of columns.
  static WC_INLINE void exchange(
      const factors &f, const panel &p, size_t column, const float *sums, float *written) {
    const size_t left = p.columns - column;
    values u[C], v[C];
#pragma clang loop unroll(full)
    for (int t = 0; t < C; ++t) {
      const float *from = p.v + static_cast<size_t>(t) * p.ldv + column;
      v[t] = left >= width ? L::load(from) : L::load_first(from, left);
      u[t] = v[t];
      if constexpr (R::predicts) {
        values predicted = L::load(sums + (C + t) * N * static_cast<int>(width));
#pragma clang loop unroll(full)
        for (int s = 0; s < t; ++s) {
          predicted = L::multiply_add(L::set(f.a_by_u(t)[s]), u[s], predicted);
          if constexpr (R::second_rank) predicted = L::multiply_add(L::set(f.a_by_v(t)[s]), v[s], predicted);
        }
        u[t] = R::second_rank ? predicted : L::sub(v[t], predicted);
      }
      L::store(written + t * N * static_cast<int>(width), u[t]);
      if constexpr (R::second_rank) L::store(written + (C + t) * N * static_cast<int>(width), v[t]);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < C; ++t) {
      values o = L::load(sums + t * N * static_cast<int>(width));
#pragma clang loop unroll(full)
      for (int s = 0; s <= t; ++s) {
        o = L::multiply_add(L::set(f.q_by_u(t)[s]), u[s], o);
        if constexpr (R::second_rank) o = L::multiply_add(L::set(f.q_by_v(t)[s]), v[s], o);
      }
      float *to = p.o + static_cast<size_t>(t) * p.ldo + column;
      if (left >= width) {
        L::store(to, o);
      } else {
        L::store_first(to, o, left);
      }
    }
  }

  static void run(const factors &f, const panel &p) {
    alignas(64) float sums[lefts * N * width], written[rights * N * width];
    constexpr int most = registers / N;
    constexpr int group = most < lefts ? most : lefts, written_group = most < rights ? most : rights;
    for (int l = 0; l < lefts; l += group) {
      reduce<group>(f.left(l, 0), p, sums + l * N * static_cast<int>(width));
    }
#pragma clang loop unroll(full)
    for (int n = 0; n < N; ++n) {
      exchange(f, p, static_cast<size_t>(n) * width, sums + n * width, written + n * width);
    }
    update<written_group, factors::has_decay>(f.right(0, 0), f.total(0), p, written);
    for (int r = written_group; r < rights; r += written_group) {
      update<written_group, false>(f.right(r, 0), f.total(0), p, written + r * N * static_cast<int>(width));
    }
  }
};

template <class L, class R, int registers>
struct recurrence {
  using values = typename L::values;
  static constexpr size_t width = L::width;
  // Vectors of columns worked on together.
  template <int C>
  static constexpr int widest = C <= 2 ? 4 : 2;

  template <int C>
  static WC_INLINE void advance(float *record, const panel &p, size_t vectors) {
    const chunk<R, C> factors{record, p.dk};
    if constexpr (widest<C> >= 4) {
      if (vectors == 4) return step<L, R, C, 4, registers>::run(factors, p);
    }
    if (vectors == 2) return step<L, R, C, 2, registers>::run(factors, p);
    step<L, R, C, 1, registers>::run(factors, p);
  }

  template <int C>
  static size_t prepare(const wc_recurrence_args &g, size_t first, float *record, float *stage, float *z) {
    preparation<L, R, C>(g, first, record, stage).run(z);
    return chunk<R, C>::floats(g.dk);
  }

  // The longest chunk that `left` tokens fill.
  static size_t length(const wc_recurrence_args &g, size_t left) {
    size_t c = g.chunk;
    while (c > left) c /= 2;
    return c;
  }

  // All chunks of a block on some columns.
  static void advance_block(
      const wc_recurrence_args &g, size_t first, size_t end, float *records, panel p, size_t column, size_t vectors) {
    for (size_t t = first; t < end;) {
      const size_t c = length(g, end - t);
      p.v = g.v + t * g.ldv + column;
      p.o = g.o + t * g.ldo + column;
      switch (c) {
        case 8: advance<8>(records, p, vectors), records += chunk<R, 8>::floats(g.dk); break;
        case 4: advance<4>(records, p, vectors), records += chunk<R, 4>::floats(g.dk); break;
        case 2: advance<2>(records, p, vectors), records += chunk<R, 2>::floats(g.dk); break;
        default: advance<1>(records, p, vectors), records += chunk<R, 1>::floats(g.dk); break;
      }
      t += c;
    }
  }

  static WC_INLINE void copy_rows(
      const float *from, size_t ld_from, float *to, size_t ld_to, size_t rows, size_t columns, bool fill) {
    for (size_t i = 0; i < rows; ++i, from += ld_from, to += ld_to) {
      size_t c = 0;
      for (; c + width <= columns; c += width) L::store(to + c, L::load(from + c));
      if (c == columns) continue;
      const values rest = L::load_first(from + c, columns - c);
      if (fill) {
        L::store(to + c, rest);
      } else {
        L::store_first(to + c, rest, columns - c);
      }
    }
  }

  // Calls work(state, ld, column, columns, vectors) for groups of columns from left to right.
  template <class Work>
  static WC_INLINE void each_group(const wc_recurrence_args &g, float *packed, const Work &work) {
    const size_t most = g.chunk <= 2 ? 4 : 2;
    const bool is_packed = g.tokens >= scratch_plan::packed_from;
    size_t column = 0;
    while (column < g.dv) {
      const size_t left = g.dv - column;
      // A vector that the columns do not fill is always packed.
      const size_t whole = is_packed ? (left + width - 1) / width : left / width;
      size_t vectors = most;
      while (vectors > 1 && vectors > whole) vectors /= 2;
      const size_t columns = left < vectors * width ? left : vectors * width;
      const bool in_place = !is_packed && columns == vectors * width;
      work(in_place ? g.state + column : packed + (is_packed ? g.dk * column : 0),
           in_place ? g.ld_state : vectors * width, column, columns, vectors, !in_place);
      column += columns;
    }
  }

  struct loading {
    const wc_recurrence_args &g;
    bool back;
    WC_INLINE void operator()(float *state, size_t ld, size_t column, size_t columns, size_t, bool packed) const {
      if (!packed) return;
      float *from = g.state + column;
      if (back) {
        copy_rows(state, ld, from, g.ld_state, g.dk, columns, false);
      } else {
        copy_rows(from, g.ld_state, state, ld, g.dk, columns, true);
      }
    }
  };
  struct advancing {
    const wc_recurrence_args &g;
    size_t first, end;
    float *records;
    WC_INLINE void operator()(float *state, size_t ld, size_t column, size_t columns, size_t vectors, bool) const {
      advance_block(g, first, end, records, panel{state, ld, g.dk, nullptr, g.ldv, nullptr, g.ldo, columns}, column, vectors);
    }
  };

  static WC_INLINE bool is_valid(const wc_recurrence_args &g) {
    if (g.chunk != 1 && g.chunk != 2 && g.chunk != 4 && g.chunk != 8) return false;
    if (!g.scratch || !g.state || (R::features && !g.z)) return false;
    if (g.tokens == 0) return true;
    if (!g.q || !g.k || !g.v || !g.o) return false;
    if (R::second_rank && (!g.a || !g.b)) return false;
    if (R::rates && !g.rate) return false;
    if (R::reads_before && !g.bonus) return false;
    const bool given = R::decays == decay::per_channel || (R::decays == decay::per_token && R::predicts);
    return !given || g.decay;
  }

  static wc_status run(const wc_recurrence_args &g) {
    if (!is_valid(g)) return WC_INVALID_ARGUMENT;
    const wc::denormals_as_zero flushing;
    const scratch_plan plan(g.tokens, g.dk, g.dv, width);
    float *scratch = static_cast<float *>(g.scratch);
    float *z = scratch + plan.z, *records = scratch + plan.records, *packed = scratch + plan.state;
    if constexpr (R::features) copy_rows(g.z, 0, z, 0, 1, g.dk, true);
    if (g.tokens > 0) each_group(g, packed, loading{g, false});
    for (size_t first = 0; first < g.tokens; first += block_tokens) {
      const size_t end = g.tokens - first < block_tokens ? g.tokens : first + block_tokens;
      float *record = records;
      for (size_t t = first; t < end;) {
        const size_t c = length(g, end - t);
        switch (c) {
          case 8: record += prepare<8>(g, t, record, scratch, z); break;
          case 4: record += prepare<4>(g, t, record, scratch, z); break;
          case 2: record += prepare<2>(g, t, record, scratch, z); break;
          default: record += prepare<1>(g, t, record, scratch, z); break;
        }
        t += c;
      }
      each_group(g, packed, advancing{g, first, end, records});
    }
    if (g.tokens > 0) each_group(g, packed, loading{g, true});
    if constexpr (R::features) {
      if (g.z_after) copy_rows(z, 0, g.z_after, 0, 1, g.dk, false);
    }
    return WC_OK;
  }
};

}  // namespace

// One kernel for each rule, and the size of their scratch.
#define WC_RECURRENCES(isa, lanes, count, registers) \
  namespace wc { \
  size_t recurrence_scratch_lanes##count(size_t tokens, size_t dk, size_t dv); \
  size_t recurrence_scratch_lanes##count(size_t tokens, size_t dk, size_t dv) { \
    return scratch_plan(tokens, dk, dv, count).end * sizeof(float); \
  } \
  } \
  WC_RECURRENCE_OF(isa, lanes, registers, linear_attention) \
  WC_RECURRENCE_OF(isa, lanes, registers, retention) \
  WC_RECURRENCE_OF(isa, lanes, registers, gla) \
  WC_RECURRENCE_OF(isa, lanes, registers, rwkv6) \
  WC_RECURRENCE_OF(isa, lanes, registers, rwkv7) \
  WC_RECURRENCE_OF(isa, lanes, registers, delta_net) \
  WC_RECURRENCE_OF(isa, lanes, registers, gated_delta_net) \
  WC_RECURRENCE_OF(isa, lanes, registers, mamba2)
#define WC_RECURRENCE_OF(isa, lanes, registers, rule) \
  extern "C" wc_status rule##_f32_##isa(const wc_recurrence_args *g) { \
    return recurrence<lanes, rule, registers>::run(*g); \
  }
