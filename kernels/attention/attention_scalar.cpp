// softmax attention without vectors, in f32 over a cache of any type; the method stands in attention.hpp.
#include "CWallclockKernels.h"
#include "lanes_scalar.hpp"
#include "store.hpp"

#include "append.hpp"
#include "products.hpp"
#include "scores.hpp"
#include "tile.hpp"
//
#include "attention.hpp"
#include "entry.hpp"

WC_ATTENTION_ENTRY(attention_f32f32_scalar_4x4, scalar, scalar, f32, 4, 4)
WC_ATTENTION_ENTRY(attention_f32bf16_scalar_4x4, scalar, scalar, bf16, 4, 4)
WC_ATTENTION_ENTRY(attention_f32s8_scalar_4x4, scalar, scalar, s8, 4, 4)
WC_ATTENTION_ENTRY(attention_f32q4g32_scalar_4x4, scalar, scalar, q4, 4, 4)
