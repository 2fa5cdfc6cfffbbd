// The kernels that decoder_f32.hpp, select_f32.hpp and sample_f32.hpp make for one ISA. Include inside its target region.
#define WC_ROW_ENTRY(name, ...) \
  extern "C" wc_status name(const wc_rowwise_args *g) { return __VA_ARGS__(*g); }

#define WC_DECODER_ENTRIES(isa) \
  WC_ROW_ENTRY(rmsnorm_f32_##isa, rms_norm<wc::row_lanes_##isa>) \
  WC_ROW_ENTRY(gelu_f32_##isa, activate<wc::row_lanes_##isa, by_gelu<wc::row_lanes_##isa>, false>) \
  WC_ROW_ENTRY(silu_f32_##isa, activate<wc::row_lanes_##isa, by_silu<wc::row_lanes_##isa>, false>) \
  WC_ROW_ENTRY(gelutanh_f32_##isa, activate<wc::row_lanes_##isa, by_gelu_tanh<wc::row_lanes_##isa>, false>) \
  WC_ROW_ENTRY(softplus_f32_##isa, activate<wc::row_lanes_##isa, by_softplus<wc::row_lanes_##isa>, false>) \
  WC_ROW_ENTRY(swiglu_f32_##isa, activate<wc::row_lanes_##isa, by_silu<wc::row_lanes_##isa>, true>) \
  WC_ROW_ENTRY(softmax_f32_##isa, softmax<wc::row_lanes_##isa>) \
  WC_ROW_ENTRY(rope_f32_##isa, rope<wc::row_lanes_##isa, false>) \
  WC_ROW_ENTRY(ropeinterleaved_f32_##isa, rope<wc::row_lanes_##isa, true>) \
  WC_ROW_ENTRY(argmax_f32_##isa, argmax<wc::row_lanes_##isa>) \
  WC_ROW_ENTRY(topk_f32_##isa, top_k<wc::row_lanes_##isa>) \
  WC_ROW_ENTRY(sampling_f32_##isa, sampling<wc::row_lanes_##isa>)
