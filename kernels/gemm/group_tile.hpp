// The register tile of 8-bit weights with a scale per 32 along K, against activations with the same. No
// include guard on purpose: each file includes this inside its own target region and unnamed namespace,
// after sums.hpp and dot_tile.hpp.
//
// Per group:  f = fma((float)Σ · a_scale, scale, f), in ascending order, so every ISA gives the same bits.
//
// Dot is that of dot_tile.hpp (element, kr, step_bytes, load, broadcast, dot, parts = 1) and
//   centre   what load adds to weights; sums start at −centre·Σa to make up for it

template <class Dot, int MR, int NR>
struct group_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = simd::accumulators / 2;  // beside the f32 bank
  static constexpr bool fetches = true;
  static constexpr int group = 32, steps = group / Dot::kr;
  static constexpr size_t step_bytes = size_t(NR / simd::lanes) * Dot::step_bytes;
  static constexpr size_t codes_bytes = steps * step_bytes, record_bytes = codes_bytes + size_t(NR) * 2;

  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.k % group == 0 && (g.k == 0 || (g.a_scale && (Dot::centre == 0 || g.a_sum)));
  }
  static WC_INLINE const char *panel(const wc_gemm_args &, const char *b) { return b; }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int V = NR / simd::lanes, X = P * V;
    simd::f32 bank[R][X];
    start_sums<float_sums>(g, c, row, bank);
    const auto *a = static_cast<const typename Dot::element *>(g.a) + row * g.lda;
    const float *a_scale = g.a_scale + row * g.lda_scale;
    const int32_t *a_sum = g.a_sum + (Dot::centre ? row * g.lda_sum : 0);
    const size_t lda = g.lda, groups = g.k / group;
    for (size_t i = 0, turn = 0; i < groups; ++i, turn = c.after(turn), a += group, b += record_bytes) {
      if constexpr (Stream) {
        const size_t ahead = turn == c.turn ? c.ahead : 0;
#pragma unroll
        for (int p = 0; p < P; ++p) {
#pragma unroll
          for (size_t line = 0; line < record_bytes; line += 64) {
            __builtin_prefetch(b + p * c.panel_bytes + ahead + line);
          }
        }
      }
      simd::s32 sum[R][X];
#pragma unroll
      for (int r = 0; r < R; ++r) {
        simd::s32 start = simd::zero_s32();
        if constexpr (Dot::centre != 0) start = simd::broadcast(-Dot::centre * a_sum[r * g.lda_sum + i]);
#pragma unroll
        for (int x = 0; x < X; ++x) sum[r][x] = start;
      }
#pragma clang loop unroll_count(4)
      for (int step = 0; step < steps; ++step) {
        const char *at = b + step * step_bytes;
        typename Dot::operand weights[X];
#pragma unroll
        for (int x = 0; x < X; ++x) weights[x] = Dot::load(c.panel(at, x) + x % V * Dot::step_bytes, 0);
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const auto value = Dot::broadcast(a + r * lda + step * Dot::kr);
#pragma unroll
          for (int x = 0; x < X; ++x) {
            sum[r][x] = Dot::dot(sum[r][x], value, weights[x]);
            settle(sum[r][x]);
          }
        }
      }
#pragma unroll
      for (int x = 0; x < X; ++x) {
        const simd::f32 scale = simd::load_f16(c.panel(b, x) + codes_bytes + x % V * simd::lanes * 2);
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const simd::f32 part = simd::mul(simd::to_f32(sum[r][x]), simd::broadcast(a_scale[r * g.lda_scale + i]));
          bank[r][x] = simd::fma(part, scale, bank[r][x]);
        }
      }
    }
    end_sums<float_sums>(g, c, row, bank);
  }
};
