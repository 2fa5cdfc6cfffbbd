// The selective scan in f32 with AVX-512; the method stands in mamba1.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/denormals.hpp"
#include "../common/lanes_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
#include "../common/panels.hpp"
#include "mamba1.hpp"

extern "C" wc_status mamba1_f32_avx512(const wc_mamba1_args *g) { return mamba1<wc::lanes_avx512>::run(*g); }
WC_TARGET_END
#endif
