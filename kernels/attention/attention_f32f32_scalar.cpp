// softmax attention in f32 without vectors; the method stands in attention_f32.hpp.
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "attention_f32.hpp"

namespace {

constexpr int panel = 4;

wc_status pack_kv(
    size_t tk, size_t d, const float *k, size_t ldk, const float *v, size_t ldv, void *packed) {
  float *to = static_cast<float *>(packed);
  for (size_t j = 0; j < tk; j += panel) {
    for (size_t c = 0; c < d; ++c) {
      for (size_t i = j; i < j + panel; ++i) *to++ = i < tk ? k[i * ldk + c] : 0.0f;
    }
  }
  for (size_t c = 0; c < d; c += panel) {
    for (size_t j = 0; j < tk; ++j) {
      for (size_t i = c; i < c + panel; ++i) *to++ = i < d ? v[j * ldv + i] : 0.0f;
    }
  }
  return WC_OK;
}

}  // namespace

namespace wc {
extern const wc_attention_memory attention_memory_panels4;
const wc_attention_memory attention_memory_panels4 = {
    attention_packed_bytes<panel>, pack_kv, attention_scratch_bytes<4, panel>};
}  // namespace wc

extern "C" wc_status attention_f32f32_scalar_4x4(const wc_attention_args *g) {
  return attention<wc::lanes_scalar, 4, panel>::run(*g);
}
