// The factors of a chunk of tokens, see rules.hpp. Include inside a target region, after lanes_*.hpp and
// rules.hpp; nothing is included here.

namespace {

constexpr float log2e = 1.44269504088896340736f;

template <class L>
WC_INLINE typename L::values load_part(const float *from, size_t left) {
  return left >= L::width ? L::load(from) : L::load_first(from, left);
}

// φ(x) = elu(x) + 1 of the first `left`, zeros in the rest.
template <class L, int count>
WC_INLINE void features(typename L::values (&x)[count], size_t left) {
  typename L::values e[count];
  for (int i = 0; i < count; ++i) {
    const typename L::values positive = L::max(L::set(0), x[i]);
    e[i] = L::mul(L::sub(x[i], positive), L::set(log2e));
    x[i] = positive;
  }
  L::exp2_nonpositive_each(e);
  for (int i = 0; i < count; ++i) {
    x[i] = L::add(x[i], e[i]);
    if (left < L::width) x[i] = L::keep_first(x[i], left, 0);
  }
}

template <class L, class R, int C>
struct preparation {
  using values = typename L::values;

  const wc_recurrence_args &g;
  size_t first;  // token
  chunk<R, C> to;
  size_t padded;
  float *q, *k, *a, *b, *w;  // C rows each
  float rates[C], token_decays[C];

  WC_INLINE preparation(const wc_recurrence_args &args, size_t first, float *record, float *stage)
      : g(args), first(first), to{record, args.dk}, padded(rounded_up(args.dk, L::width)) {
    q = stage;
    k = q + C * padded;
    w = k + C * padded;
    b = w + C * padded;
    a = R::second_rank ? b + C * padded : k;  // delta rules predict by k
  }

  // Rows of C tokens from `from`, times `factor`, with zeros behind dk.
  WC_INLINE void stage(float *rows, const float *from, size_t ld, float factor) const {
    for (int t = 0; t < C; ++t) {
      const float *row = from + (first + static_cast<size_t>(t)) * ld;
      for (size_t c = 0; c < padded; c += L::width) {
        L::store(rows + static_cast<size_t>(t) * padded + c, L::mul(load_part<L>(row + c, g.dk - c), L::set(factor)));
      }
    }
  }

  template <bool are_features>
  WC_INLINE void stage_by_exp(float *rows, const float *from, size_t ld) const {
    for (size_t c = 0; c < padded; c += L::width) {
      values x[C];
      for (int t = 0; t < C; ++t) x[t] = load_part<L>(from + (first + static_cast<size_t>(t)) * ld + c, g.dk - c);
      if constexpr (are_features) {
        features<L, C>(x, g.dk - c);
      } else {
        for (int t = 0; t < C; ++t) x[t] = L::mul(x[t], L::set(log2e));
        L::exp2_nonpositive_each(x);
      }
      for (int t = 0; t < C; ++t) L::store(rows + static_cast<size_t>(t) * padded + c, x[t]);
    }
  }

  // Brings what the tokens a block from here read and write nearer: in rows of many heads a head's parts lie too far
  // apart for the processor to foresee.
  WC_INLINE void prefetch() const {
    for (size_t t = first + block_tokens; t < first + block_tokens + C && t < g.tokens; ++t) {
      prefetch_row(g.q + t * g.ldq, g.dk);
      prefetch_row(g.k + t * g.ldk, g.dk);
      prefetch_row(g.v + t * g.ldv, g.dv);
      if constexpr (R::second_rank) {
        prefetch_row(g.a + t * g.lda, g.dk);
        prefetch_row(g.b + t * g.ldb, g.dk);
      }
      if constexpr (R::decays == decay::per_channel) prefetch_row(g.decay + t * g.ld_decay, g.dk);
      for (size_t c = 0; c < g.dv; c += 16) __builtin_prefetch(g.o + t * g.ldo + c, 1, 2);
    }
  }
  static WC_INLINE void prefetch_row(const float *row, size_t count) {
    for (size_t c = 0; c < count; c += 16) __builtin_prefetch(row + c, 0, 2);
  }

  WC_INLINE void stage_all() {
    if constexpr (R::features) {
      stage_by_exp<true>(q, g.q, g.ldq);
      stage_by_exp<true>(k, g.k, g.ldk);
    } else {
      stage(q, g.q, g.ldq, g.scale);
      stage(k, g.k, g.ldk, 1);
    }
    if constexpr (R::second_rank) {
      stage(a, g.a, g.lda, 1);
      stage(b, g.b, g.ldb, 1);
    }
    if constexpr (R::decays == decay::per_channel) stage_by_exp<false>(w, g.decay, g.ld_decay);
    for (int t = 0; t < C; ++t) {
      const size_t token = first + static_cast<size_t>(t);
      rates[t] = R::rates ? g.rate[token * g.ld_rate] : 1.0f;
      if constexpr (R::decays == decay::per_token) {
        const float log = R::predicts ? g.decay[token * g.ld_decay] : g.log_decay * (R::rates ? rates[t] : 1.0f);
        token_decays[t] = wc::exp2_nonpositive_scalar(log * log2e);
      }
    }
  }

