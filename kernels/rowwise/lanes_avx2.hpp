// What row-wise ops need of eight floats beside common/lanes_avx2.hpp, under the names of lanes_scalar.hpp.
#pragma once

#if defined(__x86_64__)
#include <stdint.h>

#include "../common/lanes_avx2.hpp"

WC_TARGET_BEGIN(avx2)
namespace wc {

struct row_lanes_avx2 : lanes_avx2 {
  using nans = __m256;
  static WC_INLINE nans no_nans() { return _mm256_setzero_ps(); }
  static WC_INLINE nans or_nan(nans so_far, values a, values b) {
    return _mm256_or_ps(so_far, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
  }
  static WC_INLINE bool any(nans found) { return _mm256_movemask_ps(found) != 0; }
  static WC_INLINE bool any_greater(values a, values b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
  }
  static WC_INLINE bool any_not_less(values a, values b) { return not_less(a, b) != 0; }
  static WC_INLINE uint32_t not_less(values v, values bound) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(v, bound, _CMP_GE_OQ)));
  }
  // Neighbours exchanged.
  static WC_INLINE values swap_pairs(values v) { return _mm256_permute_ps(v, 0xb1); }
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
