// Packing B for any row of the table, and what rows need as scratch.
#include <string.h>

#include "CWallclockKernels.h"
#include "layout.hpp"

namespace {

size_t rounded_up(size_t x, size_t to) { return (x + to - 1) / to * to; }

// Padded to whole cache lines, and off multiples of 4 KiB, where panels read abreast would fall
// into the same sets of L1.
size_t panel_stride(const wc_kernel &kernel, size_t k) {
  const size_t group = wc::group_of(kernel.b);
  const size_t bytes = group ? k / group * wc::record_bytes(kernel.b, kernel.nr)
                             : rounded_up(k, kernel.kr) * kernel.nr * wc::code_bytes(kernel.b);
  const size_t lines = rounded_up(bytes, 64);
  return lines != 0 && lines % 4096 == 0 ? lines + 64 : lines;
}

void pack_panel(
    const wc_kernel &kernel, size_t columns, size_t k, const char *codes, char *packed) {
  const size_t nr = kernel.nr, kr = kernel.kr, bytes = wc::code_bytes(kernel.b);
  for (size_t j = 0; j < columns; ++j) {
    for (size_t p = 0; p < k; ++p) {
      memcpy(packed + ((p / kr * nr + j) * kr + p % kr) * bytes, codes + (j * k + p) * bytes, bytes);
    }
  }
}

// Where value p of a group has its four bits within a record.
struct code_place {
  size_t byte;
  bool high;
};

code_place place_of(const wc_kernel &kernel, size_t column, size_t p) {
  const size_t nr = kernel.nr, kr = kernel.kr;
  if (kernel.layout == WC_LAYOUT_q4_pair_panel) {
    const size_t word = p % 2, nibble = p % 8 / 2;
    return {(p / 8 * nr + column) * 4 + 2 * word + nibble / 2, nibble % 2 == 1};
  }
  const size_t step = p / kr;
  return {(step / 2 * nr + column) * kr + p % kr, step % 2 == 1};
}

void pack_group_panel(
    const wc_kernel &kernel, size_t columns, size_t k, const char *codes, const float *scales,
    char *packed) {
  const size_t nr = kernel.nr, group = wc::group_of(kernel.b), groups = k / group;
  for (size_t g = 0; g < groups; ++g) {
    char *record = packed + g * wc::record_bytes(kernel.b, nr);
    for (size_t j = 0; j < columns; ++j) {
      for (size_t p = 0; p < group; ++p) {
        if (kernel.b == WC_TYPE_s8g32) {
          record[(p / kernel.kr * nr + j) * kernel.kr + p % kernel.kr] = codes[j * k + g * group + p];
          continue;
        }
        const auto [at, high] = place_of(kernel, j, p);
        const int code = codes[j * k + g * group + p] & 15;
        record[at] = static_cast<char>(record[at] | (high ? code << 4 : code));
      }
      const uint16_t scale = wc::f16_from_f32(scales[j * groups + g]);
      memcpy(record + wc::record_scales(kernel.b, nr) + 2 * j, &scale, sizeof scale);
      if (!wc::has_zeros(kernel.b)) continue;
      char *zeros = record + wc::record_zeros(kernel.b, nr) + j / 2;
      const int zero = static_cast<uint8_t>(codes[j * k + g * group]) >> 4;
      *zeros = static_cast<char>(*zeros | (j % 2 ? zero << 4 : zero));
    }
  }
}

}  // namespace

// 0 for a row that takes no packed B of this k (no GEMM, or k not a multiple of the group).
extern "C" size_t wc_gemm_packed_bytes(
    const wc_kernel *kernel, size_t n, size_t k, size_t *panel_bytes) {
  if (panel_bytes) *panel_bytes = 0;
  if (!wc::packable(kernel)) return 0;
  const size_t group = wc::group_of(kernel->b);
  if (group && k % group) return 0;
  const size_t stride = panel_stride(*kernel, k);
  if (panel_bytes) *panel_bytes = stride;
  return (n + kernel->nr - 1) / kernel->nr * stride;
}

extern "C" wc_status wc_gemm_pack(
    const wc_kernel *kernel, size_t n, size_t k, const void *codes, const float *scales,
    void *packed, int32_t *sums) {
  if (!wc::packable(kernel)) return WC_INVALID_ARGUMENT;
  const size_t group = wc::group_of(kernel->b), bytes = wc::code_bytes(kernel->b);
  if (group && (k % group || (k && n && !scales))) return WC_INVALID_ARGUMENT;
  size_t stride;
  const size_t total = wc_gemm_packed_bytes(kernel, n, k, &stride);
  if (total) memset(packed, 0, total);
  const char *from = static_cast<const char *>(codes);
  char *to = static_cast<char *>(packed);
  for (size_t j = 0; j < n; j += kernel->nr, to += stride) {
    const size_t columns = n - j < kernel->nr ? n - j : kernel->nr;
    if (group) {
      pack_group_panel(*kernel, columns, k, from + j * k, scales + j * (k / group), to);
    } else {
      pack_panel(*kernel, columns, k, from + j * k * bytes, to);
    }
  }
  if (sums && kernel->b == WC_TYPE_s8) {
    for (size_t j = 0; j < n; ++j) {
      int32_t sum = 0;
      for (size_t p = 0; p < k; ++p) sum += static_cast<int8_t>(from[j * k + p]);
      sums[j] = sum;
    }
  }
  return WC_OK;
}

extern "C" size_t wc_gemm_gated_column(const wc_kernel *kernel, size_t n, size_t row) {
  const size_t outputs = n / 2, half = kernel->nr / 2u, output = row < outputs ? row : row - outputs;
  return output / half * kernel->nr + output % half + (row < outputs ? 0 : half);
}

extern "C" size_t wc_gemm_packed_offset(const wc_kernel *kernel, size_t k) {
  if (!wc::packable(kernel)) return 0;
  const size_t group = wc::group_of(kernel->b);
  if (group) return k / group * wc::record_bytes(kernel->b, kernel->nr);
  return k * kernel->nr * wc::code_bytes(kernel->b);
}

namespace wc {

size_t gemm_scratch_none(size_t) { return 0; }

// A K block of one panel, expanded to f32.
size_t gemm_scratch_f32_panel16(size_t k) { return k * 16 * 4; }
size_t gemm_scratch_f32_panel32(size_t k) { return k * 32 * 4; }

// The same as bf16; K is padded to pairs.
size_t gemm_scratch_bf16_panel32(size_t k) { return rounded_up(k, 2) * 32 * 2; }
size_t gemm_scratch_bf16_panel48(size_t k) { return rounded_up(k, 2) * 48 * 2; }

// A K block of one panel, a code a byte, and f32 scales (and s32 zero points) for every group of 32 or more.
static size_t q4_panel(size_t k, size_t nr, size_t words) { return k * nr + rounded_up(k, 32) / 32 * nr * 4 * words; }
size_t gemm_scratch_q4_panel8(size_t k) { return q4_panel(k, 8, 1); }
size_t gemm_scratch_q4_panel16(size_t k) { return q4_panel(k, 16, 1); }
size_t gemm_scratch_q4_panel24(size_t k) { return q4_panel(k, 24, 1); }
size_t gemm_scratch_q4_panel32(size_t k) { return q4_panel(k, 32, 1); }
size_t gemm_scratch_q4z_panel8(size_t k) { return q4_panel(k, 8, 2); }
size_t gemm_scratch_q4z_panel16(size_t k) { return q4_panel(k, 16, 2); }
size_t gemm_scratch_q4z_panel32(size_t k) { return q4_panel(k, 32, 2); }

}  // namespace wc
