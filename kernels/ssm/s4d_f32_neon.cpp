// A diagonal state space as a recurrence in f32 with NEON; the method stands in s4d.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/denormals.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "../common/panels.hpp"
#include "s4d.hpp"

extern "C" wc_status s4d_f32_scan_neon(const wc_s4d_args *g) { return s4d_scan<wc::lanes_neon>::run(*g); }
WC_TARGET_END
#endif
