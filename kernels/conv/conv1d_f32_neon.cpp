// Short causal convolution in f32 with NEON; the method stands in conv1d.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "../common/panels.hpp"
#include "conv1d.hpp"

extern "C" wc_status conv1d_f32_neon(const wc_conv1d_args *g) { return conv1d<wc::lanes_neon>::run(*g); }
WC_TARGET_END
#endif
