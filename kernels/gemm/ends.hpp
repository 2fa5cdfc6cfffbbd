// What scalar and vector code read of a call's epilogue. No include guard on purpose: each file includes
// this inside its own target region and unnamed namespace.

WC_INLINE bool is_gated(const wc_gemm_args &g) { return g.epilogue & WC_EPILOGUE_gated; }

// At most one of the bits.
WC_INLINE bool one_at_most(uint32_t bits) { return (bits & (bits - 1)) == 0; }

WC_INLINE bool valid_ends(const wc_gemm_args &g) {
  if (g.epilogue & ~uint32_t(WC_EPILOGUES)) return false;
  if (!one_at_most(g.epilogue & WC_ACTIVATIONS) || !one_at_most(g.epilogue & WC_CONVERSIONS)) return false;
  if ((g.epilogue & WC_EPILOGUE_bias) && !g.bias) return false;
  if ((g.epilogue & WC_EPILOGUE_residual) && !g.residual) return false;
  if ((g.epilogue & (WC_EPILOGUE_s8 | WC_EPILOGUE_u8)) && !g.c_scale) return false;
  return !is_gated(g) || g.n % 2 == 0;
}

// What an output of a row is multiplied by to be a code: 0 for a scale that is not a positive normal number.
WC_INLINE float code_factor(const wc_gemm_args &g, size_t row) {
  const float scale = g.c_scale[row * g.c_scale_step];
  return scale >= 1.17549435e-38f ? 1.0f / scale : 0.0f;
}
