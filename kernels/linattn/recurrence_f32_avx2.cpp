// The linear-attention family in f32 with AVX2; the method stands in recurrence_f32.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/denormals.hpp"
#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"
#include "rules.hpp"

WC_TARGET_BEGIN(avx2)
#include "prepare.hpp"
#include "recurrence_f32.hpp"

WC_RECURRENCES(avx2, wc::lanes_avx2, 8, 8)
WC_TARGET_END
#endif
