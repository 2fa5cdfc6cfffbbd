// The row-wise ops of a decoder for scalar.
#include <stdint.h>
#include <string.h>

#include "CWallclockKernels.h"
#include "lanes_scalar.hpp"

#include "rows.hpp"
#include "decoder_f32.hpp"
#include "select_f32.hpp"
#include "sample_f32.hpp"
#include "decoder_entries.hpp"

WC_DECODER_ENTRIES(scalar)
