// Rows of f32 to s8, u8 (s8 + 128), s16 and bf16; the formula stands in quantize.hpp.
#include <stdint.h>
#include <string.h>

#include "../common/math_scalar.hpp"
#include "CWallclockKernels.h"

#include "quantize.hpp"

namespace {

template <typename Element, int offset>
struct quantize_kernel {
  using element = Element;
  static constexpr Element zero = static_cast<Element>(offset);

  static uint32_t greatest(const float *x, size_t columns) {
    uint32_t greatest = 0;
    for (size_t c = 0; c < columns; ++c) {
      uint32_t bits;
      memcpy(&bits, x + c, sizeof bits);
      bits &= 0x7fffffffu;
      greatest = bits > greatest ? bits : greatest;
    }
    return greatest;
  }

  static extent range(const float *x, size_t columns) {
    extent e{x[0], x[0], greatest(x, columns) < infinity_bits};
    for (size_t c = 1; c < columns; ++c) {
      e.least = x[c] < e.least ? x[c] : e.least;
      e.greatest = x[c] > e.greatest ? x[c] : e.greatest;
    }
    return e;
  }

  static void write(const float *x, size_t columns, float centre, float reciprocal, Element *q) {
    for (size_t c = 0; c < columns; ++c) {
      const float distance = x[c] - centre;
      const int32_t code = static_cast<int32_t>(wc::round_even_scalar(distance * reciprocal));
      q[c] = static_cast<Element>(code + offset);
    }
  }

  static int32_t group_sum(const Element *q, size_t count) {
    int32_t sum = 0;
    for (size_t c = 0; c < count; ++c) sum += q[c] - offset;
    return sum;
  }
};

}  // namespace

extern "C" wc_status quantize_f32s8_scalar(const wc_rowwise_args *g) {
  return quantize_rows<quantize_kernel<int8_t, 0>>(*g);
}

extern "C" wc_status quantize_f32u8_scalar(const wc_rowwise_args *g) {
  return quantize_rows<quantize_kernel<uint8_t, 128>>(*g);
}

extern "C" wc_status quantize_f32s16_scalar(const wc_rowwise_args *g) {
  return quantize_rows<quantize_kernel<int16_t, 0>>(*g);
}

extern "C" wc_status quantize_f32bf16_scalar(const wc_rowwise_args *g) {
  if (g->ldq < g->columns) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g->rows; ++r) {
    const float *x = g->x + r * g->ldx;
    uint16_t *q = static_cast<uint16_t *>(g->q) + r * g->ldq;
    for (size_t c = 0; c < g->columns; ++c) q[c] = bf16_of(x[c]);
    for (size_t c = g->columns; c < g->ldq; ++c) q[c] = 0;
  }
  return WC_OK;
}
