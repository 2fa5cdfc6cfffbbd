// The linear-attention family as plain loops in f64, token by token: the oracle's twin.
#include <math.h>

#include "CWallclockKernels.h"

namespace {

double feature(double x) { return x > 0 ? x + 1 : exp(x); }

struct reference {
  wc_op op;
  const wc_recurrence_args &g;
  double *s;  // dk×dv

  bool is(wc_op other) const { return op == other; }
  double at(const float *rows, size_t ld, size_t t, size_t i) const { return rows[t * ld + i]; }
  double row_of_k(size_t t, size_t i) const {
    const double k = at(g.k, g.ldk, t, i);
    return is(WC_OP_linear_attention) ? feature(k) : k;
  }
  double row_of_q(size_t t, size_t i) const {
    const double q = at(g.q, g.ldq, t, i);
    return is(WC_OP_linear_attention) ? feature(q) : g.scale * q;
  }
  double rate(size_t t) const { return g.rate[t * g.ld_rate]; }
  double decay(size_t t, size_t i) const {
    switch (op) {
      case WC_OP_retention: return exp(static_cast<double>(g.log_decay));
      case WC_OP_mamba2: return exp(rate(t) * g.log_decay);
      case WC_OP_gated_delta_net: return exp(at(g.decay, g.ld_decay, t, 0));
      case WC_OP_gla:
      case WC_OP_rwkv6:
      case WC_OP_rwkv7: return exp(at(g.decay, g.ld_decay, t, i));
      default: return 1;
    }
  }

  // Column j of token t, before z is divided by, and its size.
  double column(size_t t, size_t j, double *peaks, double &size) const {
    const double v = g.v[t * g.ldv + j];
    double *state = s + j, *peak = peaks + j;
    const size_t dv = g.dv;
    double o = is(WC_OP_mamba2) ? g.skip * v : 0, read = 0;
    if (is(WC_OP_rwkv6)) {
      for (size_t i = 0; i < g.dk; ++i) o += row_of_q(t, i) * (state[i * dv] + g.bonus[i] * row_of_k(t, i) * v);
    }
    if (is(WC_OP_rwkv7)) {
      for (size_t i = 0; i < g.dk; ++i) read += state[i * dv] * at(g.a, g.lda, t, i);
    }
    for (size_t i = 0; i < g.dk; ++i) state[i * dv] *= decay(t, i);
    const bool delta = is(WC_OP_delta_net) || is(WC_OP_gated_delta_net);
    if (delta) {
      for (size_t i = 0; i < g.dk; ++i) read += state[i * dv] * row_of_k(t, i);
    }
    const double written = delta ? v - read : v, weight = delta || is(WC_OP_mamba2) ? rate(t) : 1;
    size = fabs(o);
    for (size_t i = 0; i < g.dk; ++i) {
      const double added = weight * row_of_k(t, i) * written + (is(WC_OP_rwkv7) ? at(g.b, g.ldb, t, i) * read : 0);
      state[i * dv] += added;
      peak[i * dv] = fmax(peak[i * dv], fmax(fabs(state[i * dv]), fabs(added)));
      size += fabs(row_of_q(t, i)) * peak[i * dv];
    }
    if (is(WC_OP_rwkv6)) return o;
    for (size_t i = 0; i < g.dk; ++i) o += row_of_q(t, i) * state[i * dv];
    return o;
  }
};

}  // namespace

extern "C" wc_status wc_recurrence_reference(
    wc_op op, const wc_recurrence_args *args, const wc_recurrence_result *result) {
  const wc_recurrence_args &g = *args;
  const wc_recurrence_result &to = *result;
  if (op < WC_OP_linear_attention || op > WC_OP_mamba2) return WC_UNSUPPORTED;
  const bool normalised = op == WC_OP_linear_attention;
  if (!to.o || !to.state || !to.o_size || !to.state_size || (normalised && !to.z)) return WC_INVALID_ARGUMENT;
  const reference r{op, g, to.state};
  for (size_t i = 0; i < g.dk; ++i) {
    for (size_t j = 0; j < g.dv; ++j) {
      const double value = g.state[i * g.ld_state + j];
      to.state[i * g.dv + j] = value;
      to.state_size[i * g.dv + j] = fabs(value);
    }
    if (normalised) to.z[i] = g.z[i];
  }
  for (size_t t = 0; t < g.tokens; ++t) {
    double sum = 1;
    if (normalised) {
      sum = g.epsilon;
      for (size_t i = 0; i < g.dk; ++i) sum += r.row_of_q(t, i) * (to.z[i] += r.row_of_k(t, i));
    }
    for (size_t j = 0; j < g.dv; ++j) {
      double size = 0;
      to.o[t * g.dv + j] = r.column(t, j, to.state_size, size) / sum;
      to.o_size[t * g.dv + j] = size / sum;
    }
  }
  return WC_OK;
}
