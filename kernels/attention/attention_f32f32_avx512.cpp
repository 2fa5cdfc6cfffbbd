// softmax attention in f32 with AVX-512; the method stands in attention_f32.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/lanes_avx2.hpp"
#include "../common/lanes_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
#include "attention_f32.hpp"
#include "pack_avx2.hpp"

namespace wc {
extern const wc_attention_memory attention_memory_panels32;
const wc_attention_memory attention_memory_panels32 = {
    attention_packed_bytes<32>, attention_pack_kv_avx2<32>, attention_scratch_bytes<12, 32>};
}  // namespace wc

extern "C" wc_status attention_f32f32_avx512_12x32(const wc_attention_args *g) {
  return attention<wc::lanes_avx512, 12, 2>::run(*g);
}
WC_TARGET_END
#endif
