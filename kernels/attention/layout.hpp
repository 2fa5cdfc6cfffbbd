// How a head's keys and values lie in the cache of a kernel whose panels have n keys or columns.
//
// Keys: blocks of n, each [d/step][n][step] values, then a row of n scales for each group along d.
// Values: blocks of n keys, each [d/n] panels of [n/step][n][step] (key pair, column, key of the pair), then
// scales as the keys have. All keys' blocks come first, then all values'; a block is a multiple of 64 bytes.
// d is padded with zeros, and so are the keys of a block that none has been appended to.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

namespace {

WC_INLINE size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// The types of a cache. step: values along the sum that lie together; group: values along d of one scale, 0: no
// scales, `whole`: one a key.
constexpr size_t whole = ~size_t{0};
struct stored_f32 {
  static constexpr size_t bits = 32, step = 1, group = 0;
  using scale = float;
};
struct stored_bf16 {
  static constexpr size_t bits = 16, step = 2, group = 0;
  using scale = float;
};
struct stored_s8 {
  static constexpr size_t bits = 8, step = 1, group = whole;
  using scale = float;
};
struct stored_q4 {  // the pair's first value in the low half of a byte; value = scale·(code − 8)
  static constexpr size_t bits = 4, step = 2, group = 32;
  using scale = uint16_t;  // f16
};

template <class S, int n>
struct cache_layout {
  size_t d, groups, key_values, key_bytes, value_values, value_bytes;

  static constexpr size_t panel_bytes = n * n * S::bits / 8;  // of values
  static constexpr size_t row_bytes = n * S::step * S::bits / 8;

  WC_INLINE explicit cache_layout(size_t depth) : d(depth) {
    groups = S::group == 0 ? 0 : S::group == whole ? 1 : (d + S::group - 1) / S::group;
    const size_t scales = groups * n * sizeof(typename S::scale);
    key_values = round_up(d, S::step) / S::step * row_bytes;
    key_bytes = round_up(key_values + scales, 64);
    value_values = round_up(d, n) / n * panel_bytes;
    value_bytes = round_up(value_values + scales, 64);
  }
  WC_INLINE size_t blocks(size_t keys) const { return (keys + n - 1) / n; }
  WC_INLINE size_t bytes(size_t capacity) const { return blocks(capacity) * (key_bytes + value_bytes); }
  WC_INLINE size_t first_value(size_t capacity) const { return blocks(capacity) * key_bytes; }
};

// Bytes of a cache of `capacity` keys and values of one head.
template <class S, int n>
size_t attention_cache_bytes(size_t capacity, size_t d) {
  return cache_layout<S, n>(d).bytes(capacity);
}

}  // namespace
