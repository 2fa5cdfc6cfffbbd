// softmax attention with AVX-512, in f32 over a cache of any type; the method stands in attention.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "CWallclockKernels.h"
#include "lanes_avx512.hpp"
#include "store.hpp"

WC_TARGET_BEGIN(avx512)
#include "append.hpp"
#include "products.hpp"
#include "scores.hpp"
#include "tile.hpp"
//
#include "attention.hpp"
#include "entry.hpp"

WC_ATTENTION_ENTRY(attention_f32f32_avx512_12x32, avx512, avx2, f32, 12, 2)
WC_ATTENTION_ENTRY(attention_f32bf16_avx512_12x32, avx512, avx2, bf16, 12, 2)
WC_ATTENTION_ENTRY(attention_f32s8_avx512_8x32, avx512, avx2, s8, 8, 2)
WC_ATTENTION_ENTRY(attention_f32q4g32_avx512_6x32, avx512, avx2, q4, 6, 2)
WC_TARGET_END
#endif
