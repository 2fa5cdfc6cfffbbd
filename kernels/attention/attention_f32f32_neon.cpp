// softmax attention in f32 with NEON; the method stands in attention_f32.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "attention_f32.hpp"
#include "pack_neon.hpp"

namespace wc {
extern const wc_attention_memory attention_memory_panels16;
const wc_attention_memory attention_memory_panels16 = {
    attention_packed_bytes<16>, attention_pack_kv_neon<16>, attention_scratch_bytes<6, 16>};
}  // namespace wc

extern "C" wc_status attention_f32f32_neon_6x16(const wc_attention_args *g) {
  return attention<wc::lanes_neon, 6, 4>::run(*g);
}
WC_TARGET_END
#endif
