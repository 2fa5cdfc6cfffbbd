// What row-wise ops need of sixteen floats beside common/lanes_avx512.hpp, under the names of lanes_scalar.hpp.
#pragma once

#if defined(__x86_64__)
#include <stdint.h>

#include "../common/lanes_avx512.hpp"

WC_TARGET_BEGIN(avx512)
namespace wc {

struct row_lanes_avx512 : lanes_avx512 {
  using nans = __mmask16;
  static WC_INLINE nans no_nans() { return 0; }
  static WC_INLINE nans or_nan(nans so_far, values a, values b) {
    return static_cast<nans>(so_far | _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q));
  }
  static WC_INLINE bool any(nans found) { return found != 0; }
  static WC_INLINE bool any_greater(values a, values b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
  static WC_INLINE bool any_not_less(values a, values b) { return not_less(a, b) != 0; }
  static WC_INLINE uint32_t not_less(values v, values bound) { return _mm512_cmp_ps_mask(v, bound, _CMP_GE_OQ); }
  // Neighbours exchanged.
  static WC_INLINE values swap_pairs(values v) { return _mm512_permute_ps(v, 0xb1); }
  using exponential = exponential_avx512;
};

}  // namespace wc
WC_TARGET_END
#endif
