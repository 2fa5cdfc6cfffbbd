// Every GEMM type in plain C++, for hosts without the vector ISAs and as the rows the exact ones are
// compared with bit for bit. One output at a time over a panel of eight columns.
#include "../common/math_scalar.hpp"
#include "CWallclockKernels.h"
#include "layout.hpp"

namespace {

#include "ends.hpp"

constexpr size_t nr = 8;

bool valid(const wc_gemm_args *g) {
  if (!g) return false;
  if (g->m == 0 || g->n == 0) return true;
  if (!valid_ends(*g)) return false;
  if ((g->flags & (WC_GEMM_FIRST | WC_GEMM_LAST)) != (WC_GEMM_FIRST | WC_GEMM_LAST) && !g->acc) return false;
  return g->c && (g->k == 0 || (g->a && g->b));
}

float bias_of(const wc_gemm_args &g, size_t j) {
  return g.epilogue & WC_EPILOGUE_bias ? g.bias[j] : 0.0f;
}

float activated(const wc_gemm_args &g, float t) {
  switch (g.epilogue & WC_ACTIVATIONS) {
    case WC_EPILOGUE_gelu: return wc::gelu_scalar(t);
    case WC_EPILOGUE_gelu_tanh: return wc::gelu_tanh_scalar(t);
    case WC_EPILOGUE_silu: return wc::silu_scalar(t);
    case WC_EPILOGUE_relu: return wc::relu_scalar(t);
    default: return t;
  }
}

// clamp(rne(x), −127, 127); 0 for NaN.
int code_of(float x) {
  if (x != x) return 0;
  return static_cast<int>(wc::round_even_scalar(x < -127.0f ? -127.0f : x > 127.0f ? 127.0f : x));
}

// Residual, conversion, store.
void finish(const wc_gemm_args &g, size_t i, size_t j, float t) {
  if (g.epilogue & WC_EPILOGUE_residual) t += g.residual[i * g.ldr + j];
  const size_t at = i * g.ldc + j;
  switch (g.epilogue & WC_CONVERSIONS) {
    case WC_EPILOGUE_bf16: static_cast<uint16_t *>(g.c)[at] = wc::bf16_from_f32(t); break;
    case WC_EPILOGUE_s8: static_cast<int8_t *>(g.c)[at] = static_cast<int8_t>(code_of(t * code_factor(g, i))); break;
    case WC_EPILOGUE_u8:
      static_cast<uint8_t *>(g.c)[at] = static_cast<uint8_t>(code_of(t * code_factor(g, i)) + 128);
      break;
    default: static_cast<float *>(g.c)[at] = t;
  }
}

// Family: `sum` (the accumulator), `ready(g)`, `add(sum, g, panel, row, j)` over this K block, and
// `value(sum, g, row, column)`, scaled and biased.
template <class Family>
wc_status run(const wc_gemm_args *args) {
  if (!valid(args)) return WC_INVALID_ARGUMENT;
  const wc_gemm_args &g = *args;
  if (g.m == 0 || g.n == 0) return WC_OK;
  if (!Family::ready(g)) return WC_INVALID_ARGUMENT;
  using sum = typename Family::sum;
  const char *panel = static_cast<const char *>(g.b);
  for (size_t first = 0; first < g.n; first += nr, panel += g.b_panel_bytes) {
    const size_t live = g.n - first < nr ? g.n - first : nr;
    for (size_t i = 0; i < g.m; ++i) {
      sum sums[nr] = {};
      sum *acc = static_cast<sum *>(g.acc) + (g.acc ? i * g.ldacc + first : 0);
      if (!(g.flags & WC_GEMM_FIRST)) {
        for (size_t j = 0; j < nr; ++j) sums[j] = acc[j];
      }
      Family::add(sums, g, panel, i);
      if (!(g.flags & WC_GEMM_LAST)) {
        for (size_t j = 0; j < nr; ++j) acc[j] = sums[j];
        continue;
      }
      if (is_gated(g)) {
        for (size_t j = 0; j < live / 2; ++j) {
          const float gate = activated(g, Family::value(sums[j], g, i, first + j));
          finish(g, i, first / 2 + j, gate * Family::value(sums[nr / 2 + j], g, i, first + nr / 2 + j));
        }
        continue;
      }
      for (size_t j = 0; j < live; ++j) {
        finish(g, i, first + j, activated(g, Family::value(sums[j], g, i, first + j)));
      }
    }
  }
  return WC_OK;
}

struct float_sums {
  using sum = float;
  static bool ready(const wc_gemm_args &) { return true; }
  static float value(sum s, const wc_gemm_args &g, size_t, size_t j) { return s + bias_of(g, j); }
};

struct f32f32 : float_sums {
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const float *a = static_cast<const float *>(g.a) + row * g.lda;
    const float *b = reinterpret_cast<const float *>(panel);
    for (size_t p = 0; p < g.k; ++p) {
      for (size_t j = 0; j < nr; ++j) s[j] += a[p] * b[p * nr + j];
    }
  }
};

