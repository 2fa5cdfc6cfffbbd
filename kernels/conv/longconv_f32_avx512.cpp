// Long causal convolution in f32 with AVX-512; the methods stand in long_conv_fft.hpp and long_conv_direct.hpp.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "../common/lanes_avx512.hpp"
#include "CWallclockKernels.h"

WC_TARGET_BEGIN(avx512)
#include "../common/panels.hpp"
#include "long_conv_direct.hpp"
#include "long_conv_fft.hpp"

namespace wc {
extern const wc_long_conv_memory long_conv_memory_fft_avx512, long_conv_memory_direct_avx512;
const wc_long_conv_memory long_conv_memory_fft_avx512 = {
    fft_shared_bytes, fft_panel_bytes, long_conv_fft<lanes_avx512>::scratch_bytes, fft_share,
    long_conv_fft<lanes_avx512>::pack};
const wc_long_conv_memory long_conv_memory_direct_avx512 = {
    direct_none, direct_panel_bytes, long_conv_direct<lanes_avx512>::scratch_bytes, direct_share,
    long_conv_direct<lanes_avx512>::pack};
}  // namespace wc

extern "C" wc_status longconv_f32_fft_avx512(const wc_long_conv_args *g) {
  return long_conv_fft<wc::lanes_avx512>::run(*g);
}

extern "C" wc_status longconv_f32_direct_avx512(const wc_long_conv_args *g) {
  return long_conv_direct<wc::lanes_avx512>::run(*g);
}
WC_TARGET_END
#endif
