// AMX's tile instructions in software, on tiles that belong to the thread; see instruction_model.hpp. What a
// CPU refuses, with #GP or #UD, is refused: palettes, limits of rows and columns, tiles that do not fit.
//
//   VEX.128.0F38.W0  49  LDTILECFG (NP), TILERELEASE (NP, 11 000 000), TILEZERO (F2)
//                    4B  TILELOADD (F2), TILELOADDT1 (66), TILESTORED (F3)
//                    5C  TDPBF16PS (F3)
//                    5E  TDPBUUD (NP), TDPBUSD (66), TDPBSUD (F3), TDPBSSD (F2)
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bf16_model.hpp"
#include "interrupted.hpp"

#if defined(__x86_64__)

namespace check::amx_model {

struct tile {
  unsigned rows = 0, bytes = 0;  // of a row
  unsigned char data[16][64] = {};
};

inline thread_local tile tiles[8];
inline thread_local bool configured = false;

inline void release() {
  for (tile &t : tiles) t = {};
  configured = false;
}

inline bool configure(const unsigned char (&c)[64]) {
  if (c[0] == 0) return release(), true;
  if (c[0] != 1 || c[1] != 0) return false;
  for (unsigned i = 2; i < 16; ++i) {
    if (c[i] != 0) return false;
  }
  tile made[8];
  for (unsigned i = 0; i < 16; ++i) {
    uint16_t bytes;
    memcpy(&bytes, c + 16 + 2 * i, sizeof bytes);
    const unsigned rows = c[48 + i];
    if (i >= 8) {
      if (rows != 0 || bytes != 0) return false;
      continue;
    }
    if (rows > 16 || bytes > 64 || (rows == 0) != (bytes == 0)) return false;
    made[i].rows = rows;
    made[i].bytes = bytes;
  }
  memcpy(static_cast<void *>(tiles), made, sizeof tiles);
  configured = true;
  return true;
}

// Four products of bytes into an s32, which wraps.
inline uint32_t byte_dot(uint32_t sum, const unsigned char *a, const unsigned char *b, bool a_signed, bool b_signed) {
  for (unsigned i = 0; i < 4; ++i) {
    const int x = a_signed ? static_cast<int8_t>(a[i]) : a[i], y = b_signed ? static_cast<int8_t>(b[i]) : b[i];
    sum += static_cast<uint32_t>(x * y);
  }
  return sum;
}

// The pairs' first and second products are added up apart, then to the sum.
inline float pairs_dot(float sum, const tile &a, const tile &b, unsigned m, unsigned n) {
  float parts[2] = {};
  for (unsigned k = 0; k < a.bytes / 4; ++k) {
    for (unsigned h = 0; h < 2; ++h) {
      uint16_t x, y;
      memcpy(&x, a.data[m] + 4 * k + 2 * h, 2);
      memcpy(&y, b.data[k] + 4 * n + 2 * h, 2);
      parts[h] = bf16_model::flushed(__builtin_fmaf(bf16_model::widened(x), bf16_model::widened(y), parts[h]));
    }
  }
  return bf16_model::flushed(bf16_model::flushed(sum) + bf16_model::flushed(parts[0] + parts[1]));
}

// prefix: 0 none, 1 66, 2 F3, 3 F2.
inline bool multiply(unsigned opcode, unsigned prefix, unsigned to, unsigned from_a, unsigned from_b) {
  tile &c = tiles[to];
  const tile &a = tiles[from_a], &b = tiles[from_b];
  if (to == from_a || to == from_b || from_a == from_b) return false;
  if (!c.rows || !a.rows || !b.rows || c.bytes % 4 || a.bytes % 4 || b.bytes % 4) return false;
  if (c.rows != a.rows || a.bytes / 4 != b.rows || c.bytes != b.bytes) return false;
  for (unsigned m = 0; m < c.rows; ++m) {
    for (unsigned n = 0; n < c.bytes / 4; ++n) {
      unsigned char *at = c.data[m] + 4 * n;
      if (opcode == 0x5c) {
        float sum;
        memcpy(&sum, at, 4);
        sum = pairs_dot(sum, a, b, m, n);
        memcpy(at, &sum, 4);
        continue;
      }
      uint32_t sum;
      memcpy(&sum, at, 4);
      for (unsigned k = 0; k < a.bytes / 4; ++k) {
        sum = byte_dot(sum, a.data[m] + 4 * k, b.data[k] + 4 * n, prefix >= 2, prefix % 2);
      }
      memcpy(at, &sum, 4);
    }
  }
  // Rows beyond the configured ones become zero.
  for (unsigned m = c.rows; m < 16; ++m) memset(c.data[m], 0, 64);
  return true;
}

// The address of a memory operand, `next` behind ModRM; with a SIB byte its index is not part of the address
// but, scaled, the stride from row to row.
inline uint64_t address(
    const ucontext_t &context, const unsigned char *&next, unsigned modrm, bool x, bool b, bool rows, uint64_t &stride) {
  const unsigned mod = modrm >> 6, rm = modrm & 7;
  uint64_t base = 0;
  int64_t displacement = 0;
  bool wide = mod == 2, relative = false;
  stride = 0;
  if (rm == 4) {
    const unsigned sib = *next++, index = (sib >> 3 & 7) | (x ? 8 : 0);
    if ((sib & 7) == 5 && mod == 0) {
      wide = true;
    } else {
      base = general_register(context, (sib & 7) | (b ? 8 : 0));
    }
    if (index != 4) stride = general_register(context, index) << (sib >> 6);
    if (!rows) base += stride;
  } else if (rm == 5 && mod == 0) {
    wide = relative = true;
  } else {
    base = general_register(context, rm | (b ? 8 : 0));
  }
  if (wide) {
    int32_t value;
    memcpy(&value, next, sizeof value);
    next += sizeof value;
    displacement = value;
  } else if (mod == 1) {
    displacement = static_cast<int8_t>(*next++);
  }
  if (relative) base = reinterpret_cast<uint64_t>(next);
  return base + static_cast<uint64_t>(displacement);
}

// Executes the instruction at the interrupted address; false when it is none of these, or a CPU would fault.
inline bool execute(ucontext_t &context) {
  const auto *code = reinterpret_cast<const unsigned char *>(context.uc_mcontext.gregs[REG_RIP]);
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2) return false;        // three-byte VEX, map 0F38
  const unsigned p = code[2], opcode = code[3], modrm = code[4];
  if (p & 0x84) return false;                                        // W0, 128 bits
  const bool r = !(code[1] & 0x80), x = !(code[1] & 0x40), b = !(code[1] & 0x20);
  const unsigned prefix = p & 3, third = ~p >> 3 & 15, destination = (modrm >> 3 & 7) | (r ? 8 : 0);
  const bool in_registers = modrm >> 6 == 3;
  const unsigned char *next = code + 5;
  uint64_t stride = 0;

