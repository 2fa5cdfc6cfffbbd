// Scans token by token as plain loops in f64: the oracle's twin.
#include <math.h>

#include "CWallclockKernels.h"

namespace {

constexpr size_t panel = WC_CHANNEL_PANEL;

double softplus(double x) { return x > 20 ? x : log1p(exp(x)); }
double silu(double x) { return x / (1 + exp(-x)); }

}  // namespace

extern "C" wc_status wc_mamba1_reference(const wc_mamba1_args *args, double *y, double *state) {
  const wc_mamba1_args &g = *args;
  const double ln2 = 0.693147180559945309417;
  for (size_t i = 0; i < (g.channels + panel - 1) / panel * panel * g.states; ++i) state[i] = g.state[i];
  for (size_t t = 0; t < g.tokens; ++t) {
    for (size_t d = 0; d < g.channels; ++d) {
      const double u = g.u[t * g.ldu + d], bias = g.delta_bias ? g.delta_bias[d] : 0;
      const double delta = softplus(g.delta[t * g.ld_delta + d] + bias);
      double sum = g.skip ? g.skip[d] * u : 0;
      for (size_t n = 0; n < g.states; ++n) {
        const size_t i = (d / panel * g.states + n) * panel + d % panel;
        state[i] = exp(ln2 * g.a[i] * delta) * state[i] + delta * u * g.b[t * g.ldb + n];
        sum += g.c[t * g.ldc + n] * state[i];
      }
      y[t * g.channels + d] = g.z ? sum * silu(g.z[t * g.ldz + d]) : sum;
    }
  }
  return WC_OK;
}

// A channel's sums come as the logarithm of their greatest weight, in nats, and what they are in units of that.
extern "C" wc_status wc_rwkv4_reference(const wc_rwkv4_args *args, double *y, double *state) {
  const wc_rwkv4_args &g = *args;
  const double ln2 = 0.693147180559945309417;
  for (size_t d = 0; d < g.channels; ++d) {
    const size_t at = d / panel * 3 * panel + d % panel;
    const float *fixed = g.parameters + d / panel * 4 * panel + d % panel;
    const double halvings = fixed[panel], whole = halvings > 60 ? rint(halvings) : 0;
    const double w = ln2 * whole - log(static_cast<double>(fixed[0])), u = ln2 * fixed[3 * panel];
    double above = g.state[at], below = g.state[at + panel], top = ln2 * rint(g.state[at + 2 * panel]);
    for (size_t t = 0; t < g.tokens; ++t) {
      const double k = g.k[t * g.ldk + d], v = g.v[t * g.ldv + d];
      const double most = fmax(top, u + k), old = exp(top - most), own = exp(u + k - most);
      y[t * g.channels + d] = (old * above + own * v) / (old * below + own);
      const double next = fmax(top - w, k), kept = exp(top - w - next), weight = exp(k - next);
      above = kept * above + weight * v;
      below = kept * below + weight;
      top = next;
    }
    state[at] = above;
    state[at + panel] = below;
    state[at + 2 * panel] = top;
  }
  return WC_OK;
}

extern "C" wc_status wc_s4d_reference(const wc_s4d_args *args, double *y, double *state) {
  const wc_s4d_args &g = *args;
  const size_t size = (g.channels + panel - 1) / panel * panel * 2 * g.pairs;
  for (size_t i = 0; i < size; ++i) state[i] = g.begins ? 0 : g.state[i];
  for (size_t t = 0; t < g.tokens; ++t) {
    for (size_t d = 0; d < g.channels; ++d) {
      const double u = g.u[t * g.ldu + d];
      double sum = g.skip ? g.skip[d] * u : 0;
      for (size_t n = 0; n < g.pairs; ++n) {
        const size_t real = (d / panel * g.pairs + n) * 2 * panel + d % panel, imaginary = real + panel;
        const double r = state[real], i = state[imaginary], lr = g.lambda[real], li = g.lambda[imaginary];
        state[real] = lr * r - li * i + u;
        state[imaginary] = lr * i + li * r;
        sum += g.c[real] * state[real] + g.c[imaginary] * state[imaginary];
      }
      y[t * g.channels + d] = sum;
    }
  }
  return WC_OK;
}
