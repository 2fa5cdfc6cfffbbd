// The selective scan in f32 without vectors; the method stands in mamba1.hpp.
#include "../common/denormals.hpp"
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "../common/panels.hpp"
#include "mamba1.hpp"

extern "C" wc_status mamba1_f32_scalar(const wc_mamba1_args *g) { return mamba1<wc::lanes_scalar>::run(*g); }
