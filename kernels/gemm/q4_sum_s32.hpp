// Sums of 4-bit codes times s8 in 32 bits, for ISAs that add four such products at once. No include guard on
// purpose: each file includes this inside its own target region and unnamed namespace, after q4_tile.hpp.
//
// Vnni::dot adds four products of u8 and s8 to each s32 lane.
template <class Vnni>
struct sum_in_s32 {
  static constexpr int accumulators = simd::accumulators / 2;  // beside the f32 bank
  template <int R, int X, int G, class Codes>
  static WC_INLINE void group(
      simd::s32 (&sum)[R][X], const int8_t *a, size_t lda, const Codes &codes) {
    if constexpr (X > R && Codes::paired) {
#pragma clang loop unroll_count(4)
      for (int pair = 0; pair < G / 8; ++pair) {
        simd::s32 low[R], high[R];
#pragma unroll
        for (int r = 0; r < R; ++r) {
          low[r] = broadcast_word(a + r * lda + pair * 8);
          high[r] = broadcast_word(a + r * lda + pair * 8 + 4);
        }
#pragma unroll
        for (int x = 0; x < X; ++x) {
          const simd::s32 both = codes.load_pair(pair, x);
#pragma unroll
          for (int r = 0; r < R; ++r) {
            sum[r][x] = Vnni::dot(sum[r][x], simd::low_codes(both), low[r]);
            sum[r][x] = Vnni::dot(sum[r][x], simd::high_codes(both), high[r]);
            settle(sum[r][x]);
          }
        }
      }
    } else {
#pragma nounroll
      for (int block = 0; block < G / 32; ++block) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const int step = block * 8 + i;
          simd::s32 code[X];
#pragma unroll
          for (int x = 0; x < X; ++x) code[x] = codes.load(step, x);
#pragma unroll
          for (int r = 0; r < R; ++r) {
            const simd::s32 value = broadcast_word(a + r * lda + step * 4);
#pragma unroll
            for (int x = 0; x < X; ++x) {
              sum[r][x] = Vnni::dot(sum[r][x], code[x], value);
              settle(sum[r][x]);
            }
          }
        }
      }
    }
  }
};
