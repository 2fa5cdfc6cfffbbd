// Expands every kernels.def into prototypes and one table.
#include "CWallclockKernels.h"

// Prototypes.
#define WC_GEMM(isa, name, a, b, acc, c, mr, nr, kr, layout, knobs, epilogues, flags, scratch, hook) \
  extern "C" wc_status name(const wc_gemm_args *);
#define WC_ATTENTION(isa, name, q, kv, acc, o, mr, nr, kr, knobs, flags, hook) \
  extern "C" wc_status name(const wc_attention_args *); \
  namespace wc { \
  extern const wc_attention_memory name##_memory; \
  }
#define WC_ROWWISE(isa, op, name, in, out, knobs, flags, hook) \
  extern "C" wc_status name(const wc_rowwise_args *);
#define WC_RECURRENCE(isa, op, name, lanes, knobs, scratch) \
  extern "C" wc_status name(const wc_recurrence_args *);
#define WC_MAMBA1(isa, name, knobs) extern "C" wc_status name(const wc_mamba1_args *);
#define WC_CONV1D(isa, name, knobs) extern "C" wc_status name(const wc_conv1d_args *);
#define WC_LONG_CONV(isa, name, memory, knobs) extern "C" wc_status name(const wc_long_conv_args *);
#define WC_RWKV4(isa, name, knobs) extern "C" wc_status name(const wc_rwkv4_args *);
#define WC_S4D_SCAN(isa, name, knobs) extern "C" wc_status name(const wc_s4d_args *);
#define WC_S4D_FFT(isa, name, convolution, memory, knobs)
#include "attention/kernels.def"
#include "conv/kernels.def"
#include "gemm/kernels.def"
#include "linattn/kernels.def"
#include "rowwise/kernels.def"
#include "ssm/kernels.def"
#undef WC_GEMM
#undef WC_ATTENTION
#undef WC_ROWWISE
#undef WC_RECURRENCE
#undef WC_MAMBA1
#undef WC_CONV1D
#undef WC_LONG_CONV
#undef WC_RWKV4
#undef WC_S4D_SCAN
#undef WC_S4D_FFT

namespace wc {
// What rows name in their `scratch` and `hook` columns; each op defines its own.
size_t gemm_scratch_none(size_t k);
size_t gemm_scratch_f32_panel16(size_t k);  // a K block of one panel of 16 columns, as f32
size_t gemm_scratch_f32_panel32(size_t k);
size_t gemm_scratch_bf16_panel32(size_t k);  // the same, as bf16
size_t gemm_scratch_bf16_panel48(size_t k);
size_t gemm_scratch_q4_panel8(size_t k);  // a K block of one panel, a code a byte, with f32 scales
size_t gemm_scratch_q4_panel16(size_t k);
size_t gemm_scratch_q4_panel24(size_t k);
size_t gemm_scratch_q4_panel32(size_t k);
size_t gemm_scratch_q4z_panel8(size_t k);  // and with s32 zero points
size_t gemm_scratch_q4z_panel16(size_t k);
size_t gemm_scratch_q4z_panel32(size_t k);
// For vectors of so many floats.
size_t recurrence_scratch_lanes1(size_t tokens, size_t dk, size_t dv);
size_t recurrence_scratch_lanes4(size_t tokens, size_t dk, size_t dv);
size_t recurrence_scratch_lanes8(size_t tokens, size_t dk, size_t dv);
size_t recurrence_scratch_lanes16(size_t tokens, size_t dk, size_t dv);
// By FFT, whose points are vectors of the ISA, and by the sums themselves.
extern const wc_long_conv_memory long_conv_memory_fft_scalar, long_conv_memory_direct_scalar, long_conv_memory_fft_avx2,
    long_conv_memory_direct_avx2, long_conv_memory_fft_avx512, long_conv_memory_direct_avx512,
    long_conv_memory_fft_neon, long_conv_memory_direct_neon;

struct thread_hook {
  wc_thread_fn enter, leave;
};
constexpr thread_hook hook_none{nullptr, nullptr};
}  // namespace wc

