// softmax attention with AVX512-BF16 over a bf16 cache; the method stands in attention.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "CWallclockKernels.h"
#include "lanes_avx512.hpp"
#include "store.hpp"

WC_TARGET_BEGIN(avx512bf16)
#include "append.hpp"
#include "products_bf16.hpp"
#include "scores.hpp"
#include "tile.hpp"
//
#include "attention.hpp"
#include "entry.hpp"

WC_ATTENTION_KERNEL(attention_bf16bf16_avx512bf16_12x32, bf16_products, avx2, bf16, 12, 2)
WC_TARGET_END
#endif
