// Long causal convolution in f32 without vectors; the methods stand in long_conv_fft.hpp and long_conv_direct.hpp.
#include <math.h>

#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"

#include "../common/panels.hpp"
#include "long_conv_direct.hpp"
#include "long_conv_fft.hpp"

namespace wc {
extern const wc_long_conv_memory long_conv_memory_fft_scalar, long_conv_memory_direct_scalar;
const wc_long_conv_memory long_conv_memory_fft_scalar = {
    fft_shared_bytes, fft_panel_bytes, long_conv_fft<lanes_scalar>::scratch_bytes, fft_share,
    long_conv_fft<lanes_scalar>::pack};
const wc_long_conv_memory long_conv_memory_direct_scalar = {
    direct_none, direct_panel_bytes, long_conv_direct<lanes_scalar>::scratch_bytes, direct_share,
    long_conv_direct<lanes_scalar>::pack};
}  // namespace wc

extern "C" wc_status longconv_f32_fft_scalar(const wc_long_conv_args *g) {
  return long_conv_fft<wc::lanes_scalar>::run(*g);
}

extern "C" wc_status longconv_f32_direct_scalar(const wc_long_conv_args *g) {
  return long_conv_direct<wc::lanes_scalar>::run(*g);
}
