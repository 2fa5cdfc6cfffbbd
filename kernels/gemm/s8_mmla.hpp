// SMMLA as the Dot of mmla_tile.hpp. No include guard on purpose: each file includes this inside its own
// target region and unnamed namespace, after sums.hpp.

struct s8_mmla : s8_sums {
  using element = int8_t;
  static constexpr int kr = 8;
  static WC_INLINE sum dot(sum s, uint64x2_t rows, simd::s32 columns) {
    return vmmlaq_s32(s, vreinterpretq_s8_u64(rows), vreinterpretq_s8_s32(columns));
  }
  template <class C>
  static WC_INLINE sum start(const wc_gemm_args &, const C &, int) {
    return simd::zero_s32();
  }
};
