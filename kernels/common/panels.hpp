// Panels of channels as wallclock_ssm.h lays them out, and their last one's ragged end.
//
// Include inside the target region of the ISA; nothing is included here.

namespace {

constexpr size_t panel = WC_CHANNEL_PANEL;

// The `left` first of a vector, zeros in the rest; nothing beyond is read. left may be more than the width, or ≤ 0.
template <class L>
WC_INLINE typename L::values load_some(const float *p, ptrdiff_t left) {
  if (left >= static_cast<ptrdiff_t>(L::width)) return L::load(p);
  return left > 0 ? L::load_first(p, static_cast<size_t>(left)) : L::set(0);
}

template <class L>
WC_INLINE void store_some(float *p, typename L::values v, ptrdiff_t left) {
  if (left >= static_cast<ptrdiff_t>(L::width)) return L::store(p, v);
  if (left > 0) L::store_first(p, v, static_cast<size_t>(left));
}

}  // namespace
