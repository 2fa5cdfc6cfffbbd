// RWKV-4's WKV operator in f32 with NEON; the method stands in rwkv4.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/denormals.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "../common/panels.hpp"
#include "rwkv4.hpp"

extern "C" wc_status rwkv4_f32_neon(const wc_rwkv4_args *g) { return rwkv4<wc::lanes_neon>::run(*g); }
WC_TARGET_END
#endif
