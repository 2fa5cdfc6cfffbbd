// Packing of K and V with NEON, for panels of nr = 4n keys or columns. Include inside a target region,
// after attention_f32.hpp; nothing is included here.

namespace {

// to[c·stride + r] = from[r·ld + c] for r, c < 4.
WC_INLINE void transpose_4x4(const float *from, size_t ld, float *to, size_t stride) {
  const float32x4x2_t top = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + ld));
  const float32x4x2_t bottom = vtrnq_f32(vld1q_f32(from + 2 * ld), vld1q_f32(from + 3 * ld));
#pragma clang loop unroll(full)
  for (size_t i = 0; i < 2; ++i) {
    vst1q_f32(to + i * stride, vcombine_f32(vget_low_f32(top.val[i]), vget_low_f32(bottom.val[i])));
    vst1q_f32(to + (i + 2) * stride, vcombine_f32(vget_high_f32(top.val[i]), vget_high_f32(bottom.val[i])));
  }
}

template <int nr>
wc_status attention_pack_kv_neon(
    size_t tk, size_t d, const float *k, size_t ldk, const float *v, size_t ldv, void *packed) {
  float *to = static_cast<float *>(packed);
  for (size_t j = 0; j < tk; j += nr, to += nr * d) {
    for (size_t r = 0; r < nr; r += 4) {
      const float *rows = k + (j + r) * ldk;
      size_t c = 0;
      if (j + r + 4 <= tk) {
        for (; c + 4 <= d; c += 4) transpose_4x4(rows + c, ldk, to + c * nr + r, nr);
      }
      for (; c < d; ++c) {
        for (size_t i = 0; i < 4; ++i) to[c * nr + r + i] = j + r + i < tk ? rows[i * ldk + c] : 0.0f;
      }
    }
  }
  for (size_t c = 0; c < d; c += nr) {
    for (size_t j = 0; j < tk; ++j, to += nr) {
      const float *row = v + j * ldv;
      for (size_t i = 0; i < nr; i += 4) {
        const size_t left = c + i < d ? d - (c + i) : 0;
        vst1q_f32(to + i, wc::load_first_neon(row + c + i, left < 4 ? left : 4));
      }
    }
  }
  return WC_OK;
}

}  // namespace
