// The table of probes. A ceiling is the best of the probes of its kind that the host can run.
#include "CWallclockKernels.h"

#include "compute_amx.hpp"
#include "compute_avx2.hpp"
#include "compute_avx512.hpp"
#include "compute_neon.hpp"
#include "compute_scalar.hpp"
#include "read.hpp"

#define WC_PROBE(kind, isa, name, ...) {name, WC_PROBE_##kind, WC_ISA_##isa, __VA_ARGS__}

#define WC_READ(isa, streams, distance) \
  WC_PROBE(read, isa, "read." #isa "." #streams "streams.prefetch" #distance, \
           probe_read_##isa<streams, distance>)
#define WC_READ_DISTANCES(isa, streams) \
  WC_READ(isa, streams, 0), WC_READ(isa, streams, 256), WC_READ(isa, streams, 512), \
      WC_READ(isa, streams, 1024), WC_READ(isa, streams, 2048), WC_READ(isa, streams, 4096)
#define WC_READ_STREAMS(isa) \
  WC_READ_DISTANCES(isa, 1), WC_READ_DISTANCES(isa, 2), WC_READ_DISTANCES(isa, 4), \
      WC_READ_DISTANCES(isa, 8)

static const wc_probe table[] = {
    WC_PROBE(f32, scalar, "f32.scalar.8chains", probe_f32_scalar<8>),
    WC_PROBE(f32, scalar, "f32.scalar.12chains", probe_f32_scalar<12>),
    WC_PROBE(bf16, scalar, "bf16.scalar.8chains", probe_bf16_scalar<8>),
    WC_PROBE(int8, scalar, "int8.scalar.4chains", probe_int8_scalar<4>),
    WC_PROBE(int8, scalar, "int8.scalar.8chains", probe_int8_scalar<8>),
    WC_PROBE(int4, scalar, "int4.scalar.4chains", probe_int4_scalar<4>),
    WC_PROBE(int4, scalar, "int4.scalar.8chains", probe_int4_scalar<8>),
    WC_READ_STREAMS(scalar),
#if defined(__x86_64__)
    WC_PROBE(f32, avx2, "f32.avx2.8chains", probe_f32_avx2<8>),
    WC_PROBE(f32, avx2, "f32.avx2.10chains", probe_f32_avx2<10>),
    WC_PROBE(f32, avx2, "f32.avx2.12chains", probe_f32_avx2<12>),
    WC_PROBE(f32, avx2, "f32.avx2.14chains", probe_f32_avx2<14>),
    WC_PROBE(bf16, avx2, "bf16.avx2.8chains.reuse4", probe_bf16_fma_avx2<8, 4>),
    WC_PROBE(bf16, avx2, "bf16.avx2.12chains.reuse1", probe_bf16_fma_avx2<12, 1>),
    WC_PROBE(bf16, avx2, "bf16.avx2.12chains.reuse3", probe_bf16_fma_avx2<12, 3>),
    WC_PROBE(bf16, avx2, "bf16.avx2.12chains.reuse6", probe_bf16_fma_avx2<12, 6>),
    WC_PROBE(int8, avx2, "int8.avx2.maddwd.6chains", probe_int8_maddwd_avx2<6>),
    WC_PROBE(int8, avx2, "int8.avx2.maddwd.8chains", probe_int8_maddwd_avx2<8>),
    WC_PROBE(int8, avx2, "int8.avx2.maddwd.12chains", probe_int8_maddwd_avx2<12>),
    WC_PROBE(int8, avx2, "int8.avx2.maddubs.6chains", probe_int8_maddubs_avx2<6>),
    WC_PROBE(int8, avx2, "int8.avx2.maddubs.8chains", probe_int8_maddubs_avx2<8>),
    WC_PROBE(int8, avx2, "int8.avx2.maddubs.12chains", probe_int8_maddubs_avx2<12>),
    WC_PROBE(int4, avx2, "int4.avx2.4chains.period4", probe_int4_maddubs_avx2<4, 4>),
    WC_PROBE(int4, avx2, "int4.avx2.4chains.period8", probe_int4_maddubs_avx2<4, 8>),
    WC_PROBE(int4, avx2, "int4.avx2.6chains.period8", probe_int4_maddubs_avx2<6, 8>),
    WC_READ_STREAMS(avx2),
    WC_PROBE(int8, avxvnni, "int8.avxvnni.8chains", probe_int8_avxvnni<8>),
    WC_PROBE(int8, avxvnni, "int8.avxvnni.10chains", probe_int8_avxvnni<10>),
    WC_PROBE(int8, avxvnni, "int8.avxvnni.12chains", probe_int8_avxvnni<12>),
    WC_PROBE(int4, avxvnni, "int4.avxvnni.6chains", probe_int4_avxvnni<6>),
    WC_PROBE(int4, avxvnni, "int4.avxvnni.10chains", probe_int4_avxvnni<10>),
    WC_PROBE(f32, avx512, "f32.avx512.8chains", probe_f32_avx512<8>),
    WC_PROBE(f32, avx512, "f32.avx512.12chains", probe_f32_avx512<12>),
    WC_PROBE(f32, avx512, "f32.avx512.16chains", probe_f32_avx512<16>),
    WC_PROBE(f32, avx512, "f32.avx512.24chains", probe_f32_avx512<24>),
    WC_PROBE(bf16, avx512, "bf16.avx512.12chains.reuse6", probe_bf16_fma_avx512<12, 6>),
    WC_PROBE(bf16, avx512, "bf16.avx512.16chains.reuse4", probe_bf16_fma_avx512<16, 4>),
    WC_PROBE(bf16, avx512, "bf16.avx512.24chains.reuse6", probe_bf16_fma_avx512<24, 6>),
    WC_PROBE(int8, avx512, "int8.avx512.maddwd.12chains", probe_int8_maddwd_avx512<12>),
    WC_PROBE(int8, avx512, "int8.avx512.maddwd.24chains", probe_int8_maddwd_avx512<24>),
    WC_PROBE(int8, avx512, "int8.avx512.maddubs.12chains", probe_int8_maddubs_avx512<12>),
    WC_PROBE(int8, avx512, "int8.avx512.maddubs.24chains", probe_int8_maddubs_avx512<24>),
    WC_PROBE(int4, avx512, "int4.avx512.6chains.period8", probe_int4_maddubs_avx512<6, 8>),
    WC_PROBE(int4, avx512, "int4.avx512.12chains.period8", probe_int4_maddubs_avx512<12, 8>),
    WC_READ_STREAMS(avx512),
    WC_PROBE(int8, avx512vnni, "int8.avx512vnni.8chains", probe_int8_vnni<8>),
    WC_PROBE(int8, avx512vnni, "int8.avx512vnni.12chains", probe_int8_vnni<12>),
    WC_PROBE(int8, avx512vnni, "int8.avx512vnni.16chains", probe_int8_vnni<16>),
    WC_PROBE(int8, avx512vnni, "int8.avx512vnni.24chains", probe_int8_vnni<24>),
    WC_PROBE(int4, avx512vnni, "int4.avx512vnni.12chains", probe_int4_vnni<12, 8, false>),
    WC_PROBE(int4, avx512vnni, "int4.avx512vnni.24chains", probe_int4_vnni<24, 8, false>),
    WC_PROBE(int4, avx512vnni, "int4.avx512vnni.12chains.g32", probe_int4_vnni<12, 8, true>),
    WC_PROBE(int4, avx512vnni, "int4.avx512vnni.12chains.g128", probe_int4_vnni<12, 32, true>),
    WC_PROBE(bf16, avx512bf16, "bf16.avx512bf16.8chains", probe_bf16_dot<8>),
    WC_PROBE(bf16, avx512bf16, "bf16.avx512bf16.12chains", probe_bf16_dot<12>),
    WC_PROBE(bf16, avx512bf16, "bf16.avx512bf16.16chains", probe_bf16_dot<16>),
    WC_PROBE(bf16, avx512bf16, "bf16.avx512bf16.24chains", probe_bf16_dot<24>),
    WC_PROBE(int8, amxint8, "int8.amxint8.4tiles", probe_int8_amx),
    WC_PROBE(bf16, amxbf16, "bf16.amxbf16.4tiles", probe_bf16_amx),
#elif defined(__aarch64__)
    WC_PROBE(f32, neon, "f32.neon.8chains", probe_f32_neon<8>),
    WC_PROBE(f32, neon, "f32.neon.16chains", probe_f32_neon<16>),
    WC_PROBE(f32, neon, "f32.neon.24chains", probe_f32_neon<24>),
    WC_PROBE(bf16, neon, "bf16.neon.8chains.reuse4", probe_bf16_fma_neon<8, 4>),
    WC_PROBE(bf16, neon, "bf16.neon.16chains.reuse8", probe_bf16_fma_neon<16, 8>),
    WC_PROBE(bf16, neon, "bf16.neon.24chains.reuse6", probe_bf16_fma_neon<24, 6>),
    WC_PROBE(int8, neon, "int8.neon.smlal.8chains", probe_int8_smlal<8>),
    WC_PROBE(int8, neon, "int8.neon.smlal.16chains", probe_int8_smlal<16>),
    WC_PROBE(int8, neon, "int8.neon.smlal.24chains", probe_int8_smlal<24>),
    WC_PROBE(int4, neon, "int4.neon.4chains.period8", probe_int4_smlal<4, 8>),
    WC_PROBE(int4, neon, "int4.neon.8chains.period8", probe_int4_smlal<8, 8>),
    WC_PROBE(int4, neon, "int4.neon.8chains.period16", probe_int4_smlal<8, 16>),
    WC_READ_STREAMS(neon),
    WC_PROBE(int8, neondot, "int8.neondot.8chains", probe_int8_sdot<8>),
    WC_PROBE(int8, neondot, "int8.neondot.16chains", probe_int8_sdot<16>),
    WC_PROBE(int8, neondot, "int8.neondot.24chains", probe_int8_sdot<24>),
    WC_PROBE(int4, neondot, "int4.neondot.12chains.g32", probe_int4_sdot<12, 8>),
    WC_PROBE(int4, neondot, "int4.neondot.12chains.g128", probe_int4_sdot<12, 32>),
    WC_PROBE(int8, neoni8mm, "int8.neoni8mm.8chains", probe_int8_smmla<8>),
    WC_PROBE(int8, neoni8mm, "int8.neoni8mm.16chains", probe_int8_smmla<16>),
    WC_PROBE(int8, neoni8mm, "int8.neoni8mm.24chains", probe_int8_smmla<24>),
    WC_PROBE(int4, neoni8mm, "int4.neoni8mm.12chains.g32", probe_int4_smmla<12, 4>),
    WC_PROBE(int4, neoni8mm, "int4.neoni8mm.12chains.g128", probe_int4_smmla<12, 16>),
    WC_PROBE(bf16, neonbf16, "bf16.neonbf16.bfmmla.8chains", probe_bf16_bfmmla<8>),
    WC_PROBE(bf16, neonbf16, "bf16.neonbf16.bfmmla.16chains", probe_bf16_bfmmla<16>),
    WC_PROBE(bf16, neonbf16, "bf16.neonbf16.bfmmla.24chains", probe_bf16_bfmmla<24>),
    WC_PROBE(bf16, neonbf16, "bf16.neonbf16.bfdot.8chains", probe_bf16_bfdot<8>),
    WC_PROBE(bf16, neonbf16, "bf16.neonbf16.bfdot.16chains", probe_bf16_bfdot<16>),
    WC_PROBE(bf16, neonbf16, "bf16.neonbf16.bfdot.24chains", probe_bf16_bfdot<24>),
#endif
};

extern "C" void wc_rewrite_lines(void *data, size_t bytes) {
  volatile char *p = static_cast<volatile char *>(data);
  for (size_t i = 0; i < bytes; i += 64) p[i] = p[i];
}

extern "C" const wc_probe *wc_probe_table(size_t *count) {
  *count = sizeof(table) / sizeof(table[0]);
  return table;
}
