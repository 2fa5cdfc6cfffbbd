// The row-wise ops of rowwise_f32.hpp for avx512.
#if defined(__x86_64__)
#include "../common/lanes_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
#include "rows.hpp"
#include "rowwise_f32.hpp"

extern "C" wc_status layernorm_f32_avx512(const wc_rowwise_args *g) {
  return layer_norm<wc::lanes_avx512>(*g);
}

extern "C" wc_status residual_f32_avx512(const wc_rowwise_args *g) {
  return residual_sum<wc::lanes_avx512>(*g);
}

extern "C" wc_status embedding_f32_avx512(const wc_rowwise_args *g) {
  return embedding<wc::lanes_avx512>(*g);
}

extern "C" wc_status meanpool_f32_avx512(const wc_rowwise_args *g) {
  return mean_pool<wc::lanes_avx512>(*g);
}
WC_TARGET_END
#endif
