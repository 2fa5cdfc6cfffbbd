// Appending keys and values to a cache, laid out as layout.hpp says. Include inside the target region of the ISA,
// after a `transposer` of that ISA; nothing is included here.

namespace {

// Row-wise writers of one block's parts. `key`: the key's place in its block.
template <class S, int n>
struct block_writer {
  using layout = cache_layout<S, n>;

  static WC_INLINE void put_key(const layout &l, char *block, size_t key, const float *x) {
    if constexpr (S::bits == 32) {
      float *to = reinterpret_cast<float *>(block) + key;
      for (size_t c = 0; c < l.d; ++c) to[c * n] = x[c];
    } else if constexpr (S::bits == 16) {
      uint32_t *to = reinterpret_cast<uint32_t *>(block) + key;
      size_t c = 0;
      for (; c + 2 <= l.d; c += 2) to[c / 2 * n] = bf16_bits(x[c]) | bf16_bits(x[c + 1]) << 16;
      if (c < l.d) to[c / 2 * n] = bf16_bits(x[c]);
    } else {
      auto *scales = reinterpret_cast<typename S::scale *>(block + l.key_values) + key;
      const size_t group = S::group == whole ? l.d : S::group;
      for (size_t g = 0; g < l.groups; ++g) {
        const size_t begin = g * group, count = l.d - begin < group ? l.d - begin : group;
        const float scale = store<S>::scale_of(x + begin, count);
        scales[g * n] = store<S>::stored_scale(scale);
        uint8_t *to = reinterpret_cast<uint8_t *>(block) + key;
        if constexpr (S::bits == 8) {
          for (size_t c = begin; c < begin + count; ++c) to[c * n] = static_cast<uint8_t>(store<S>::code(x[c], scale));
        } else {
          for (size_t c = begin; c < begin + count; c += 2) {
            const int high = c + 1 < l.d ? store<S>::code(x[c + 1], scale) : 0;
            to[c / 2 * n] = static_cast<uint8_t>((store<S>::code(x[c], scale) + 8) | (high + 8) << 4);
          }
        }
      }
    }
  }

  static WC_INLINE void put_value(const layout &l, char *block, size_t key, const float *x) {
    for (size_t g = 0; g < l.groups; ++g) {
      const size_t group = S::group == whole ? l.d : S::group, begin = g * group;
      const size_t count = l.d - begin < group ? l.d - begin : group;
      reinterpret_cast<typename S::scale *>(block + l.value_values)[g * n + key] =
          store<S>::stored_scale(store<S>::scale_of(x + begin, count));
    }
    for (size_t c = 0; c < l.d; c += n, block += layout::panel_bytes) {
      const size_t count = l.d - c < n ? l.d - c : n;
      if constexpr (S::bits == 32) {
        float *to = reinterpret_cast<float *>(block) + key * n;
        if (count == n) {
          __builtin_memcpy(to, x + c, n * sizeof(float));  // a fixed size: no call
          continue;
        }
        for (size_t i = 0; i < count; ++i) to[i] = x[c + i];
        for (size_t i = count; i < n; ++i) to[i] = 0;
      } else if constexpr (S::bits == 16) {
        uint16_t *to = reinterpret_cast<uint16_t *>(block) + key / 2 * 2 * n + key % 2;
        for (size_t i = 0; i < count; ++i) to[2 * i] = static_cast<uint16_t>(bf16_bits(x[c + i]));
        for (size_t i = count; i < n; ++i) to[2 * i] = 0;
      } else {
        const size_t group = S::group == whole ? l.d : S::group, begin = c / group * group;
        const float scale = store<S>::scale_of(x + begin, l.d - begin < group ? l.d - begin : group);
        if constexpr (S::bits == 8) {
          int8_t *to = reinterpret_cast<int8_t *>(block) + key * n;
          for (size_t i = 0; i < count; ++i) to[i] = static_cast<int8_t>(store<S>::code(x[c + i], scale));
          for (size_t i = count; i < n; ++i) to[i] = 0;
        } else {
          uint8_t *to = reinterpret_cast<uint8_t *>(block) + key / 2 * n;
          const int shift = key % 2 * 4;
          for (size_t i = 0; i < n; ++i) {
            const int code = i < count ? store<S>::code(x[c + i], scale) + 8 : 8;
            to[i] = static_cast<uint8_t>((to[i] & (15 << (4 - shift))) | code << shift);
          }
        }
      }
    }
  }

