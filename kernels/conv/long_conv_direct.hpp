// Causal convolution with a filter as long as the sequence, as the sums it is defined by: for short sequences.
//
// Channels are lanes. Eight tokens of a vector go together: each row of the sequence is loaded once for the eight
// sums it belongs to. Rows are brought together first, since those of a wide sequence share few sets of the cache.
//
// Include inside the target region of the ISA, after panels.hpp.

namespace {

inline size_t direct_none(size_t) { return 0; }
inline size_t direct_panel_bytes(size_t length) { return length * panel * sizeof(float); }
inline wc_status direct_share(size_t, void *) { return WC_OK; }

template <class L>
struct long_conv_direct {
  using values = typename L::values;
  static constexpr size_t width = L::width;

  static size_t scratch_bytes(size_t length) { return length * width * sizeof(float); }

  static wc_status pack(
      size_t length, size_t channels, const float *filter, size_t ld, const void *, void *packed, void *) {
    float *to = static_cast<float *>(packed);
    for (size_t c = 0; c < (channels + panel - 1) / panel * panel; c += width) {
      for (size_t s = 0; s < length; ++s, to += width) {
        L::store(to, load_some<L>(filter + s * ld + c, static_cast<ptrdiff_t>(channels) - static_cast<ptrdiff_t>(c)));
      }
    }
    return WC_OK;
  }

  // Tokens t … t + count − 1 of one vector.
  template <int count>
  static WC_INLINE void tile(const wc_long_conv_args &g, const float *x, const float *filter, size_t t, size_t c) {
    const ptrdiff_t left = static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(c);
    const values skip = g.skip ? load_some<L>(g.skip + c, left) : L::set(0);
    values sum[count];
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) sum[i] = L::mul(skip, L::load(x + (t + static_cast<size_t>(i)) * width));
    for (size_t row = 0; row <= t; ++row) {
      const values v = L::load(x + row * width);
      const float *h = filter + (t - row) * width;
#pragma clang loop unroll(full)
      for (int i = 0; i < count; ++i) sum[i] = L::multiply_add(v, L::load(h + i * width), sum[i]);
    }
#pragma clang loop unroll(full)
    for (int row = 1; row < count; ++row) {
      const values v = L::load(x + (t + static_cast<size_t>(row)) * width);
#pragma clang loop unroll(full)
      for (int i = row; i < count; ++i) sum[i] = L::multiply_add(v, L::load(filter + (i - row) * width), sum[i]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) store_some<L>(g.y + (t + static_cast<size_t>(i)) * g.ldy + c, sum[i], left);
  }

  static WC_INLINE wc_status run(const wc_long_conv_args &g) {
    if (g.tokens > g.length || !g.filter || !g.scratch) return WC_INVALID_ARGUMENT;
    float *x = static_cast<float *>(g.scratch);
    for (size_t c = 0; c < g.channels; c += width) {
      const ptrdiff_t left = static_cast<ptrdiff_t>(g.channels) - static_cast<ptrdiff_t>(c);
      for (size_t t = 0; t < g.tokens; ++t) L::store(x + t * width, load_some<L>(g.x + t * g.ldx + c, left));
      const float *filter = static_cast<const float *>(g.filter) + c * g.length;
      size_t t = 0;
      for (; t + 8 <= g.tokens; t += 8) tile<8>(g, x, filter, t, c);
      for (; t < g.tokens; ++t) tile<1>(g, x, filter, t, c);
    }
    return WC_OK;
  }
};

}  // namespace
