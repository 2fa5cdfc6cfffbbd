// AVX512_BF16's instructions in software, on the registers of an interrupted thread; see
// instruction_model.hpp.
//
//   VDPBF16PS       EVEX.F3.0F38.W0 52   VCVTNE2PS2BF16  EVEX.F2.0F38.W0 72
//   VCVTNEPS2BF16   EVEX.F3.0F38.W0 72
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2 (the instructions and
// chapter 2.7, EVEX), vol. 1 chapter 13 (XSAVE area, which the kernel puts into the signal frame in its
// standard format).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <initializer_list>

#include "interrupted.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace check {

#if defined(__x86_64__)

namespace bf16_model {

// Denormals count as zero and are never made; MXCSR is not read.
inline float flushed(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000) == 0) bits &= 0x80000000;
  memcpy(&x, &bits, sizeof x);
  return x;
}

inline float widened(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return flushed(value);
}

// To nearest, ties to even; NaNs become quiet.
inline uint16_t narrowed(float x) {
  uint32_t bits;
  x = flushed(x);
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The odd pair is added first; each step rounds once.
inline float dot(float sum, uint32_t a, uint32_t b) {
  for (const int shift : {16, 0}) {
    const float x = widened(static_cast<uint16_t>(a >> shift)), y = widened(static_cast<uint16_t>(b >> shift));
    sum = flushed(__builtin_fmaf(x, y, flushed(sum)));
  }
  return sum;
}

// The vector registers of an interrupted thread, in the XSAVE area of its signal frame.
class registers {
 public:
  explicit registers(unsigned char *area) : area_(area) {
    unsigned components;
    memcpy(&components, area_ + 512, sizeof components);
    // What was in its initial state was not saved: write the zeros it stands for.
    for (const unsigned component : {1u, 2u, 5u, 6u, 7u}) {
      if (component == 1 && !(components >> 1 & 1)) memset(area_ + 160, 0, 16 * 16);
      unsigned size = 0, offset = 0, c, d;
      if (component > 1) __cpuid_count(13, component, size, offset, c, d);
      if (component > 1 && !(components >> component & 1)) memset(area_ + offset, 0, size);
      if (component == 2) ymm_ = offset;
      if (component == 5) mask_ = offset;
      if (component == 6) zmm_ = offset;
      if (component == 7) high_ = offset;
      components |= 1u << component;
    }
    memcpy(area_ + 512, &components, sizeof components);
  }
  void read(unsigned index, unsigned char (&value)[64]) const {
    if (index > 15) {
      memcpy(value, area_ + high_ + (index - 16) * 64, 64);
      return;
    }
    memcpy(value, area_ + 160 + index * 16, 16);
    memcpy(value + 16, area_ + ymm_ + index * 16, 16);
    memcpy(value + 32, area_ + zmm_ + index * 32, 32);
  }
  void write(unsigned index, const unsigned char (&value)[64]) {
    if (index > 15) {
      memcpy(area_ + high_ + (index - 16) * 64, value, 64);
      return;
    }
    memcpy(area_ + 160 + index * 16, value, 16);
    memcpy(area_ + ymm_ + index * 16, value + 16, 16);
    memcpy(area_ + zmm_ + index * 32, value + 32, 32);
  }
  uint64_t mask(unsigned index) const {
    uint64_t value;
    memcpy(&value, area_ + mask_ + index * 8, sizeof value);
    return value;
  }

 private:
  unsigned char *area_;
  unsigned ymm_ = 0, mask_ = 0, zmm_ = 0, high_ = 0;
};

// Reads the memory operand's address behind ModRM; `next` ends up behind the displacement.
inline uint64_t address(
    const ucontext_t &context, const unsigned char *&next, unsigned modrm, bool x, bool b, int64_t scale) {
  const unsigned mod = modrm >> 6, rm = modrm & 7;
  uint64_t base = 0;
  bool relative = false, wide = mod == 2;
  if (rm == 4) {
    const unsigned sib = *next++;
    const unsigned index = (sib >> 3 & 7) | (x ? 8 : 0);
    if ((sib & 7) == 5 && mod == 0) {
      wide = true;
    } else {
      base = general_register(context, (sib & 7) | (b ? 8 : 0));
    }
    if (index != 4) base += general_register(context, index) << (sib >> 6);
  } else if (rm == 5 && mod == 0) {
    relative = wide = true;
  } else {
    base = general_register(context, rm | (b ? 8 : 0));
  }
  if (wide) {
    int32_t displacement;
    memcpy(&displacement, next, 4);
    next += 4;
    base += static_cast<uint64_t>(static_cast<int64_t>(displacement));
  } else if (mod == 1) {
    base += static_cast<uint64_t>(static_cast<int8_t>(*next++) * scale);
  }
  return relative ? base + reinterpret_cast<uint64_t>(next) : base;
}

// Executes the instruction at the interrupted address; false when it is none of the three.
inline bool execute(ucontext_t &context) {
  const auto *code = reinterpret_cast<const unsigned char *>(context.uc_mcontext.gregs[REG_RIP]);
  if (code[0] != 0x62) return false;
  const unsigned p0 = code[1], p1 = code[2], p2 = code[3], opcode = code[4], modrm = code[5];
  if ((p0 & 0x0f) != 2 || !(p1 & 4) || p1 >> 7) return false;  // map 0F38, W0
  const unsigned prefix = p1 & 3;
  const bool dots = opcode == 0x52 && prefix == 2;
  const bool narrow_two = opcode == 0x72 && prefix == 3, narrow_one = opcode == 0x72 && prefix == 2;
  if (!dots && !narrow_two && !narrow_one) return false;

  // The register bits are stored inverted.
  const bool r = !(p0 & 0x80), x = !(p0 & 0x40), b = !(p0 & 0x20), r2 = !(p0 & 0x10), v2 = !(p2 & 8);
  const unsigned destination = (modrm >> 3 & 7) | (r ? 8 : 0) | (r2 ? 16 : 0);
  const unsigned first = (~p1 >> 3 & 15) | (v2 ? 16 : 0);
  const unsigned bytes = 16u << (p2 >> 5 & 3);
  const bool broadcast = p2 & 0x10, zeroing = p2 & 0x80;
  if (bytes > 64 || !context.uc_mcontext.fpregs) return false;

  registers file(reinterpret_cast<unsigned char *>(context.uc_mcontext.fpregs));
  unsigned char second[64], one[64], result[64] = {}, old[64];
  const unsigned char *next = code + 6;
  if (modrm >> 6 == 3) {
    if (broadcast) return false;
    file.read((modrm & 7) | (b ? 8 : 0) | (x ? 16 : 0), second);
  } else {
    const auto *memory = reinterpret_cast<const unsigned char *>(
        address(context, next, modrm, x, b, broadcast ? 4 : static_cast<int64_t>(bytes)));
    for (unsigned i = 0; i < bytes; i += 4) memcpy(second + i, memory + (broadcast ? 0 : i), 4);
  }
  file.read(first, one);
  file.read(destination, old);

  const unsigned lane = dots ? 4 : 2;
  const unsigned lanes = narrow_one ? bytes / 4 : bytes / lane;
  const uint64_t mask = p2 & 7 ? file.mask(p2 & 7) : ~uint64_t{0};
  for (unsigned i = 0; i < lanes; ++i) {
    unsigned char *out = result + i * lane;
    if (!(mask >> i & 1)) {
      if (!zeroing) memcpy(out, old + i * lane, lane);
      continue;
    }
    if (dots) {
      float sum;
      uint32_t a, c;
      memcpy(&sum, old + i * 4, 4);
      memcpy(&a, one + i * 4, 4);
      memcpy(&c, second + i * 4, 4);
      sum = dot(sum, a, c);
      memcpy(out, &sum, 4);
    } else {
      // Two sources: the second fills the lower half.
      const bool upper = narrow_two && i >= lanes / 2;
      float value;
      memcpy(&value, (upper ? one : second) + (upper ? i - lanes / 2 : i) * 4, 4);
      const uint16_t half = narrowed(value);
      memcpy(out, &half, 2);
    }
  }
  file.write(destination, result);  // bits above the vector length become zero
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uint64_t>(next));
  return true;
}

}  // namespace bf16_model

#endif

}  // namespace check
