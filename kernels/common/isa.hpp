// Target regions: the one place where feature strings are spelled.
//
//   WC_TARGET_BEGIN(avx512vnni)
//   …functions compiled for that ISA; every #include stays above…
//   WC_TARGET_END
//
// Regions, not compiler flags: a flagged file also compiles the std:: inline functions it uses for
// that ISA, and the linker may keep that copy for everyone, which faults on older CPUs.
#pragma once

#define WC_PRAGMA(text) _Pragma(#text)
#define WC_TARGET_REGION(features) \
  WC_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define WC_TARGET_BEGIN(isa) WC_TARGET_REGION(WC_FEATURES_##isa)
#define WC_TARGET_END WC_PRAGMA(clang attribute pop)

#define WC_FEATURES_avx2 "avx2,fma,f16c"
#define WC_FEATURES_avxvnni "avx2,fma,f16c,avxvnni"
#define WC_FEATURES_avx512 "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
#define WC_FEATURES_avx512vnni "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define WC_FEATURES_avx512bf16 "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"
#define WC_FEATURES_amxint8 "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-int8"
#define WC_FEATURES_amxbf16 "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16"
#define WC_FEATURES_neon "neon"
#define WC_FEATURES_neondot "neon,dotprod"
#define WC_FEATURES_neoni8mm "neon,dotprod,i8mm"
#define WC_FEATURES_neonbf16 "neon,bf16"

// The constraint by which inline assembly names a vector register that it changes.
#if defined(__aarch64__)
#define WC_VECTOR_REGISTER "+w"
#else
#define WC_VECTOR_REGISTER "+v"
#endif

#define WC_INLINE inline __attribute__((always_inline))
