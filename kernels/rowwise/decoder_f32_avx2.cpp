// The row-wise ops of a decoder for avx2.
#if defined(__x86_64__)
#include <stdint.h>
#include <string.h>

#include "CWallclockKernels.h"
#include "lanes_avx2.hpp"

WC_TARGET_BEGIN(avx2)
#include "rows.hpp"
#include "decoder_f32.hpp"
#include "select_f32.hpp"
#include "sample_f32.hpp"
#include "decoder_entries.hpp"

WC_DECODER_ENTRIES(avx2)
WC_TARGET_END
#endif
