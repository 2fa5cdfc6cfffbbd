// softmax attention in f32 with AVX2; the method stands in attention_f32.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "attention_f32.hpp"
#include "pack_avx2.hpp"

namespace wc {
extern const wc_attention_memory attention_memory_panels16;
const wc_attention_memory attention_memory_panels16 = {
    attention_packed_bytes<16>, attention_pack_kv_avx2<16>, attention_scratch_bytes<6, 16>};
}  // namespace wc

extern "C" wc_status attention_f32f32_avx2_6x16(const wc_attention_args *g) {
  return attention<wc::lanes_avx2, 6, 2>::run(*g);
}
WC_TARGET_END
#endif