  WC_INLINE values row(const float *rows, int t, size_t c) const {
    return L::load(rows + static_cast<size_t>(t) * padded + c);
  }
  // x after the decay of token t.
  WC_INLINE values decayed(values x, int t, size_t c) const {
    if constexpr (R::decays == decay::none) return x;
    if constexpr (R::decays == decay::per_token) return L::mul(x, L::set(token_decays[t]));
    return L::mul(x, row(w, t, c));
  }
  static constexpr bool a_before = R::second_rank;

  WC_INLINE void make_lefts() const {
    for (size_t c = 0; c < padded; c += L::width) {
      values total = L::set(1);
#pragma clang loop unroll(full)
      for (int t = 0; t < C; ++t) {
        if constexpr (R::predicts && a_before) L::store(to.left_of_a(t, c), L::mul(row(a, t, c), total));
        if constexpr (R::reads_before) L::store(to.left(t, c), L::mul(row(q, t, c), total));
        total = decayed(total, t, c);
        if constexpr (R::predicts && !a_before) L::store(to.left_of_a(t, c), L::mul(row(a, t, c), total));
        if constexpr (!R::reads_before) L::store(to.left(t, c), L::mul(row(q, t, c), total));
      }
      if constexpr (chunk<R, C>::has_decay) L::store(to.total(c), total);
    }
  }

  // How what token s writes along `rows` is read by it and the tokens behind it, and what is left of it at
  // the chunk's end.
  template <int s>
  WC_INLINE void pair_up(const float *rows, bool of_v, float *(chunk<R, C>::*by_q)(int) const,
                         float *(chunk<R, C>::*by_a)(int) const) const {
    values of_q[C], of_a[C];
#pragma clang loop unroll(full)
    for (int t = s; t < C; ++t) of_q[t] = of_a[t] = L::set(0);
    for (size_t c = 0; c < padded; c += L::width) {
      values y = row(rows, s, c);
      if constexpr (R::rates) y = L::mul(y, L::set(rates[s]));
      values now = y;
      if constexpr (R::reads_before) now = L::mul(y, load_part<L>(g.bonus + c, g.dk - c));
      of_q[s] = L::multiply_add(row(q, s, c), now, of_q[s]);
#pragma clang loop unroll(full)
      for (int t = s + 1; t < C; ++t) {
        if constexpr (R::predicts && a_before) of_a[t] = L::multiply_add(row(a, t, c), y, of_a[t]);
        if constexpr (R::reads_before) of_q[t] = L::multiply_add(row(q, t, c), y, of_q[t]);
        y = decayed(y, t, c);
        if constexpr (R::predicts && !a_before) of_a[t] = L::multiply_add(row(a, t, c), y, of_a[t]);
        if constexpr (!R::reads_before) of_q[t] = L::multiply_add(row(q, t, c), y, of_q[t]);
      }
      L::store(of_v ? to.right_of_v(s, c) : to.right(s, c), y);
    }
#pragma clang loop unroll(full)
    for (int t = s; t < C; ++t) {
      (to.*by_q)(t)[s] = L::sum(of_q[t]);
      if constexpr (R::predicts) {
        if (t > s) (to.*by_a)(t)[s] = L::sum(of_a[t]);
      }
    }
    if (!of_v && R::rates && !R::predicts) to.q_by_u(s)[s] += g.skip;
    if constexpr (s + 1 < C) pair_up<s + 1>(rows, of_v, by_q, by_a);
  }

  WC_INLINE void normalise(float *z) const {
    for (int t = 0; t < C; ++t) {
      values dot = L::set(0);
      for (size_t c = 0; c < padded; c += L::width) dot = L::multiply_add(row(q, t, c), L::load(z + c), dot);
      float sum = L::sum(dot);
      for (int s = 0; s <= t; ++s) sum += to.q_by_u(t)[s];
      const float share = 1.0f / (sum + g.epsilon);
      for (int s = 0; s <= t; ++s) to.q_by_u(t)[s] *= share;
      for (size_t c = 0; c < padded; c += L::width) {
        L::store(to.left(t, c), L::mul(L::load(to.left(t, c)), L::set(share)));
      }
    }
    for (size_t c = 0; c < padded; c += L::width) {
      values sum = L::load(z + c);
      for (int t = 0; t < C; ++t) sum = L::add(sum, row(k, t, c));
      L::store(z + c, sum);
    }
  }

  WC_INLINE void run(float *z) {
    using made = chunk<R, C>;
    prefetch();
    stage_all();
    make_lefts();
    if constexpr (R::second_rank) {
      pair_up<0>(b, false, &made::q_by_u, &made::a_by_u);
      pair_up<0>(k, true, &made::q_by_v, &made::a_by_v);
    } else {
      pair_up<0>(k, false, &made::q_by_u, &made::a_by_u);
    }
    if constexpr (R::features) normalise(z);
  }
};

}  // namespace
