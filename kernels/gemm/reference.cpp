// Plain loops in f64: what one element of C should be.
#include <cmath>

#include "CWallclockKernels.h"
#include "layout.hpp"

namespace {

// A's value at index i, without its row's scale.
double a_value(wc_type a, const void *data, size_t i) {
  switch (a) {
    case WC_TYPE_f32: return static_cast<const float *>(data)[i];
    case WC_TYPE_bf16: return wc::f32_from_bf16(static_cast<const uint16_t *>(data)[i]);
    case WC_TYPE_s8: return static_cast<const int8_t *>(data)[i];
    case WC_TYPE_u8: return static_cast<const uint8_t *>(data)[i] - 128;
    default: return static_cast<const int16_t *>(data)[i];
  }
}

// Weight (row, column) in f64: an 8-bit code times its scale is not exact in f32.
double w_value(
    wc_type b, const void *codes, const float *scales, size_t k, size_t row, size_t column) {
  if (b != WC_TYPE_s8) return wc::weight_value(b, codes, scales, k, row, column);
  return static_cast<double>(static_cast<const int8_t *>(codes)[row * k + column]) * scales[row];
}

// 1/(1 + e^−x)
double logistic(double x) { return 1 / (1 + std::exp(-x)); }

double activated(uint32_t epilogue, double x) {
  switch (epilogue & WC_ACTIVATIONS) {
    case WC_EPILOGUE_gelu: return x == -INFINITY ? 0 : 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case WC_EPILOGUE_gelu_tanh:
      return x == -INFINITY ? 0 : x * logistic(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    case WC_EPILOGUE_silu: return x == -INFINITY ? 0 : x * logistic(x);
    case WC_EPILOGUE_relu: return x < 0 ? 0 : x;
    default: return x;
  }
}

struct biased_sum {
  double value, magnitude;
};

// A row of A by row `weight` of W, scaled; bias is of packed column `column`.
biased_sum sum_of(
    const wc_kernel &kernel, size_t k, const wc_gemm_args &args, const void *codes, const float *scales, size_t row,
    size_t weight, size_t column) {
  biased_sum sum = {0, 0};
  double weights = 0, sizes = 0;
  for (size_t p = 0; p < k; ++p) {
    // Each product of codes is exact in f64, and so is each sum of an integer row's group.
    const double w = w_value(kernel.b, codes, scales, k, weight, p);
    double product = a_value(kernel.a, args.a, row * args.lda + p) * w;
    if (kernel.b == WC_TYPE_s8g32) product *= args.a_scale[row * args.lda_scale + p / wc::group_of(kernel.b)];
    sum.value += product;
    sum.magnitude += std::fabs(product);
    weights += w;
    sizes += std::fabs(w);
  }
  const bool integer = kernel.a == WC_TYPE_s8 || kernel.a == WC_TYPE_u8 || kernel.a == WC_TYPE_s16;
  if (integer && kernel.b != WC_TYPE_s8g32) {
    sum.value *= args.a_scale[row];
    sum.magnitude *= std::fabs(args.a_scale[row]);
    if (args.a_offset) {
      sum.value += args.a_offset[row] * weights;
      sum.magnitude += std::fabs(args.a_offset[row]) * sizes;
    }
  }
  if (args.epilogue & WC_EPILOGUE_bias) {
    sum.value += args.bias[column];
    sum.magnitude += std::fabs(args.bias[column]);
  }
  return sum;
}

// In codes of the row's scale, not rounded.
double in_codes(const wc_gemm_args &args, size_t row, double value) {
  const float scale = args.c_scale[row * args.c_scale_step];
  if (!(scale >= 0x1p-126f) || std::isnan(value)) return 0;
  return std::fmin(std::fmax(value * (1.0f / scale), -127), 127);
}

}  // namespace

// args->m, n, k, b, acc, scratch, flags and prefetch are not read; a is the whole m×k. The residual
// is read at the time of the call: with residual = c, ask before the kernel runs.
extern "C" wc_status wc_gemm_reference(
    const wc_kernel *kernel, size_t m, size_t n, size_t k, const wc_gemm_args *args,
    const void *codes, const float *scales, size_t row, size_t column, wc_gemm_element *element) {
  if (!wc::packable(kernel) || !args || !element || row >= m) return WC_INVALID_ARGUMENT;
  const uint32_t epilogue = args->epilogue;
  const bool gated = epilogue & WC_EPILOGUE_gated;
  if ((gated && n % 2) || column >= (gated ? n / 2 : n)) return WC_INVALID_ARGUMENT;
  const bool integer = kernel->a == WC_TYPE_s8 || kernel->a == WC_TYPE_u8 || kernel->a == WC_TYPE_s16;
  if (!integer && kernel->a != WC_TYPE_f32 && kernel->a != WC_TYPE_bf16) return WC_INVALID_ARGUMENT;
  const size_t group = wc::group_of(kernel->b);
  if ((group && k % group) || (integer && !args->a_scale)) return WC_INVALID_ARGUMENT;

  const auto packed = [&](size_t weight) { return gated ? wc_gemm_gated_column(kernel, n, weight) : weight; };
  const auto sum = [&](size_t weight) {
    return sum_of(*kernel, k, *args, codes, scales, row, weight, packed(weight));
  };
  const biased_sum own = sum(column), up = gated ? sum(n / 2 + column) : biased_sum{1, 0};
  const double residual = epilogue & WC_EPILOGUE_residual ? args->residual[row * args->ldr + column] : 0;
  element->magnitude = own.magnitude;
  element->activated = activated(epilogue, own.value);
  element->up = up.value;
  element->up_magnitude = up.magnitude;
  element->residual = residual;
  element->value = element->activated * up.value + residual;
  if (epilogue & (WC_EPILOGUE_s8 | WC_EPILOGUE_u8)) element->value = in_codes(*args, row, element->value);
  return WC_OK;
}
