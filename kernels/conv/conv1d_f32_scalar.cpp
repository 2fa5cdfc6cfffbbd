// Short causal convolution in f32 without vectors; the method stands in conv1d.hpp.
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "../common/panels.hpp"
#include "conv1d.hpp"

extern "C" wc_status conv1d_f32_scalar(const wc_conv1d_args *g) { return conv1d<wc::lanes_scalar>::run(*g); }
