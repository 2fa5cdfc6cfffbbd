// Softmax attention as plain loops in f64, in two passes over the keys: the oracle's twin.
#include <math.h>

#include "CWallclockKernels.h"
#include "store.hpp"

namespace {

// The score of key j for position i and head h, or −∞ where it may not be seen.
double score(const wc_attention_args &g, size_t i, size_t h, size_t j) {
  const double position = static_cast<double>(g.q_first + i) + static_cast<double>(g.tk) - static_cast<double>(g.tq_total);
  const double ahead = static_cast<double>(j) - position;
  if (g.mask == WC_MASK_causal ? ahead > 0 : g.window > 0 && ahead >= static_cast<double>(g.window)) return -INFINITY;
  if (g.window > 0 && -ahead >= static_cast<double>(g.window) && j >= g.sinks) return -INFINITY;
  double s = 0;
  for (size_t c = 0; c < g.d; ++c) {
    s += static_cast<double>(g.q[i * g.ldq + h * g.q_head + c]) * static_cast<double>(g.k[j * g.ldk + c]);
  }
  s *= g.scale;
  if (g.softcap > 0) s = g.softcap * tanh(s / g.softcap);
  return g.slopes ? s - g.slopes[h] * fabs(ahead) : s;
}

template <class S>
void keep(size_t d, const float *x, float *y) {
  const size_t group = S::group == whole ? d : S::group;
  for (size_t c = 0; c < d; c += group) {
    const size_t count = d - c < group ? d - c : group;
    const float scale = store<S>::scale_of(x + c, count);
    for (size_t i = c; i < c + count; ++i) y[i] = static_cast<float>(store<S>::code(x[i], scale)) * scale;
  }
}

}  // namespace

extern "C" wc_status wc_attention_kept(wc_type type, size_t rows, size_t d, const float *x, size_t ldx, float *y) {
  for (size_t r = 0; r < rows; ++r, x += ldx, y += d) {
    switch (type) {
      case WC_TYPE_f32:
        for (size_t c = 0; c < d; ++c) y[c] = x[c];
        break;
      case WC_TYPE_bf16:
        for (size_t c = 0; c < d; ++c) y[c] = wc::f32_from_bf16(wc::bf16_from_f32(x[c]));
        break;
      case WC_TYPE_s8: keep<stored_s8>(d, x, y); break;
      case WC_TYPE_q4g32: keep<stored_q4>(d, x, y); break;
      default: return WC_UNSUPPORTED;
    }
  }
  return WC_OK;
}

extern "C" wc_status wc_attention_reference(const wc_attention_args *args, double *o) {
  const wc_attention_args &g = *args;
  for (size_t row = 0; row < g.tq * g.group; ++row, o += g.d) {
    const size_t i = row / g.group, h = row % g.group;
    for (size_t c = 0; c < g.d; ++c) o[c] = 0;
    double greatest = -INFINITY, sum = 0;
    for (size_t j = 0; j < g.tk; ++j) greatest = fmax(greatest, score(g, i, h, j));
    if (greatest == -INFINITY) continue;
    for (size_t j = 0; j < g.tk; ++j) {
      const double s = score(g, i, h, j);
      if (s == -INFINITY) continue;
      const double weight = exp(s - greatest);
      sum += weight;
      for (size_t c = 0; c < g.d; ++c) o[c] += weight * g.v[j * g.ldv + c];
    }
    for (size_t c = 0; c < g.d; ++c) o[c] /= sum;
  }
  return WC_OK;
}
