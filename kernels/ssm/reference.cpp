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
