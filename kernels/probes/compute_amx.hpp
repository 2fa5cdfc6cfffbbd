// Compute probes on AMX tiles: four tiles of sums, as many as two of A and two of B feed.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/isa.hpp"

// Eight tiles of 16 rows of 64 bytes (Intel SDM vol. 2A, LDTILECFG).
struct whole_tiles {
  alignas(64) uint8_t palette = 1;
  uint8_t reserved[15] = {};
  uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

WC_TARGET_BEGIN(amxint8)
namespace {

double probe_int8_amx(size_t iterations, const void *, size_t) {
  const whole_tiles tiles;
  _tile_loadconfig(&tiles);
  for (size_t i = 0; i < iterations; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * 64 * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END

WC_TARGET_BEGIN(amxbf16)
namespace {

double probe_bf16_amx(size_t iterations, const void *, size_t) {
  const whole_tiles tiles;
  _tile_loadconfig(&tiles);
  for (size_t i = 0; i < iterations; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * 32 * static_cast<double>(iterations);
}

}  // namespace
WC_TARGET_END
#endif
