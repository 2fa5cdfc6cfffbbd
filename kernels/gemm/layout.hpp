// Sizes of types and of packed B, shared by packing and the references.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CWallclockKernels.h"
#include "numbers.hpp"

namespace wc {

// Values of K that share a scale, or 0.
constexpr size_t group_of(wc_type b) {
  switch (b) {
    case WC_TYPE_q4g32:
    case WC_TYPE_q4zg32:
    case WC_TYPE_s8g32: return 32;
    case WC_TYPE_q4g64:
    case WC_TYPE_q4zg64: return 64;
    case WC_TYPE_q4g128:
    case WC_TYPE_q4zg128: return 128;
    default: return 0;
  }
}

// Whether each group has a zero point of its own.
constexpr bool has_zeros(wc_type b) {
  return b == WC_TYPE_q4zg32 || b == WC_TYPE_q4zg64 || b == WC_TYPE_q4zg128;
}

// Bytes of one weight's code as wc_weights_quantize writes it, or 0 for what is no weight type.
inline size_t code_bytes(wc_type b) {
  switch (b) {
    case WC_TYPE_f32: return 4;
    case WC_TYPE_bf16: return 2;
    case WC_TYPE_s8: return 1;
    default: return group_of(b) ? 1 : 0;
  }
}

// One group of K, nr columns: where its scales and zero points begin, and its size.
constexpr size_t record_scales(wc_type b, size_t nr) { return group_of(b) / (b == WC_TYPE_s8g32 ? 1 : 2) * nr; }
constexpr size_t record_zeros(wc_type b, size_t nr) { return record_scales(b, nr) + 2 * nr; }
constexpr size_t record_bytes(wc_type b, size_t nr) { return record_zeros(b, nr) + (has_zeros(b) ? nr / 2 : 0); }

// A row packing knows: positive tile, and the layout its B type has.
inline bool packable(const wc_kernel *kernel) {
  if (!kernel || kernel->op != WC_OP_gemm || kernel->nr == 0 || kernel->kr == 0) return false;
  const size_t group = group_of(kernel->b);
  if (kernel->b == WC_TYPE_s8g32) return kernel->layout == WC_LAYOUT_s8_group_panel && group % kernel->kr == 0;
  if (kernel->layout == WC_LAYOUT_q4_pair_panel) return group && kernel->kr == 8;
  if (group) return kernel->layout == WC_LAYOUT_q4_panel && group % (2 * kernel->kr) == 0;
  return kernel->layout == WC_LAYOUT_panel && code_bytes(kernel->b) != 0;
}

// The f32 value of weight (row, column) of an N×K matrix of codes.
inline float weight_value(
    wc_type b, const void *codes, const float *scales, size_t k, size_t row, size_t column) {
  const size_t at = row * k + column;
  const char *code = static_cast<const char *>(codes) + at * code_bytes(b);
  if (b == WC_TYPE_f32) {
    float value;
    memcpy(&value, code, sizeof value);
    return value;
  }
  if (b == WC_TYPE_bf16) {
    uint16_t value;
    memcpy(&value, code, sizeof value);
    return f32_from_bf16(value);
  }
  if (b == WC_TYPE_s8) return static_cast<float>(static_cast<int8_t>(*code)) * scales[row];
  if (b == WC_TYPE_s8g32) return static_cast<float>(static_cast<int8_t>(*code)) * scales[at / group_of(b)];
  const int bits = static_cast<uint8_t>(*code), zero = has_zeros(b) ? bits >> 4 : 8;
  return static_cast<float>((bits & 15) - zero) * scales[at / group_of(b)];
}

}  // namespace wc