  // Keys that are not appended yet: zeros.
  static WC_INLINE void clear(const layout &l, char *keys, char *values) {
    __builtin_memset(keys, 0, l.key_bytes);
    __builtin_memset(values, 0, l.value_bytes);
  }
};

// Whole groups of `side` keys by transposing; the rest row by row.
template <class S, int n, class T>
wc_status attention_append(
    void *cache, size_t capacity, size_t d, size_t first, size_t count, const float *k, size_t ldk, const float *v,
    size_t ldv) {
  if (first + count > capacity) return WC_INVALID_ARGUMENT;
  using writer = block_writer<S, n>;
  const cache_layout<S, n> l(d);
  char *keys = static_cast<char *>(cache), *values = keys + l.first_value(capacity);
  const size_t end = first + count;
  for (size_t j = first; j < end;) {
    char *key_block = keys + j / n * l.key_bytes, *value_block = values + j / n * l.value_bytes;
    const size_t at = j % n, stop = end - j < n - at ? at + (end - j) : n;
    // A block that is begun but not filled.
    if (at == 0 && stop < n) writer::clear(l, key_block, value_block);
    const float *row = k + (j - first) * ldk;
    size_t i = at;
    if constexpr (T::side > 1 && S::bits >= 16) {
      for (; i % T::side && i < stop; ++i, row += ldk) writer::put_key(l, key_block, i, row);
      for (; i + T::side <= stop; i += T::side, row += T::side * ldk) {
        uint32_t *to = reinterpret_cast<uint32_t *>(key_block) + i;
        size_t c = 0;
        if constexpr (S::bits == 32) {
          for (; c + T::side <= d; c += T::side) {
            T::transpose(row + c, ldk, reinterpret_cast<float *>(to + c * n), n);
          }
          for (; c < d; ++c) {
            for (size_t r = 0; r < T::side; ++r) __builtin_memcpy(to + c * n + r, row + r * ldk + c, sizeof(float));
          }
        } else {
          for (; c < d; c += 2 * T::side) {
            uint32_t pairs[T::side][T::side] = {};
            const size_t values_left = d - c < 2 * T::side ? d - c : 2 * T::side;
            for (size_t r = 0; r < T::side; ++r) {
              const float *x = row + r * ldk + c;
              for (size_t p = 0; p < values_left / 2; ++p) pairs[r][p] = bf16_bits(x[2 * p]) | bf16_bits(x[2 * p + 1]) << 16;
              if (values_left % 2) pairs[r][values_left / 2] = bf16_bits(x[values_left - 1]);
            }
            uint32_t turned[T::side][T::side];
            T::transpose(reinterpret_cast<const float *>(pairs), T::side, reinterpret_cast<float *>(turned), T::side);
            for (size_t p = 0; p < (values_left + 1) / 2; ++p) {
              __builtin_memcpy(to + (c / 2 + p) * n, turned[p], sizeof turned[p]);
            }
          }
        }
      }
    }
    for (; i < stop; ++i, row += ldk) writer::put_key(l, key_block, i, row);
    for (i = at; i < stop; ++i) {
      const float *x = v + (j - first + i - at) * ldv;
      if constexpr (S::bits == 16) {
        if (i % 2 == 0 && i + 1 < stop) {
          for (size_t c = 0; c < d; c += n) {
            uint32_t *to = reinterpret_cast<uint32_t *>(value_block + c / n * cache_layout<S, n>::panel_bytes) + i / 2 * n;
            const size_t columns = d - c < n ? d - c : n;
            for (size_t o = 0; o < columns; ++o) to[o] = bf16_bits(x[c + o]) | bf16_bits(x[ldv + c + o]) << 16;
            for (size_t o = columns; o < n; ++o) to[o] = 0;
          }
          ++i;
          continue;
        }
      }
      writer::put_value(l, value_block, i, x);
    }
    j += stop - at;
  }
  return WC_OK;
}

}  // namespace
