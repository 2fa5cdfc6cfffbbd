// RWKV-4's WKV operator in f32 with AVX2; the method stands in rwkv4.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/denormals.hpp"
#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "../common/panels.hpp"
#include "rwkv4.hpp"

extern "C" wc_status rwkv4_f32_avx2(const wc_rwkv4_args *g) { return rwkv4<wc::lanes_avx2>::run(*g); }
WC_TARGET_END
#endif
