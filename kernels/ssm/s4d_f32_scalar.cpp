// A diagonal state space as a recurrence in f32 without vectors; the method stands in s4d.hpp.
#include "../common/denormals.hpp"
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "../common/panels.hpp"
#include "s4d.hpp"

extern "C" wc_status s4d_f32_scan_scalar(const wc_s4d_args *g) { return s4d_scan<wc::lanes_scalar>::run(*g); }
