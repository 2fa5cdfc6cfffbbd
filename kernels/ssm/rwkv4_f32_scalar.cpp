// RWKV-4's WKV operator in f32 without vectors; the method stands in rwkv4.hpp.
#include "../common/denormals.hpp"
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "../common/panels.hpp"
#include "rwkv4.hpp"

extern "C" wc_status rwkv4_f32_scalar(const wc_rwkv4_args *g) { return rwkv4<wc::lanes_scalar>::run(*g); }
