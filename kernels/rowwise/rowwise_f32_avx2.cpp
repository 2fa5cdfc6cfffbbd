// The row-wise ops of rowwise_f32.hpp for avx2.
#if defined(__x86_64__)
#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "rows.hpp"
#include "rowwise_f32.hpp"

extern "C" wc_status layernorm_f32_avx2(const wc_rowwise_args *g) {
  return layer_norm<wc::lanes_avx2>(*g);
}

extern "C" wc_status residual_f32_avx2(const wc_rowwise_args *g) {
  return residual_sum<wc::lanes_avx2>(*g);
}

extern "C" wc_status embedding_f32_avx2(const wc_rowwise_args *g) {
  return embedding<wc::lanes_avx2>(*g);
}

extern "C" wc_status meanpool_f32_avx2(const wc_rowwise_args *g) {
  return mean_pool<wc::lanes_avx2>(*g);
}
WC_TARGET_END
#endif
