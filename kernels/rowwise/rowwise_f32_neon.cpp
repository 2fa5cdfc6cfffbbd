// The row-wise ops of rowwise_f32.hpp for neon.
#if defined(__aarch64__)
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "rows.hpp"
#include "rowwise_f32.hpp"

extern "C" wc_status layernorm_f32_neon(const wc_rowwise_args *g) {
  return layer_norm<wc::lanes_neon>(*g);
}

extern "C" wc_status residual_f32_neon(const wc_rowwise_args *g) {
  return residual_sum<wc::lanes_neon>(*g);
}

extern "C" wc_status embedding_f32_neon(const wc_rowwise_args *g) {
  return embedding<wc::lanes_neon>(*g);
}

extern "C" wc_status meanpool_f32_neon(const wc_rowwise_args *g) {
  return mean_pool<wc::lanes_neon>(*g);
}
WC_TARGET_END
#endif
