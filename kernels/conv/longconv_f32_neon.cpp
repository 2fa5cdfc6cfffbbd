// Long causal convolution in f32 with NEON; the methods stand in long_conv_fft.hpp and long_conv_direct.hpp.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>

#include "../common/lanes_neon.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(neon)
#include "../common/panels.hpp"
#include "long_conv_direct.hpp"
#include "long_conv_fft.hpp"

namespace wc {
extern const wc_long_conv_memory long_conv_memory_fft_neon, long_conv_memory_direct_neon;
const wc_long_conv_memory long_conv_memory_fft_neon = {
    fft_shared_bytes, fft_panel_bytes, long_conv_fft<lanes_neon>::scratch_bytes, fft_share,
    long_conv_fft<lanes_neon>::pack};
const wc_long_conv_memory long_conv_memory_direct_neon = {
    direct_none, direct_panel_bytes, long_conv_direct<lanes_neon>::scratch_bytes, direct_share,
    long_conv_direct<lanes_neon>::pack};
}  // namespace wc

extern "C" wc_status longconv_f32_fft_neon(const wc_long_conv_args *g) {
  return long_conv_fft<wc::lanes_neon>::run(*g);
}

extern "C" wc_status longconv_f32_direct_neon(const wc_long_conv_args *g) {
  return long_conv_direct<wc::lanes_neon>::run(*g);
}
WC_TARGET_END
#endif
