// The register tile of 4-bit weights against s8 activations, and what expands a panel. No include
// guard on purpose: each file includes this inside its own target region and unnamed namespace,
// after sums.hpp and dot_tile.hpp.
//
// Per group of G values along K:  f = fma((float)(Σ − 8·a_sum), scale, f), in ascending order, so
// every ISA gives the same bits. Codes are unsigned and go in as the u8 operand; −8·Σa is where the
// s32 sum starts, so the zero point costs nothing. With zero points of their own (Zeros) columns start at
// −zero·Σa, one more operation a sum and group. The f32 bank may lie in L1: it is touched once a group.

// The packed record of one group: G/8 pairs of k-steps, `nr` columns each, then `nr` f16 scales and, with
// Zeros, as many zero points of 4 bits.
template <int NR, int G, bool Zeros>
struct q4_record {
  static constexpr size_t pair_bytes = size_t(NR) * 4, codes_bytes = G / 8 * pair_bytes;
  static constexpr size_t zeros = codes_bytes + size_t(NR) * 2, bytes = zeros + (Zeros ? NR / 2 : 0);
  static constexpr size_t vector_bytes = size_t(simd::lanes) * 4;
};

// One expanded group in scratch: `nr` f32 scales, with Zeros `nr` s32 zero points, then G/4 k-steps of nr×4
// codes, one a byte.
template <int NR, int G, bool Zeros>
struct q4_expanded {
  static constexpr size_t zeros = size_t(NR) * 4, codes = zeros + (Zeros ? size_t(NR) * 4 : 0);
  static constexpr size_t bytes = codes + size_t(NR) * G;
};

template <int NR, int G, bool Zeros>
WC_INLINE const char *expand_codes(const wc_gemm_args &g, const char *b) {
  using record = q4_record<NR, G, Zeros>;
  char *to = static_cast<char *>(g.scratch);
  for (size_t group = 0; group < g.k / G; ++group, b += record::bytes) {
    for (size_t j = 0; j < NR; j += simd::lanes) {
      simd::store(reinterpret_cast<float *>(to) + j, simd::load_f16(b + record::codes_bytes + j * 2));
      if constexpr (Zeros) {
        simd::store_bytes(to + q4_expanded<NR, G, Zeros>::zeros + j * 4, simd::load_zeros(b + record::zeros + j / 2));
      }
    }
    to += q4_expanded<NR, G, Zeros>::codes;
    for (int pair = 0; pair < G / 8; ++pair) {
      for (size_t j = 0; j < record::pair_bytes; j += record::vector_bytes) {
        const simd::s32 x = simd::load_bytes(b + pair * record::pair_bytes + j);
        simd::store_bytes(to + j, simd::low_codes(x));
        simd::store_bytes(to + record::pair_bytes + j, simd::high_codes(x));
      }
      to += 2 * record::pair_bytes;
    }
  }
  return static_cast<const char *>(g.scratch);
}

// Where a tile reads codes and scales: packed records, of panels `panel_bytes` apart. A tile that streams
// through memory fetches `ahead` of what it reads, line by line as it reads …
template <int NR, int G, bool Zeros, bool Stream>
struct packed_codes {
  using record = q4_record<NR, G, Zeros>;
  static constexpr int vectors = NR / simd::lanes;
  static constexpr size_t group_bytes = record::bytes;
  static constexpr bool paired = true;  // has load_pair
  const char *b;
  size_t panel_bytes, ahead;

  WC_INLINE const char *panel(int x) const { return b + x / vectors * panel_bytes; }

  // K-steps 2·pair and 2·pair + 1 in the low and the high nibbles.
  WC_INLINE simd::s32 load_pair(int pair, int x) const {
    const char *at = panel(x) + pair * record::pair_bytes + x % vectors * record::vector_bytes;
    if constexpr (Stream) __builtin_prefetch(at + ahead);
    return simd::load_bytes(at);
  }
  WC_INLINE simd::s32 load(int step, int x) const {
    const char *at = panel(x) + step / 2 * record::pair_bytes + x % vectors * record::vector_bytes;
    if constexpr (Stream) {
      if (step % 2 == 0 && x % vectors * record::vector_bytes % 64 == 0) __builtin_prefetch(at + ahead);
    }
    const simd::s32 pair = simd::load_bytes(at);
    return step % 2 ? simd::high_codes(pair) : simd::low_codes(pair);
  }
  WC_INLINE simd::f32 scale(int x) const {
    const char *at = panel(x) + record::codes_bytes + x % vectors * simd::lanes * 2;
    if constexpr (Stream) {
      if (x % vectors * simd::lanes * 2 % 64 == 0) __builtin_prefetch(at + ahead);
    }
    return simd::load_f16(at);
  }
  WC_INLINE simd::s32 zero(int x) const {
    const char *at = panel(x) + record::zeros + x % vectors * simd::lanes / 2;
    if constexpr (Stream) {
      if (x % vectors == 0) __builtin_prefetch(at + ahead);
    }
    return simd::load_zeros(at);
  }
};

