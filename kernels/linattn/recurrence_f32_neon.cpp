// The linear-attention family in f32 with NEON; the method stands in recurrence_f32.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../common/denormals.hpp"
#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"
#include "rules.hpp"

WC_TARGET_BEGIN(neon)
#include "prepare.hpp"
#include "recurrence_f32.hpp"

WC_RECURRENCES(neon, wc::lanes_neon, 4, 16)
WC_TARGET_END
#endif
