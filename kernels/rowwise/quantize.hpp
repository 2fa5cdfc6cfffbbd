// What the quantising kernels share: the one formula they all follow, so that they agree bit for bit,
// and the walk over rows.
//
//   c = 0, or, when offsets are asked for, ½·max x + ½·min x, in f32
//   s = max|x − c| / 127, in f32; s below the least normal float counts as 0
//   q = rne((x − c) · (1/s)), the reciprocal rounded to f32 once a row; s = 0 ⇒ q = 0
//
// |x − c|·(1/s) ≤ 127·(1 + 3·2⁻²⁴), so that no clamp is needed. A row with a NaN or an infinity gets
// scale NaN, offset 0 and q = 0.
//
// Include inside the target region of the ISA; nothing is included here.

namespace {

constexpr float least_normal = 1.17549435e-38f;
constexpr uint32_t infinity_bits = 0x7f800000u;

struct quantize_scale {
  float scale, reciprocal;  // reciprocal 0: every q of the row is 0
  bool finite;
};

// From the greatest bit pattern of |x|, which orders as the magnitudes do, infinities and NaN last.
WC_INLINE quantize_scale quantize_scale_of(uint32_t greatest_bits) {
  if (greatest_bits >= infinity_bits) return {__builtin_nanf(""), 0.0f, false};
  float greatest;
  memcpy(&greatest, &greatest_bits, sizeof greatest);
  const float scale = greatest / 127.0f;
  if (scale < least_normal) return {0.0f, 0.0f, true};
  return {scale, 1.0f / scale, true};
}

// Of one row; the bounds mean nothing where it holds a NaN or an infinity.
struct extent {
  float least, greatest;
  bool finite;
};

// Not contracted to a fused multiply-add: that would round subnormal halves differently per ISA.
WC_INLINE float centre_of(extent e) {
#pragma clang fp contract(off)
  return 0.5f * e.greatest + 0.5f * e.least;
}

WC_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

// One row, a scale a group.
template <class Kernel>
WC_INLINE void quantize_groups(const wc_rowwise_args &g, size_t r) {
  using element = typename Kernel::element;
  const float *x = g.x + r * g.ldx;
  element *q = static_cast<element *>(g.q) + r * g.ldq;
  for (size_t c = 0, i = 0; c < g.columns; c += g.group, ++i) {
    const size_t left = g.columns - c, count = left < g.group ? left : g.group;
    const quantize_scale s = quantize_scale_of(Kernel::greatest(x + c, count));
    g.scale[r * g.ld_scale + i] = s.scale;
    if (s.finite) {
      Kernel::write(x + c, count, 0.0f, s.reciprocal, q + c);
    } else {
      for (size_t j = 0; j < count; ++j) q[c + j] = Kernel::zero;
    }
    g.sums[r * g.ld_sums + i] = Kernel::group_sum(q + c, count);
  }
  for (size_t c = g.columns; c < g.ldq; ++c) q[c] = Kernel::zero;
}

// Rows of Kernel::element: Kernel::greatest finds the greatest |x| bits of a row, Kernel::range its
// extent, Kernel::write its codes, Kernel::group_sum the sum of `count` codes as s8 values, Kernel::zero is the code of 0.
template <class Kernel>
WC_INLINE wc_status quantize_rows(const wc_rowwise_args &g) {
  using element = typename Kernel::element;
  if (g.ldq < g.columns || !g.scale || (g.group && !g.sums)) return WC_INVALID_ARGUMENT;
  if (g.ld_scale && (!g.group || g.offset)) return WC_INVALID_ARGUMENT;
  for (size_t r = 0; r < g.rows; ++r) {
    const float *x = g.x + r * g.ldx;
    element *q = static_cast<element *>(g.q) + r * g.ldq;
    quantize_scale s;
    float centre = 0.0f;
    if (g.ld_scale) {
      quantize_groups<Kernel>(g, r);
      continue;
    }
    if (g.offset && g.columns) {
      const extent e = Kernel::range(x, g.columns);
      if (e.finite) centre = centre_of(e);
      const float above = e.greatest - centre, below = centre - e.least;
      s = quantize_scale_of(e.finite ? bits_of(above > below ? above : below) : infinity_bits);
    } else {
      s = quantize_scale_of(Kernel::greatest(x, g.columns));
    }
    if (g.offset) g.offset[r] = centre;
    g.scale[r] = s.scale;
    size_t written = 0;
    if (s.finite) {
      Kernel::write(x, g.columns, centre, s.reciprocal, q);
      written = g.columns;
    }
    for (size_t c = written; c < g.ldq; ++c) q[c] = Kernel::zero;
    if (g.group) {
      int32_t *sums = g.sums + r * g.ld_sums;
      for (size_t c = 0, i = 0; c < g.columns; c += g.group, ++i) {
        const size_t left = g.columns - c;
        sums[i] = Kernel::group_sum(q + c, left < g.group ? left : g.group);
      }
    }
  }
  return WC_OK;
}

// The nearest bf16, ties to even; NaN becomes a quiet NaN of the same sign.
WC_INLINE uint16_t bf16_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > infinity_bits) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace
