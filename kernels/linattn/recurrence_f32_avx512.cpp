// The linear-attention family in f32 with AVX-512; the method stands in recurrence_f32.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/denormals.hpp"
#include "../common/lanes_avx512.hpp"
#include "CWallclockKernels.h"
#include "rules.hpp"

WC_TARGET_BEGIN(avx512)
#include "prepare.hpp"
#include "recurrence_f32.hpp"

WC_RECURRENCES(avx512, wc::lanes_avx512, 16, 16)
WC_TARGET_END
#endif
