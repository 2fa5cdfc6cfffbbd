// The row-wise ops of a decoder for neon.
#if defined(__aarch64__)
#include <stdint.h>
#include <string.h>

#include "CWallclockKernels.h"
#include "lanes_neon.hpp"

WC_TARGET_BEGIN(neon)
#include "rows.hpp"
#include "decoder_f32.hpp"
#include "select_f32.hpp"
#include "sample_f32.hpp"
#include "decoder_entries.hpp"

WC_DECODER_ENTRIES(neon)
WC_TARGET_END
#endif
