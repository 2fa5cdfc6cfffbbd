// What row-wise ops need of one float at a time beside common/lanes_scalar.hpp.
#pragma once

#include <stdint.h>

#include "../common/lanes_scalar.hpp"

namespace wc {

struct row_lanes_scalar : lanes_scalar {
  // Whether some lane was ever a NaN.
  using nans = bool;
  static WC_INLINE nans no_nans() { return false; }
  static WC_INLINE nans or_nan(nans so_far, values a, values b) { return so_far | (a != a) | (b != b); }
  static WC_INLINE bool any(nans found) { return found; }
  // Whether some lane of a exceeds b's.
  static WC_INLINE bool any_greater(values a, values b) { return a > b; }
  static WC_INLINE bool any_not_less(values a, values b) { return a >= b; }
  // The lanes of v that are at least `bound`, as bits.
  static WC_INLINE uint32_t not_less(values v, values bound) { return v >= bound ? 1 : 0; }
  // e^x for x ≤ 0, see exp_nonpositive_scalar.
  struct exponential {
    template <int count>
    WC_INLINE void each(values (&v)[count]) const {
      exp_nonpositive_each(v);
    }
  };
};

}  // namespace wc
