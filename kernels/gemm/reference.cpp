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

double gelu(double x) { return x == -INFINITY ? 0 : 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }

}  // namespace

// args->m, n, k, b, acc, scratch, flags and prefetch are not read; a is the whole m×k. The residual
// is read at the time of the call: with residual = c, ask before the kernel runs.
extern "C" wc_status wc_gemm_reference(
    const wc_kernel *kernel, size_t m, size_t n, size_t k, const wc_gemm_args *args,
    const void *codes, const float *scales, size_t row, size_t column, double *value,
    double *magnitude) {
  if (!wc::packable(kernel) || !args || row >= m || column >= n) return WC_INVALID_ARGUMENT;
  const bool integer = kernel->a == WC_TYPE_s8 || kernel->a == WC_TYPE_u8 || kernel->a == WC_TYPE_s16;
  if (!integer && kernel->a != WC_TYPE_f32 && kernel->a != WC_TYPE_bf16) return WC_INVALID_ARGUMENT;
  const size_t group = wc::group_of(kernel->b);
  if ((group && k % group) || (integer && !args->a_scale)) return WC_INVALID_ARGUMENT;

  double sum = 0, absolute = 0, weights = 0, sizes = 0;
  for (size_t p = 0; p < k; ++p) {
    // Each product of codes is exact in f64, and so is each sum of an integer row's group.
    const double w = w_value(kernel->b, codes, scales, k, column, p);
    double product = a_value(kernel->a, args->a, row * args->lda + p) * w;
    if (kernel->b == WC_TYPE_s8g32) product *= args->a_scale[row * args->lda_scale + p / group];
    sum += product;
    absolute += std::fabs(product);
    weights += w;
    sizes += std::fabs(w);
  }
  if (integer && kernel->b != WC_TYPE_s8g32) {
    sum *= args->a_scale[row];
    absolute *= std::fabs(args->a_scale[row]);
    if (args->a_offset) {
      sum += args->a_offset[row] * weights;
      absolute += std::fabs(args->a_offset[row]) * sizes;
    }
  }
  if (args->epilogue & WC_EPILOGUE_bias) {
    sum += args->bias[column];
    absolute += std::fabs(args->bias[column]);
  }
  if (args->epilogue & WC_EPILOGUE_gelu) sum = gelu(sum);
  if (args->epilogue & WC_EPILOGUE_residual) {
    sum += args->residual[row * args->ldr + column];
    absolute += std::fabs(args->residual[row * args->ldr + column]);
  }
  *value = sum;
  *magnitude = absolute;
  return WC_OK;
}