  if (opcode == 0x49 && prefix == 0 && in_registers && modrm == 0xc0 && third == 0) {
    release();
  } else if (opcode == 0x49 && prefix == 0 && !in_registers && destination == 0 && third == 0) {
    unsigned char description[64];
    memcpy(description, reinterpret_cast<const void *>(address(context, next, modrm, x, b, false, stride)), 64);
    if (!configure(description)) return false;
  } else if (!configured || destination > 7) {
    return false;
  } else if (opcode == 0x49 && prefix == 3 && in_registers && third == 0) {
    tile &t = tiles[destination];
    if (!t.rows) return false;
    memset(t.data, 0, sizeof t.data);
  } else if (opcode == 0x4b && prefix != 0 && !in_registers && (modrm & 7) == 4 && third == 0) {
    tile &t = tiles[destination];
    if (!t.rows) return false;
    const uint64_t first = address(context, next, modrm, x, b, true, stride);
    for (unsigned i = 0; i < t.rows; ++i) {
      void *row = reinterpret_cast<void *>(first + i * stride);
      if (prefix == 2) {
        memcpy(row, t.data[i], t.bytes);
      } else {
        memset(t.data[i], 0, 64);
        memcpy(t.data[i], row, t.bytes);
      }
    }
    for (unsigned i = t.rows; prefix != 2 && i < 16; ++i) memset(t.data[i], 0, 64);
  } else if (opcode == 0x5e || (opcode == 0x5c && prefix == 2)) {
    const unsigned second = (modrm & 7) | (b ? 8 : 0);
    if (!in_registers || second > 7 || third > 7) return false;
    if (!multiply(opcode, prefix, destination, second, third)) return false;
  } else {
    return false;
  }
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uint64_t>(next));
  return true;
}

}  // namespace check::amx_model

#endif
