// exp2 of what is not positive, and activations: scalar code, and the coefficients that the vector
// versions share. All versions do the same operations in the same order with the same
// roundings (fma is fused everywhere), so a result has the same bits on every ISA.
#pragma once

#include <stdint.h>
#include <string.h>

#include "isa.hpp"

namespace wc {

// 2^f = 1 + f·r(f) on [−½, ½], r of degree 4, fitted to f64 values by iteratively reweighted least
// squares (Lawson), which tends to the least maximum error, here 1.05 units in the last place. The
// leading 1 is exact, so 2^0 = 1 and 2^−127 comes out as zero, see exp2_nonpositive_scalar.
constexpr float exp2_r0 = 0.693146825f;
constexpr float exp2_r1 = 0.240222365f;
constexpr float exp2_r2 = 0.0555089153f;
constexpr float exp2_r3 = 0.00967176259f;
constexpr float exp2_r4 = 0.00132257072f;

// The smallest exponent: at −127 the biased exponent is 0 and, f being 0, so is the fraction.
constexpr float exp2_floor = -127.0f;

// log₂(½·erfc(t/√2)) = t·q(t) − 1, q of degree 9 fitted on t ∈ [0, 5.5] to 40-digit values in the
// same way, minimising the error of the left side weighted by 1/max(1, 1 + (|left side| − 3)/2):
// 0.8·2⁻²⁴ relative to erfc near 0. q keeps falling beyond 5.5, so that the tail goes on to zero.
constexpr float gelu_q0 = -1.151106358e+00f;
constexpr float gelu_q1 = -4.592004716e-01f;
constexpr float gelu_q2 = -5.250381678e-02f;
constexpr float gelu_q3 = 7.037892472e-03f;
constexpr float gelu_q4 = -7.221224223e-05f;
constexpr float gelu_q5 = -2.462311822e-04f;
constexpr float gelu_q6 = 6.720933743e-05f;
constexpr float gelu_q7 = -9.466604752e-06f;
constexpr float gelu_q8 = 7.274016411e-07f;
constexpr float gelu_q9 = -2.405158916e-08f;

// Any finite magnitude at which the tail is zero: keeps ∞·0 out of the product.
constexpr float gelu_far = 16.0f;

// 2^n·(1 + f·r(f)) for n ≥ −127.
WC_INLINE float exp2_assemble_scalar(float n, float f) {
  const float f2 = f * f;
  const float r34 = __builtin_fmaf(exp2_r4, f, exp2_r3);
  const float r12 = __builtin_fmaf(exp2_r2, f, exp2_r1);
  const float r = __builtin_fmaf(__builtin_fmaf(r34, f2, r12), f, exp2_r0);
  float value = __builtin_fmaf(r, f, 1.0f);
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits += static_cast<uint32_t>(static_cast<int32_t>(n)) << 23;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// The nearest integer, ties to even, for |x| < 2²².
WC_INLINE float round_even_scalar(float x) {
  const float shift = 12582912.0f;  // 1.5·2²³: the sum's last bit is worth 1
  return (x + shift) - shift;
}

// 2^n for a whole n ≤ 127, 0 from −127 down: the last bits of n + power_shift are the biased exponent.
constexpr float power_shift = 12582912.0f + 127.0f;
WC_INLINE float power_of_two_scalar(float n) {
  const float sum = (n > exp2_floor ? n : exp2_floor) + power_shift;
  uint32_t bits;
  memcpy(&bits, &sum, sizeof bits);
  bits <<= 23;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// 2^x for x ≤ 0.5: within 2 ulp for x ≥ −126; below that some value in [0, 2⁻¹²⁶); 0 from −127 to
// −∞; NaN for NaN.
WC_INLINE float exp2_nonpositive_scalar(float x) {
  if (x != x) return x;
  x = x > exp2_floor ? x : exp2_floor;
  const float n = round_even_scalar(x);
  return exp2_assemble_scalar(n, x - n);
}

// x·½·(1 + erf(x/√2)), as max(x, 0) − |x|·½erfc(|x|/√2).
//
// Against f64: within 5 ulp for x ≥ −1; everywhere |error| ≤ (5 + 3x²)·2⁻²⁴·|gelu(x)| + 10⁻¹².
// gelu(±0) = ±0, gelu(+∞) = +∞, gelu(−∞) = 0, NaN for NaN.
WC_INLINE float gelu_scalar(float x) {
  if (x != x) return x;
  float t = __builtin_fabsf(x);
  t = t < gelu_far ? t : gelu_far;
  const float t2 = t * t;
  const float t4 = t2 * t2;
  const float q01 = __builtin_fmaf(gelu_q1, t, gelu_q0);
  const float q23 = __builtin_fmaf(gelu_q3, t, gelu_q2);
  const float q45 = __builtin_fmaf(gelu_q5, t, gelu_q4);
  const float q67 = __builtin_fmaf(gelu_q7, t, gelu_q6);
  const float q89 = __builtin_fmaf(gelu_q9, t, gelu_q8);
  const float q03 = __builtin_fmaf(q23, t2, q01);
  const float q49 = __builtin_fmaf(q89, t4, __builtin_fmaf(q67, t2, q45));
  const float q = __builtin_fmaf(q49, t4, q03);
  const float tail = exp2_nonpositive_scalar(__builtin_fmaf(q, t, -1.0f));
  return __builtin_fmaf(-t, tail, x < 0.0f ? 0.0f : x);
}

constexpr float log2_e = 1.44269502f;

// What log2_e lacks of log₂e.
constexpr float log2_e_low = 1.92596299e-8f;

// Where e^x is still a normal number.
constexpr float exp_floor = -87.3f;

// e^x for x ≤ 0: within 2 ulp for x ≥ −87.3, 0 below and for −∞; NaN for NaN. x·log₂e is never rounded: what is left of
// it beside its nearest integer is a fused multiply-add's.
WC_INLINE float exp_nonpositive_scalar(float x) {
  if (x != x) return x;
  if (x < exp_floor) return 0.0f;
  const float n = round_even_scalar(x * log2_e);
  const float f = __builtin_fmaf(x, log2_e_low, __builtin_fmaf(x, log2_e, -n));
  return exp2_assemble_scalar(n, f);
}

// What multiplies x and x³ in log₂e·2·√(2/π)·(x + 0.044715·x³).
constexpr float gelu_tanh_c1 = 2.30220819f;
constexpr float gelu_tanh_c3 = 0.102943242f;

// Any finite magnitude at which 2^w is zero for the w below: keeps ∞·0 out of the product.
constexpr float logistic_far = 128.0f;

// x·σ(z) for a z of x's sign with |z|·log₂e = −w: x/(1 + 2^w) for x ≥ 0, x·2^w/(1 + 2^w) below.
WC_INLINE float times_logistic_scalar(float x, float w) {
  const float e = exp2_nonpositive_scalar(w);
  const float near = x < -logistic_far ? -logistic_far : x;
  const float part = x < 0.0f ? near * e : near;
  return part / (1.0f + e);
}

// x·σ(x), also called swish.
//
// Against f64: within 5 ulp for x ≥ −1; everywhere |error| ≤ (8 + 2|x|)·2⁻²⁴·|silu(x)| + 10⁻³⁵.
// silu(±0) = ±0, silu(+∞) = +∞, silu(−∞) = −0, NaN for NaN.
WC_INLINE float silu_scalar(float x) {
  if (x != x) return x;
  return times_logistic_scalar(x, -__builtin_fabsf(x) * log2_e);
}

// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), as x·σ of twice that argument.
//
// Against f64: |error| ≤ (8 + 4z)·2⁻²⁴·|gelu_tanh(x)| + 10⁻³⁵ with z that argument's magnitude, doubled,
// for x < 0, and 0 for x ≥ 0. ±0, ±∞ and NaN as in silu_scalar.
WC_INLINE float gelu_tanh_scalar(float x) {
  if (x != x) return x;
  const float t = -__builtin_fabsf(x);
  const float t2 = t * t;
  return times_logistic_scalar(x, t * __builtin_fmaf(gelu_tanh_c3, t2, gelu_tanh_c1));
}

// ln(1 + e) = e + e²·q(e) on [0, 1], q of degree 7 fitted in the same way: 1.04 units in the last place.
constexpr float log1p_q0 = -0.499996483f;
constexpr float log1p_q1 = 0.33321324f;
constexpr float log1p_q2 = -0.248571634f;
constexpr float log1p_q3 = 0.191536561f;
constexpr float log1p_q4 = -0.137538031f;
constexpr float log1p_q5 = 0.0792045444f;
constexpr float log1p_q6 = -0.0300657991f;
constexpr float log1p_q7 = 0.00536482595f;

// ln(1 + e^x), as max(x, 0) + ln(1 + e^−|x|).
//
// Against f64: |error| ≤ (6 + 2·max(−x, 0))·2⁻²⁴·softplus(x) + 10⁻³⁷. softplus(+∞) = +∞, softplus(−∞) = 0, NaN
// for NaN. Above 17 it is x, as where the definition has x above a threshold of 20.
WC_INLINE float softplus_scalar(float x) {
  if (x != x) return x;
  const float e = exp2_nonpositive_scalar(-__builtin_fabsf(x) * log2_e);
  const float e2 = e * e;
  const float q01 = __builtin_fmaf(log1p_q1, e, log1p_q0);
  const float q23 = __builtin_fmaf(log1p_q3, e, log1p_q2);
  const float q45 = __builtin_fmaf(log1p_q5, e, log1p_q4);
  const float q67 = __builtin_fmaf(log1p_q7, e, log1p_q6);
  const float q03 = __builtin_fmaf(q23, e2, q01);
  const float q47 = __builtin_fmaf(q67, e2, q45);
  const float q = __builtin_fmaf(q47, e2 * e2, q03);
  return __builtin_fmaf(q, e2, e) + (x < 0.0f ? 0.0f : x);
}

// max(x, 0); −0 and NaN pass.
WC_INLINE float relu_scalar(float x) { return x < 0.0f ? 0.0f : x; }

}  // namespace wc
