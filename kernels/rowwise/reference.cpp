// The row-wise ops as plain loops in f64: the oracle's twin.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../common/isa.hpp"
#include "CWallclockKernels.h"

#include "quantize.hpp"

namespace {

double value_of(const wc_rowwise_args &g, size_t r, size_t c) {
  const double x = g.x[r * g.ldx + c];
  return g.residual ? x + g.residual[r * g.ldr + c] : x;
}

void layer_norm(const wc_rowwise_args &g, size_t r, double *y) {
  double mean = 0, square = 0;
  for (size_t c = 0; c < g.columns; ++c) mean += value_of(g, r, c);
  mean /= static_cast<double>(g.columns);
  for (size_t c = 0; c < g.columns; ++c) {
    const double d = value_of(g, r, c) - mean;
    square += d * d;
  }
  const double deviation = sqrt(square / static_cast<double>(g.columns) + g.epsilon);
  for (size_t c = 0; c < g.columns; ++c) {
    y[c] = (value_of(g, r, c) - mean) / deviation * g.weight[c] + g.bias[c];
  }
}

// The formula of quantize.hpp, whose roundings to f32 are part of it; without scales, the row's bf16. Columns
// `first` ..< `end` share a scale.
void quantize(const wc_rowwise_args &g, size_t r, size_t first, size_t end, double *y) {
  const float *x = g.x + r * g.ldx;
  uint32_t greatest = 0;
  for (size_t c = first; c < end; ++c) {
    uint32_t bits;
    memcpy(&bits, x + c, sizeof bits);
    bits &= 0x7fffffffu;
    greatest = bits > greatest ? bits : greatest;
  }
  quantize_scale s = quantize_scale_of(greatest);
  float centre = 0;
  if (g.offset && s.finite && end > first) {
    float least = x[first], most = x[first];
    for (size_t c = first + 1; c < end; ++c) {
      least = fminf(least, x[c]);
      most = fmaxf(most, x[c]);
    }
    centre = centre_of({least, most});
    s = quantize_scale_of(bits_of(fmaxf(most - centre, centre - least)));
  }
  for (size_t c = first; c < end; ++c) {
    if (g.scale) {
      const float distance = x[c] - centre, product = distance * s.reciprocal;
      const double code = nearbyint(static_cast<double>(product));
      y[c] = s.finite ? code * static_cast<double>(s.scale) + static_cast<double>(centre) : NAN;
    } else {
      const uint32_t bits = static_cast<uint32_t>(bf16_of(x[c])) << 16;
      float value;
      memcpy(&value, &bits, sizeof value);
      y[c] = value;
    }
  }
}

void quantize(const wc_rowwise_args &g, size_t r, double *y) {
  if (!g.ld_scale) return quantize(g, r, 0, g.columns, y);
  for (size_t c = 0; c < g.columns; c += g.group) {
    quantize(g, r, c, g.columns - c < g.group ? g.columns : c + g.group, y);
  }
}

void mean_pool(const wc_rowwise_args &g, size_t s, double *y) {
  const size_t first = static_cast<size_t>(g.starts[s]), end = static_cast<size_t>(g.starts[s + 1]);
  double square = 0;
  for (size_t c = 0; c < g.columns; ++c) {
    double sum = 0;
    for (size_t r = first; r < end; ++r) sum += g.x[r * g.ldx + c];
    y[c] = end > first ? sum / static_cast<double>(end - first) : 0;
    square += y[c] * y[c];
  }
  if (!g.normalize || square == 0) return;
  for (size_t c = 0; c < g.columns; ++c) y[c] /= sqrt(square);
}

double embedding(const wc_rowwise_args &g, size_t r, size_t c) {
  double sum = 0;
  for (size_t t = 0; t < g.table_count; ++t) {
    sum += g.tables[t][static_cast<size_t>(g.ids[t][r]) * g.columns + c];
  }
  return sum;
}

}  // namespace

#include "decoder_reference.hpp"

extern "C" wc_status wc_rowwise_reference(wc_op op, const wc_rowwise_args *args, double *y) {
  const wc_rowwise_args &g = *args;
  if (op == WC_OP_argmax || op == WC_OP_top_k || op == WC_OP_sampling) return selected_rows(op, g, y);
  for (size_t r = 0; r < g.rows; ++r, y += g.columns) {
    switch (op) {
      case WC_OP_quantize: quantize(g, r, y); break;
      case WC_OP_layer_norm: layer_norm(g, r, y); break;
      case WC_OP_mean_pool: mean_pool(g, r, y); break;
      case WC_OP_gelu:
        for (size_t c = 0; c < g.columns; ++c) {
          const double x = g.x[r * g.ldx + c];
          y[c] = x == -INFINITY ? 0 : 0.5 * x * erfc(-x * 0.70710678118654752440);
        }
        break;
      case WC_OP_residual:
        for (size_t c = 0; c < g.columns; ++c) y[c] = value_of(g, r, c);
        break;
      case WC_OP_embedding:
        for (size_t c = 0; c < g.columns; ++c) y[c] = embedding(g, r, c);
        break;
      default:
        if (decoder_row(op, g, r, y) != WC_OK) return WC_UNSUPPORTED;
    }
  }
  return WC_OK;
}
