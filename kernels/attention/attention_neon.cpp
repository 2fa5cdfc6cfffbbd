// softmax attention with NEON, in f32 over a cache of any type; the method stands in attention.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "CWallclockKernels.h"
#include "lanes_neon.hpp"
#include "store.hpp"

WC_TARGET_BEGIN(neon)
#include "append.hpp"
#include "products.hpp"
#include "scores.hpp"
#include "tile.hpp"
//
#include "attention.hpp"
#include "entry.hpp"

WC_ATTENTION_ENTRY(attention_f32f32_neon_6x16, neon, neon, f32, 6, 4)
WC_ATTENTION_ENTRY(attention_f32bf16_neon_4x16, neon, neon, bf16, 4, 4)
WC_ATTENTION_ENTRY(attention_f32s8_neon_4x16, neon, neon, s8, 4, 4)
WC_ATTENTION_ENTRY(attention_f32q4g32_neon_2x16, neon, neon, q4, 2, 4)
WC_TARGET_END
#endif
