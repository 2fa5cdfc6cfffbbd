// Blocks of a row, full or partial, for templates over the lanes of an ISA. Include inside the target region; nothing is
// included here.

namespace {

// (first ≤ columns): one block of full or partial width at column `first`.
template <class L>
WC_INLINE typename L::values load_at(const float *row, size_t first, size_t columns) {
  const size_t left = columns - first;
  return left >= L::width ? L::load(row + first) : L::load_first(row + first, left);
}

// The same with `other` in the place of what is beyond the row.
template <class L>
WC_INLINE typename L::values load_at(const float *row, size_t first, size_t columns, float other) {
  const size_t left = columns - first;
  return left >= L::width ? L::load(row + first) : L::keep_first(L::load_first(row + first, left), left, other);
}

template <class L>
WC_INLINE void store_at(float *row, size_t first, size_t columns, typename L::values v) {
  const size_t left = columns - first;
  if (left >= L::width) {
    L::store(row + first, v);
  } else {
    L::store_first(row + first, v, left);
  }
}

}  // namespace
