// Quantising weights, once, ahead of packing; and back.
#include <cmath>

#include "CWallclockKernels.h"
#include "layout.hpp"
#include "numbers.hpp"

namespace {

// clamp(rne(x), low, high) of a finite or infinite x.
int rounded(float x, int low, int high) {
  if (!(x > static_cast<float>(low))) return low;
  if (!(x < static_cast<float>(high))) return high;
  return static_cast<int>(std::nearbyint(x));
}

bool finite(size_t n, size_t k, const float *w, size_t ldw) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < k; ++j) {
      if (!std::isfinite(w[i * ldw + j])) return false;
    }
  }
  return true;
}

void quantize_s8(size_t k, const float *w, int8_t *codes, float *scale) {
  float most = 0;
  for (size_t j = 0; j < k; ++j) most = std::fmax(most, std::fabs(w[j]));
  *scale = most / 127.0f;
  for (size_t j = 0; j < k; ++j) {
    codes[j] = static_cast<int8_t>(*scale == 0 ? 0 : rounded(w[j] / *scale, -127, 127));
  }
}

// False when the scale is beyond f16.
bool quantize_q4(size_t group, const float *w, uint8_t *codes, float *scale) {
  float most = 0;  // the first entry of largest magnitude
  for (size_t j = 0; j < group; ++j) {
    if (std::fabs(w[j]) > std::fabs(most)) most = w[j];
  }
  *scale = wc::f32_from_f16(wc::f16_from_f32(most / -8.0f));
  if (!std::isfinite(*scale)) return false;
  for (size_t j = 0; j < group; ++j) {
    codes[j] = static_cast<uint8_t>(*scale == 0 ? 8 : rounded(w[j] / *scale, -8, 7) + 8);
  }
  return true;
}

bool quantize_s8_group(size_t group, const float *w, uint8_t *codes, float *scale) {
  float most = 0;
  for (size_t j = 0; j < group; ++j) most = std::fmax(most, std::fabs(w[j]));
  *scale = wc::f32_from_f16(wc::f16_from_f32(most / 127.0f));
  if (!std::isfinite(*scale)) return false;
  for (size_t j = 0; j < group; ++j) {
    codes[j] = static_cast<uint8_t>(*scale == 0 ? 0 : rounded(w[j] / *scale, -127, 127));
  }
  return true;
}

// As quantize_q4; a byte holds the code and above it the zero point.
bool quantize_q4z(size_t group, const float *w, uint8_t *codes, float *scale) {
  float least = 0, most = 0;
  for (size_t j = 0; j < group; ++j) {
    least = std::fmin(least, w[j]);
    most = std::fmax(most, w[j]);
  }
  // Halves: the range of finite weights may exceed f32.
  *scale = wc::f32_from_f16(wc::f16_from_f32((most / 2 - least / 2) / 7.5f));
  if (!std::isfinite(*scale)) return false;
  const int zero = *scale == 0 ? 0 : rounded(-least / *scale, 0, 15);
  for (size_t j = 0; j < group; ++j) {
    const int code = *scale == 0 ? 0 : rounded(w[j] / *scale, -zero, 15 - zero) + zero;
    codes[j] = static_cast<uint8_t>(code | zero << 4);
  }
  return true;
}

}  // namespace

// WC_INVALID_ARGUMENT: a type that holds no weights, a ragged group, a NaN or an infinity (quantised
// types), or a q4 scale beyond f16. codes and scales then hold nothing of use.
extern "C" wc_status wc_weights_quantize(
    wc_type b, size_t n, size_t k, const float *w, size_t ldw, void *codes, float *scales) {
  const size_t group = wc::group_of(b), bytes = wc::code_bytes(b);
  if (!bytes || (group && k % group)) return WC_INVALID_ARGUMENT;
  if ((b == WC_TYPE_s8 || group) && !finite(n, k, w, ldw)) return WC_INVALID_ARGUMENT;
  for (size_t i = 0; i < n; ++i) {
    const float *row = w + i * ldw;
    char *to = static_cast<char *>(codes) + i * k * bytes;
    if (b == WC_TYPE_f32) {
      if (k) memcpy(to, row, k * bytes);
    } else if (b == WC_TYPE_bf16) {
      for (size_t j = 0; j < k; ++j) {
        const uint16_t code = wc::bf16_from_f32(row[j]);
        memcpy(to + j * bytes, &code, bytes);
      }
    } else if (b == WC_TYPE_s8) {
      quantize_s8(k, row, reinterpret_cast<int8_t *>(to), scales + i);
    } else {
      for (size_t j = 0; j < k; j += group) {
        float *scale = scales + (i * k + j) / group;
        const auto quantize = b == WC_TYPE_s8g32   ? quantize_s8_group
                              : wc::has_zeros(b) ? quantize_q4z
                                                 : quantize_q4;
        if (!quantize(group, row + j, reinterpret_cast<uint8_t *>(to) + j, scale)) return WC_INVALID_ARGUMENT;
      }
    }
  }
  return WC_OK;
}

extern "C" wc_status wc_weights_dequantize(
    wc_type b, size_t n, size_t k, const void *codes, const float *scales, float *w, size_t ldw) {
  const size_t group = wc::group_of(b), bytes = wc::code_bytes(b);
  if (!bytes || (group && k % group)) return WC_INVALID_ARGUMENT;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < k; ++j) {
      w[i * ldw + j] = wc::weight_value(b, codes, scales, k, i, j);
    }
  }
  return WC_OK;
}
