// softmax attention with AVX2, in f32 over a cache of any type; the method stands in attention.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "CWallclockKernels.h"
#include "lanes_avx2.hpp"
#include "store.hpp"

WC_TARGET_BEGIN(avx2)
#include "append.hpp"
#include "products.hpp"
#include "scores.hpp"
#include "tile.hpp"
//
#include "attention.hpp"
#include "entry.hpp"

WC_ATTENTION_ENTRY(attention_f32f32_avx2_6x16, avx2, avx2, f32, 6, 2)
WC_ATTENTION_ENTRY(attention_f32bf16_avx2_4x16, avx2, avx2, bf16, 4, 2)
WC_ATTENTION_ENTRY(attention_f32s8_avx2_4x16, avx2, avx2, s8, 4, 2)
WC_ATTENTION_ENTRY(attention_f32q4g32_avx2_2x16, avx2, avx2, q4, 2, 2)
WC_TARGET_END
#endif
