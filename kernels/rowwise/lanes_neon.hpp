// What row-wise ops need of four floats beside common/lanes_neon.hpp, under the names of lanes_scalar.hpp.
#pragma once

#if defined(__aarch64__)
#include <stdint.h>

#include "../common/lanes_neon.hpp"

WC_TARGET_BEGIN(neon)
namespace wc {

struct row_lanes_neon : lanes_neon {
  using nans = uint32x4_t;
  static WC_INLINE nans no_nans() { return vdupq_n_u32(0); }
  static WC_INLINE nans or_nan(nans so_far, values a, values b) {
    return vornq_u32(so_far, vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b)));
  }
  static WC_INLINE bool any(nans found) { return vmaxvq_u32(found) != 0; }
  static WC_INLINE bool any_greater(values a, values b) { return vmaxvq_u32(vcgtq_f32(a, b)) != 0; }
  static WC_INLINE bool any_not_less(values a, values b) { return vmaxvq_u32(vcgeq_f32(a, b)) != 0; }
  static WC_INLINE uint32_t not_less(values v, values bound) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(v, bound), bit));
  }
  // Neighbours exchanged.
  static WC_INLINE values swap_pairs(values v) { return vrev64q_f32(v); }
  // e^x for x ≤ 0, see exp_nonpositive_scalar.
  struct exponential {
    template <int count>
    WC_INLINE void each(values (&v)[count]) const {
      exp_nonpositive_each(v);
    }
  };
};

}  // namespace wc
WC_TARGET_END
#endif
