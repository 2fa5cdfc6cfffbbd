// The selective scan in f32 with NEON; the method stands in mamba1.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/denormals.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "../common/panels.hpp"
#include "mamba1.hpp"

extern "C" wc_status mamba1_f32_neon(const wc_mamba1_args *g) { return mamba1<wc::lanes_neon>::run(*g); }
WC_TARGET_END
#endif