struct f32s8 {
  using sum = float;
  static bool ready(const wc_gemm_args &g) { return g.b_scale; }
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const float *a = static_cast<const float *>(g.a) + row * g.lda;
    const int8_t *b = reinterpret_cast<const int8_t *>(panel);
    for (size_t p = 0; p < g.k; ++p) {
      for (size_t j = 0; j < nr; ++j) s[j] += a[p] * static_cast<float>(b[p * nr + j]);
    }
  }
  static float value(sum s, const wc_gemm_args &g, size_t, size_t j) {
    return __builtin_fmaf(s, g.b_scale[j], bias_of(g, j));
  }
};

struct bf16bf16 : float_sums {
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const uint16_t *a = static_cast<const uint16_t *>(g.a) + row * g.lda;
    const uint16_t *b = reinterpret_cast<const uint16_t *>(panel);
    for (size_t p = 0; p < g.k; ++p) {
      const float value = wc::f32_from_bf16(a[p]);
      for (size_t j = 0; j < nr; ++j) s[j] += value * wc::f32_from_bf16(b[(p / 2 * nr + j) * 2 + p % 2]);
    }
  }
};

struct s8s8 {
  using sum = int32_t;
  static bool ready(const wc_gemm_args &g) { return g.a_scale && g.b_scale && (!g.a_offset || g.b_sum); }
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const int8_t *a = static_cast<const int8_t *>(g.a) + row * g.lda;
    const int8_t *b = reinterpret_cast<const int8_t *>(panel);
    for (size_t p = 0; p < g.k; ++p) {
      for (size_t j = 0; j < nr; ++j) s[j] += a[p] * b[p * nr + j];
    }
  }
  static float value(sum s, const wc_gemm_args &g, size_t i, size_t j) {
    float t = static_cast<float>(s) * g.a_scale[i];
    if (g.a_offset) t = __builtin_fmaf(g.a_offset[i], static_cast<float>(g.b_sum[j]), t);
    return __builtin_fmaf(t, g.b_scale[j], bias_of(g, j));
  }
};

// The code of k-step `p` of a group, column j; kr = 4.
int code_at(const char *record, size_t p, size_t j) {
  const int byte = static_cast<uint8_t>(record[(p / 8 * nr + j) * 4 + p % 4]);
  return p / 4 % 2 ? byte >> 4 : byte & 15;
}

template <wc_type B>
float scale_at(const char *record, size_t j) {
  uint16_t scale;
  memcpy(&scale, record + wc::record_scales(B, nr) + 2 * j, sizeof scale);
  return wc::f32_from_f16(scale);
}

template <wc_type B>
int zero_at(const char *record, size_t j) {
  if (!wc::has_zeros(B)) return 8;
  const int byte = static_cast<uint8_t>(record[wc::record_zeros(B, nr) + j / 2]);
  return j % 2 ? byte >> 4 : byte & 15;
}

template <wc_type B>
struct s8q4 {
  using sum = float;
  static constexpr size_t Group = wc::group_of(B);
  static bool ready(const wc_gemm_args &g) {
    return g.k % Group == 0 && g.a_scale && (g.k == 0 || g.a_sum);
  }
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const int8_t *a = static_cast<const int8_t *>(g.a) + row * g.lda;
    for (size_t group = 0; group < g.k / Group; ++group, panel += wc::record_bytes(B, nr)) {
      for (size_t j = 0; j < nr; ++j) {
        int32_t total = -zero_at<B>(panel, j) * g.a_sum[row * g.lda_sum + group];
        for (size_t p = 0; p < Group; ++p) total += a[group * Group + p] * code_at(panel, p, j);
        s[j] = __builtin_fmaf(static_cast<float>(total), scale_at<B>(panel, j), s[j]);
      }
    }
  }
  static float value(sum s, const wc_gemm_args &g, size_t i, size_t j) {
    return __builtin_fmaf(s, g.a_scale[i], bias_of(g, j));
  }
};

