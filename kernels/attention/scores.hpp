// What happens to a row of scores between the two products: softcap, ALiBi, the mask, and the online softmax
// (Milakov and Gimelshein, arXiv 1805.02867). Scores are in units of log₂e, so that weights are powers of two.
// Include inside the target region of the ISA; nothing is included here.

namespace {

constexpr float minus_infinity = -__builtin_inff();

// s = cap·tanh(s·factor/cap), tanh x = ±(1 − w)/(1 + w) with w = 2^(−2·log₂e·|x|): within 2·2⁻²⁴ of ±1.
template <class L>
WC_INLINE void cap_row(float *s, size_t count, float factor, float cap) {
  using values = typename L::values;
  const values to_exponent = L::set(2 * wc::log2_e * factor / cap), one = L::set(1.0f), height = L::set(cap);
  for (size_t c = 0; c < count; c += L::width) {
    const values x = L::load(s + c);
    values w[1] = {L::mul(L::negative_size(x), to_exponent)};
    L::exp2_nonpositive_each(w);
    const values t = L::div(L::sub(one, w[0]), L::add(one, w[0]));
    L::store(s + c, L::mul(L::with_sign_of(t, x), height));
  }
}

// s = s·factor − slope·|first + c|, where `first` is the first key's distance from the query, negative before it.
template <class L>
WC_INLINE void slope_row(float *s, size_t count, float factor, float slope, float first) {
  using values = typename L::values;
  const values f = L::set(factor), steep = L::set(slope);
  for (size_t c = 0; c < count; c += L::width) {
    const values distance = L::add(L::count_up(), L::set(first + static_cast<float>(c)));
    const values scaled = L::mul(L::load(s + c), f);
    L::store(s + c, L::multiply_add(L::negative_size(distance), steep, scaled));
  }
}

WC_INLINE void hide(float *s, size_t from, size_t to) {
  for (; from < to; ++from) s[from] = minus_infinity;
}

// The greatest of a row's first `used` scores, a multiple of the width.
template <class L>
WC_INLINE float greatest_of_row(const float *s, size_t used) {
  using values = typename L::values;
  constexpr size_t width = L::width;
  values m0 = L::set(minus_infinity), m1 = m0;
  size_t c = 0;
  for (; c + 2 * width <= used; c += 2 * width) {
    m0 = L::max(m0, L::load(s + c));
    m1 = L::max(m1, L::load(s + c + width));
  }
  if (c < used) m0 = L::max(m0, L::load(s + c));
  return L::greatest(L::max(m0, m1));
}

// Turns the first `used` scores of a row into weights 2^(s·scale − m) and the rest, up to `padded`, into zeros; returns
// the factor 2^(m_old − m) that older sums take. `greatest` is theirs, times the scale; m moves only where it grows.
template <class L, class P, bool scaled>
WC_INLINE float weights_of_row(
    float *s, size_t used, size_t padded, float scale, float greatest, float &maximum, float &sum) {
  using values = typename L::values;
  constexpr size_t width = L::width;
  const float old = maximum, now = old > greatest ? old : greatest;
  maximum = now;
  // A row that has seen no key yet has m = −∞, and −∞ − −∞ would be NaN.
  const float shift = now == minus_infinity ? 0.0f : now;
  const values m = L::set(scaled ? -shift : shift), f = L::set(scale);
  values total[4] = {L::set(0), L::set(0), L::set(0), L::set(0)};
  size_t c = 0;
  for (; c + 4 * width <= used; c += 4 * width) {
    values p[4];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 4; ++i) {
      const values x = L::load(s + c + i * width);
      p[i] = scaled ? L::multiply_add(x, f, m) : L::sub(x, m);
    }
    L::exp2_nonpositive_each(p);
    P::put_weights(s, c, p);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) total[i] = L::add(total[i], p[i]);
  }
  for (; c < used; c += width) {
    const values x = L::load(s + c);
    values p[1] = {scaled ? L::multiply_add(x, f, m) : L::sub(x, m)};
    L::exp2_nonpositive_each(p);
    P::put_weights(s, c, p);
    total[0] = L::add(total[0], p[0]);
  }
  for (; c < padded; c += width) {
    const values none[1] = {L::set(0)};
    P::put_weights(s, c, none);
  }
  const float factor = old == now ? 1.0f : wc::exp2_nonpositive_scalar(old - shift);
  sum = sum * factor + L::sum(L::add(L::add(total[0], total[1]), L::add(total[2], total[3])));
  return factor;
}

}  // namespace
