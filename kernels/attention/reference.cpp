// Softmax attention as plain loops in f64, in two passes over the keys: the oracle's twin.
#include <math.h>

#include "CWallclockKernels.h"

namespace {

double score(const wc_attention_args &g, size_t i, size_t j) {
  double sum = 0;
  for (size_t c = 0; c < g.d; ++c) {
    sum += static_cast<double>(g.q[i * g.ldq + c]) * static_cast<double>(g.k[j * g.ldk + c]);
  }
  return sum * g.scale;
}

size_t keys_seen(const wc_attention_args &g, size_t i) {
  if (g.mask == WC_MASK_full) return g.tk;
  const size_t last = g.q_first + i + g.tk + 1;
  const size_t seen = last > g.tq_total ? last - g.tq_total : 0;
  return seen < g.tk ? seen : g.tk;
}

}  // namespace

extern "C" wc_status wc_attention_reference(const wc_attention_args *args, double *o) {
  const wc_attention_args &g = *args;
  for (size_t i = 0; i < g.tq; ++i, o += g.d) {
    for (size_t c = 0; c < g.d; ++c) o[c] = 0;
    const size_t keys = keys_seen(g, i);
    double greatest = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; ++j) greatest = fmax(greatest, score(g, i, j));
    for (size_t j = 0; j < keys; ++j) {
      const double weight = exp(score(g, i, j) - greatest);
      sum += weight;
      for (size_t c = 0; c < g.d; ++c) o[c] += weight * g.v[j * g.ldv + c];
    }
    for (size_t c = 0; c < g.d && keys > 0; ++c) o[c] /= sum;
  }
  return WC_OK;
}
