// The row-wise ops of rowwise_f32.hpp for scalar.
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "rows.hpp"
#include "rowwise_f32.hpp"

extern "C" wc_status layernorm_f32_scalar(const wc_rowwise_args *g) {
  return layer_norm<wc::lanes_scalar>(*g);
}

extern "C" wc_status residual_f32_scalar(const wc_rowwise_args *g) {
  return residual_sum<wc::lanes_scalar>(*g);
}

extern "C" wc_status embedding_f32_scalar(const wc_rowwise_args *g) {
  return embedding<wc::lanes_scalar>(*g);
}

extern "C" wc_status meanpool_f32_scalar(const wc_rowwise_args *g) {
  return mean_pool<wc::lanes_scalar>(*g);
}
