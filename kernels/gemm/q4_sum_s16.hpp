// Sums of 4-bit codes times s8 in 16 bits, for ISAs that add products of pairs there. No include guard on
// purpose: each file includes this inside its own target region and unnamed namespace, after q4_tile.hpp.
//
// A pair of u4·s8 products is at most 2·15·128 = 3840 in size, so eight k-steps (32 values) fit s16 before
// they are widened.
struct sum_in_s16 {
  static constexpr int accumulators = simd::accumulators;
  template <int R, int X, int G, class Codes>
  static WC_INLINE void group(
      simd::s32 (&sum)[R][X], const int8_t *a, size_t lda, const Codes &codes) {
#pragma nounroll
    for (int block = 0; block < G / 32; ++block) {
      simd::s32 part[R][X];
#pragma unroll
      for (int step = 0; step < 8; ++step) {
        simd::s32 code[X];
#pragma unroll
        for (int x = 0; x < X; ++x) code[x] = codes.load(block * 8 + step, x);
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const simd::s32 value = broadcast_word(a + r * lda + block * 32 + step * 4);
#pragma unroll
          for (int x = 0; x < X; ++x) {
            const simd::s32 product = simd::dot_u8s8_s16(code[x], value);
            part[r][x] = step == 0 ? product : simd::add_s16(part[r][x], product);
            settle(part[r][x]);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
#pragma unroll
        for (int x = 0; x < X; ++x) sum[r][x] = simd::add(sum[r][x], simd::sum_s16_pairs(part[r][x]));
      }
    }
  }
};
