// 4-bit weights against f32 activations: weights become f32 (code − zero)·scale, which is exact, and
// the rest is the f32 tile. No include guard on purpose: each file includes this inside its own
// target region and unnamed namespace, after dot_tile.hpp.
//
// Long blocks expand a panel into scratch once and pass all strips over it. A single strip expands
// 32 values of K at a time into L1, several panels abreast, and needs no scratch.

// Inner: the f32 family that multiplies what was expanded. Zeros: groups have zero points of their own, else 8.
template <class Inner, int G, bool Zeros = false>
struct f32q4_family {
  static constexpr int mr = Inner::mr, nr = Inner::nr;
  static constexpr int accumulators = Inner::accumulators;
  static constexpr bool fetches = false;
  static constexpr size_t pair_bytes = size_t(nr) * 4, codes_bytes = G / 8 * pair_bytes;
  static constexpr size_t zeros = codes_bytes + size_t(nr) * 2, record_bytes = zeros + (Zeros ? nr / 2 : 0);

  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.k % G == 0 && (g.k == 0 || g.m <= mr || g.scratch);
  }

  // The bit at which a pair of k-steps holds its K value i: bytes are K, low nibbles the first step.
  static constexpr int place(int i) { return i < 4 ? 8 * i : 8 * (i - 4) + 4; }

  // Values block·32 ..< block·32 + 32 of one record to f32 rows of `width` columns.
  static WC_INLINE void expand(const char *record, size_t block, float *to, size_t width) {
    for (size_t v = 0; v < nr / simd::lanes; ++v) {
      const simd::f32 scale = simd::load_f16(record + codes_bytes + v * simd::lanes * 2);
      simd::f32 zero = simd::mul(scale, simd::broadcast(-8.0f));
      if constexpr (Zeros) {
        const simd::s32 codes = simd::load_zeros(record + zeros + v * simd::lanes / 2);
        zero = simd::mul(simd::mul(scale, simd::broadcast(-1.0f)), simd::to_f32(codes));
      }
      // A code at bit `at` counts 2^at times too much; its scale makes up for it. Exact throughout:
      // |code − zero| ≤ 15 times an 11-bit significand.
      simd::f32 scales[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int at = place(i);
        scales[i] = at == 28 ? scale : simd::mul(scale, simd::broadcast(1.0f / static_cast<float>(1 << at)));
      }
#pragma nounroll
      for (int pair = 0; pair < 4; ++pair) {
        const simd::s32 x =
            simd::load_bytes(record + (block * 4 + pair) * pair_bytes + v * simd::lanes * 4);
        float *row = to + pair * 8 * width + v * simd::lanes;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const simd::f32 code = simd::to_f32(simd::code_in_place(x, place(i)));
          simd::store(row + i * width, simd::fma(code, scales[i], zero));
        }
      }
    }
  }

  static WC_INLINE const char *panel(const wc_gemm_args &g, const char *b) {
    float *to = static_cast<float *>(g.scratch);
    for (size_t k = 0; k < g.k; k += 32, to += 32 * nr) {
      expand(b + k / G * record_bytes, k % G / 32, to, nr);
    }
    return static_cast<const char *>(g.scratch);
  }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<nr, P> &c, const char *b, size_t row) {
    if constexpr (!Stream) {
      Inner::template tile<R, P, false>(g, c, b, row);
    } else {
      constexpr int X = P * (nr / simd::lanes);
      constexpr size_t width = size_t(P) * nr;
      alignas(64) float block[32 * width];
      simd::f32 sum[R][X];
      start_sums<float_sums>(g, c, row, sum);
      const float *a = static_cast<const float *>(g.a) + row * g.lda;
      const size_t lda = g.lda;
      for (size_t k = 0; k < g.k; k += 32) {
        const char *record = b + k / G * record_bytes;
        for (size_t p = 0; p < P; ++p) {
          const char *source = record + p * c.panel_bytes;
          for (size_t line = 0; line < 4 * pair_bytes; line += 64) {
            __builtin_prefetch(source + k % G / 8 * pair_bytes + g.prefetch + line);
          }
          expand(source, k % G / 32, block + p * nr, width);
        }
        for (int step = 0; step < 32; ++step, ++a) {
#pragma unroll
          for (int r = 0; r < R; ++r) {
            const simd::f32 value = simd::broadcast(a[r * lda]);
#pragma unroll
            for (int x = 0; x < X; ++x) {
              sum[r][x] = simd::fma(value, simd::load(block + step * width + x * simd::lanes), sum[r][x]);
            }
          }
        }
      }
      end_sums<float_sums>(g, c, row, sum);
    }
  }
};