// … or one panel that expand_codes wrote.
template <int NR, int G, bool Zeros>
struct expanded_codes {
  using record = q4_record<NR, G, Zeros>;
  static constexpr size_t group_bytes = q4_expanded<NR, G, Zeros>::bytes;
  static constexpr bool paired = false;
  const char *b;
  size_t panel_bytes, ahead;

  WC_INLINE simd::s32 load(int step, int x) const {
    return simd::load_bytes(
        b + q4_expanded<NR, G, Zeros>::codes + size_t(step) * record::pair_bytes + x * record::vector_bytes);
  }
  WC_INLINE simd::f32 scale(int x) const {
    return simd::load(reinterpret_cast<const float *>(b) + x * simd::lanes);
  }
  WC_INLINE simd::s32 zero(int x) const {
    return simd::load_bytes(b + q4_expanded<NR, G, Zeros>::zeros + x * record::vector_bytes);
  }
};

// Sum: how a group is summed, Sum::group for R×X accumulators; `codes.load(step, x)` gives k-step `step`
// of column vector x. Expand: long blocks expand each panel into scratch first.
template <class Sum, int MR, int NR, int G, bool Expand, bool Zeros = false>
struct q4_family {
  static constexpr int mr = MR, nr = NR;
  static constexpr int accumulators = Sum::accumulators;
  static constexpr bool fetches = !Expand;

  static WC_INLINE bool ready(const wc_gemm_args &g) {
    return g.k % G == 0 && g.a_scale && (g.k == 0 || g.a_sum) && (!Expand || g.k == 0 || g.scratch);
  }
  static WC_INLINE const char *panel(const wc_gemm_args &g, const char *b) {
    if constexpr (Expand) return expand_codes<NR, G, Zeros>(g, b);
    return b;
  }

  template <int R, int P, bool Stream>
  static __attribute__((noinline)) void tile(
      const wc_gemm_args &g, const columns<NR, P> &c, const char *b, size_t row) {
    constexpr int X = P * (NR / simd::lanes);
    using source = std::conditional_t<
        Expand && !Stream, expanded_codes<NR, G, Zeros>, packed_codes<NR, G, Zeros, Stream>>;
    simd::f32 bank[R][X];
    start_sums<bank_sums>(g, c, row, bank);
    const auto *a = static_cast<const int8_t *>(g.a) + row * g.lda;
    const int32_t *a_sum = g.a_sum + row * g.lda_sum;
    const size_t groups = g.k / G;
    source codes{b, c.panel_bytes, 0};
    for (size_t group = 0, turn = 0; group < groups; ++group, turn = c.after(turn)) {
      if constexpr (Stream) codes.ahead = turn == c.turn ? c.ahead : 0;
      simd::s32 sum[R][X];
      start_group<R, X>(sum, a_sum + group, g.lda_sum, codes);
      Sum::template group<R, X, G>(sum, a, g.lda, codes);
#pragma unroll
      for (int x = 0; x < X; ++x) {
        const simd::f32 scale = codes.scale(x);
#pragma unroll
        for (int r = 0; r < R; ++r) bank[r][x] = simd::fma(simd::to_f32(sum[r][x]), scale, bank[r][x]);
      }
      a += G;
      codes.b += source::group_bytes;
    }
    end_sums<bank_sums>(g, c, row, bank);
  }

 private:
  template <int R, int X, class Codes>
  static WC_INLINE void start_group(
      simd::s32 (&sum)[R][X], const int32_t *a_sum, size_t lda_sum, const Codes &codes) {
    if constexpr (Zeros) {
      simd::multiples start[R];
#pragma unroll
      for (int r = 0; r < R; ++r) start[r] = simd::multiples_of(-a_sum[r * lda_sum]);
#pragma unroll
      for (int x = 0; x < X; ++x) {
        const simd::s32 zero = codes.zero(x);
#pragma unroll
        for (int r = 0; r < R; ++r) sum[r][x] = simd::times(start[r], zero);
      }
    } else {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const simd::s32 start = simd::broadcast(-8 * a_sum[r * lda_sum]);
#pragma unroll
        for (int x = 0; x < X; ++x) sum[r][x] = start;
      }
    }
  }
};
