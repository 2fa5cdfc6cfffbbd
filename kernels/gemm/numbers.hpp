// Conversions between f32 and the 16-bit floats, round to nearest even, in portable C++.
#pragma once

#include <stdint.h>
#include <string.h>

namespace wc {

inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float f32_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

inline float f32_from_bf16(uint16_t h) { return f32_of(uint32_t(h) << 16); }

// NaNs are quieted.
inline uint16_t bf16_from_f32(float x) {
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline float f32_from_f16(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
  if (exponent == 31) return f32_of(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0) return f32_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero, exact
  return f32_of(sign | bits_of(magnitude));
}

// Values beyond the largest f16 become infinity; NaN stays NaN.
inline uint16_t f16_from_f32(float x) {
  const uint32_t bits = bits_of(x), magnitude = bits & 0x7FFFFFFFu;
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  if (magnitude > 0x7F800000u) return sign | 0x7E00u;
  if (magnitude >= 0x477FF000u) return sign | 0x7C00u;  // ≥ 65520 rounds to infinity
  if (magnitude < 0x38800000u) {                        // below 2⁻¹⁴: subnormal
    // Adding 0.5 puts the last bit of the sum at 2⁻²⁴, the f16 subnormal step.
    return sign | static_cast<uint16_t>(bits_of(f32_of(magnitude) + 0.5f) - 0x3F000000u);
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

}  // namespace wc
