// Convolutions along time as plain loops in f64: the oracle's twin.
#include <math.h>

#include "CWallclockKernels.h"

namespace {

constexpr size_t panel = WC_CHANNEL_PANEL;

}  // namespace

extern "C" double wc_long_conv_reference(size_t t, const float *x, size_t ldx, const float *filter, size_t ld_filter) {
  double sum = 0;
  for (size_t s = 0; s <= t; ++s) {
    sum += static_cast<double>(filter[s * ld_filter]) * static_cast<double>(x[(t - s) * ldx]);
  }
  return sum;
}

extern "C" wc_status wc_conv1d_reference(const wc_conv1d_args *args, double *y, double *state) {
  const wc_conv1d_args &g = *args;
  const ptrdiff_t kept = static_cast<ptrdiff_t>(g.width) - 1;
  for (size_t c = 0; c < g.channels; ++c) {
    const size_t first = c / panel * static_cast<size_t>(kept) * panel + c % panel;
    const auto value = [&](ptrdiff_t t) -> double {
      return t >= 0 ? g.x[static_cast<size_t>(t) * g.ldx + c] : g.state[first + static_cast<size_t>(kept + t) * panel];
    };
    for (size_t t = 0; t < g.tokens; ++t) {
      double sum = g.bias ? g.bias[c] : 0;
      for (size_t i = 0; i < g.width; ++i) {
        sum += static_cast<double>(g.weight[(c / panel * g.width + i) * panel + c % panel]) *
               value(static_cast<ptrdiff_t>(t + i) - kept);
      }
      y[t * g.channels + c] = g.silu ? sum / (1 + exp(-sum)) : sum;
    }
    for (ptrdiff_t i = 0; i < kept; ++i) {
      state[first + static_cast<size_t>(i) * panel] = value(static_cast<ptrdiff_t>(g.tokens) - kept + i);
    }
  }
  return WC_OK;
}
