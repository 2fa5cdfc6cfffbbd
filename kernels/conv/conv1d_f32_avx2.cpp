// Short causal convolution in f32 with AVX2; the method stands in conv1d.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "../common/panels.hpp"
#include "conv1d.hpp"

extern "C" wc_status conv1d_f32_avx2(const wc_conv1d_args *g) { return conv1d<wc::lanes_avx2>::run(*g); }
WC_TARGET_END
#endif
