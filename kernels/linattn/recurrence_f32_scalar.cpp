// The linear-attention family in f32 without vectors; the method stands in recurrence_f32.hpp.
#include "../common/denormals.hpp"
#include "../common/lanes_scalar.hpp"
#include "CWallclockKernels.h"
#include "rules.hpp"

#include "prepare.hpp"
#include "recurrence_f32.hpp"

WC_RECURRENCES(scalar, wc::lanes_scalar, 1, 8)