struct s8s8g32 {
  using sum = float;
  static constexpr wc_type B = WC_TYPE_s8g32;
  static constexpr size_t Group = wc::group_of(B);
  static bool ready(const wc_gemm_args &g) { return g.k % Group == 0 && (g.k == 0 || g.a_scale); }
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const int8_t *a = static_cast<const int8_t *>(g.a) + row * g.lda;
    for (size_t group = 0; group < g.k / Group; ++group, panel += wc::record_bytes(B, nr), a += Group) {
      const float a_scale = g.a_scale[row * g.lda_scale + group];
      for (size_t j = 0; j < nr; ++j) {
        int32_t total = 0;
        for (size_t p = 0; p < Group; ++p) total += a[p] * static_cast<int8_t>(panel[p * nr + j]);
        s[j] = __builtin_fmaf(static_cast<float>(total) * a_scale, scale_at<B>(panel, j), s[j]);
      }
    }
  }
  static float value(sum s, const wc_gemm_args &g, size_t, size_t j) { return s + bias_of(g, j); }
};

template <wc_type B>
struct f32q4 : float_sums {
  static constexpr size_t Group = wc::group_of(B);
  static bool ready(const wc_gemm_args &g) { return g.k % Group == 0; }
  static void add(sum (&s)[nr], const wc_gemm_args &g, const char *panel, size_t row) {
    const float *a = static_cast<const float *>(g.a) + row * g.lda;
    for (size_t group = 0; group < g.k / Group; ++group, panel += wc::record_bytes(B, nr)) {
      for (size_t j = 0; j < nr; ++j) {
        const float scale = scale_at<B>(panel, j);
        const int zero = zero_at<B>(panel, j);
        for (size_t p = 0; p < Group; ++p) {
          s[j] += a[group * Group + p] * (scale * static_cast<float>(code_at(panel, p, j) - zero));
        }
      }
    }
  }
};

}  // namespace

extern "C" wc_status gemm_f32f32_scalar_1x8(const wc_gemm_args *g) { return run<f32f32>(g); }
extern "C" wc_status gemm_f32s8_scalar_1x8(const wc_gemm_args *g) { return run<f32s8>(g); }
extern "C" wc_status gemm_bf16bf16_scalar_1x8(const wc_gemm_args *g) { return run<bf16bf16>(g); }
extern "C" wc_status gemm_s8s8_scalar_1x8(const wc_gemm_args *g) { return run<s8s8>(g); }
extern "C" wc_status gemm_s8s8g32_scalar_1x8(const wc_gemm_args *g) { return run<s8s8g32>(g); }
extern "C" wc_status gemm_s8q4g32_scalar_1x8(const wc_gemm_args *g) { return run<s8q4<WC_TYPE_q4g32>>(g); }
extern "C" wc_status gemm_s8q4g64_scalar_1x8(const wc_gemm_args *g) { return run<s8q4<WC_TYPE_q4g64>>(g); }
extern "C" wc_status gemm_s8q4g128_scalar_1x8(const wc_gemm_args *g) { return run<s8q4<WC_TYPE_q4g128>>(g); }
extern "C" wc_status gemm_f32q4g32_scalar_1x8(const wc_gemm_args *g) { return run<f32q4<WC_TYPE_q4g32>>(g); }
extern "C" wc_status gemm_f32q4g64_scalar_1x8(const wc_gemm_args *g) { return run<f32q4<WC_TYPE_q4g64>>(g); }
extern "C" wc_status gemm_f32q4g128_scalar_1x8(const wc_gemm_args *g) { return run<f32q4<WC_TYPE_q4g128>>(g); }
extern "C" wc_status gemm_s8q4zg32_scalar_1x8(const wc_gemm_args *g) { return run<s8q4<WC_TYPE_q4zg32>>(g); }
extern "C" wc_status gemm_s8q4zg64_scalar_1x8(const wc_gemm_args *g) { return run<s8q4<WC_TYPE_q4zg64>>(g); }
extern "C" wc_status gemm_s8q4zg128_scalar_1x8(const wc_gemm_args *g) { return run<s8q4<WC_TYPE_q4zg128>>(g); }
extern "C" wc_status gemm_f32q4zg32_scalar_1x8(const wc_gemm_args *g) { return run<f32q4<WC_TYPE_q4zg32>>(g); }
extern "C" wc_status gemm_f32q4zg64_scalar_1x8(const wc_gemm_args *g) { return run<f32q4<WC_TYPE_q4zg64>>(g); }
extern "C" wc_status gemm_f32q4zg128_scalar_1x8(const wc_gemm_args *g) { return run<f32q4<WC_TYPE_q4zg128>>(g); }
