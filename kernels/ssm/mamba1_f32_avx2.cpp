// The selective scan in f32 with AVX2; the method stands in mamba1.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/denormals.hpp"
#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "../common/panels.hpp"
#include "mamba1.hpp"

extern "C" wc_status mamba1_f32_avx2(const wc_mamba1_args *g) { return mamba1<wc::lanes_avx2>::run(*g); }
WC_TARGET_END
#endif
