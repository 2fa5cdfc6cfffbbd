// A diagonal state space as a recurrence in f32 with AVX2; the method stands in s4d.hpp.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/denormals.hpp"
#include "../common/lanes_avx2.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx2)
#include "../common/panels.hpp"
#include "s4d.hpp"

extern "C" wc_status s4d_f32_scan_avx2(const wc_s4d_args *g) { return s4d_scan<wc::lanes_avx2>::run(*g); }
WC_TARGET_END
#endif