static const wc_kernel table[] = {
#define WC_GEMM(isa_, name_, a_, b_, acc_, c_, mr_, nr_, kr_, layout_, knobs_, epilogues_, flags_, scratch_, thread_) \
  {.name = #name_, .op = WC_OP_gemm, .isa = WC_ISA_##isa_, .a = WC_TYPE_##a_, .b = WC_TYPE_##b_, \
   .acc = WC_TYPE_##acc_, .c = WC_TYPE_##c_, .mr = mr_, .nr = nr_, .kr = kr_, .layout = WC_LAYOUT_##layout_, \
   .knobs = knobs_, .epilogues = epilogues_, .flags = flags_, .gemm = name_, .attention = nullptr, \
   .rowwise = nullptr, .gemm_scratch_bytes = wc::gemm_scratch_##scratch_, .attention_memory = nullptr, \
   .thread_enter = wc::hook_##thread_.enter, .thread_leave = wc::hook_##thread_.leave},
#define WC_ATTENTION(isa_, name_, q_, kv_, acc_, o_, mr_, nr_, kr_, knobs_, flags_, thread_) \
  {.name = #name_, .op = WC_OP_attention, .isa = WC_ISA_##isa_, .a = WC_TYPE_##q_, .b = WC_TYPE_##kv_, \
   .acc = WC_TYPE_##acc_, .c = WC_TYPE_##o_, .mr = mr_, .nr = nr_, .kr = kr_, .layout = WC_LAYOUT_none, \
   .knobs = knobs_, .epilogues = WC_EPILOGUE_none, .flags = flags_, .gemm = nullptr, .attention = name_, \
   .rowwise = nullptr, .gemm_scratch_bytes = nullptr, .attention_memory = &wc::name_##_memory, \
   .thread_enter = wc::hook_##thread_.enter, .thread_leave = wc::hook_##thread_.leave},
#define WC_ROWWISE(isa_, op_, name_, in_, out_, knobs_, flags_, thread_) \
  {.name = #name_, .op = WC_OP_##op_, .isa = WC_ISA_##isa_, .a = WC_TYPE_##in_, .b = WC_TYPE_none, \
   .acc = WC_TYPE_none, .c = WC_TYPE_##out_, .mr = 1, .nr = 1, .kr = 1, .layout = WC_LAYOUT_none, \
   .knobs = knobs_, .epilogues = WC_EPILOGUE_none, .flags = flags_, .gemm = nullptr, .attention = nullptr, \
   .rowwise = name_, .gemm_scratch_bytes = nullptr, .attention_memory = nullptr, \
   .thread_enter = wc::hook_##thread_.enter, .thread_leave = wc::hook_##thread_.leave},
#define WC_RECURRENCE(isa_, op_, name_, lanes_, knobs_, scratch_) \
  {.name = #name_, .op = WC_OP_##op_, .isa = WC_ISA_##isa_, .a = WC_TYPE_f32, .b = WC_TYPE_none, \
   .acc = WC_TYPE_f32, .c = WC_TYPE_f32, .mr = 1, .nr = lanes_, .kr = 1, .layout = WC_LAYOUT_none, \
   .knobs = knobs_, .epilogues = WC_EPILOGUE_none, .flags = WC_FLAGS_none, .recurrence = name_, \
   .recurrence_scratch_bytes = wc::recurrence_scratch_##scratch_},
// A sequence op in f32, its function in the field of its struct.
#define WC_SEQUENCE(isa_, op_, name_, knobs_, field_, ...) \
  {.name = #name_, .op = WC_OP_##op_, .isa = WC_ISA_##isa_, .a = WC_TYPE_f32, .b = WC_TYPE_none, \
   .acc = WC_TYPE_none, .c = WC_TYPE_f32, .mr = 1, .nr = 1, .kr = 1, .layout = WC_LAYOUT_none, \
   .knobs = knobs_, .epilogues = WC_EPILOGUE_none, .flags = WC_FLAGS_none, .field_ = name_, ##__VA_ARGS__},
#define WC_MAMBA1(isa, name, knobs) WC_SEQUENCE(isa, mamba1, name, knobs, mamba1)
#define WC_LONG_CONV(isa, name, memory, knobs) \
  WC_SEQUENCE(isa, long_conv, name, knobs, long_conv, .long_conv_memory = &wc::long_conv_memory_##memory)
#define WC_CONV1D(isa, name, knobs) WC_SEQUENCE(isa, causal_conv1d, name, knobs, conv1d)
#define WC_RWKV4(isa, name, knobs) WC_SEQUENCE(isa, rwkv4, name, knobs, rwkv4)
#define WC_S4D_SCAN(isa, name, knobs) WC_SEQUENCE(isa, s4d, name, knobs, s4d)
#define WC_S4D_FFT(isa_, name_, convolution_, memory_, knobs_) \
  {.name = #name_, .op = WC_OP_s4d, .isa = WC_ISA_##isa_, .a = WC_TYPE_f32, .b = WC_TYPE_none, \
   .acc = WC_TYPE_none, .c = WC_TYPE_f32, .mr = 1, .nr = 1, .kr = 1, .layout = WC_LAYOUT_none, \
   .knobs = knobs_, .epilogues = WC_EPILOGUE_none, .flags = WC_FLAGS_none, .long_conv = convolution_, \
   .long_conv_memory = &wc::long_conv_memory_##memory_},
#include "attention/kernels.def"
#include "conv/kernels.def"
#include "gemm/kernels.def"
#include "linattn/kernels.def"
#include "rowwise/kernels.def"
#include "ssm/kernels.def"
};

extern "C" const wc_kernel *wc_kernel_table(size_t *count) {
  *count = sizeof(table) / sizeof(table[0]);
  return table;
}
