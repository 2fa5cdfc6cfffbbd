// The arguments of state-space scans, RWKV-4's operator and causal convolutions; part of the kernel ABI, included by CWallclockKernels.h.
//
// Sequences are [tokens][channels], channels contiguous, rows a stride apart. Channels are lanes, so what belongs to a
// channel and does not change from token to token lies in panels of WC_CHANNEL_PANEL channels, the last padded with
// zeros: [channels/16][…][16]. A call may take any range of channels that begins at a panel, so that ranges run side
// by side. No output may overlap an input, but for a state, which is read and replaced.
#ifndef WALLCLOCK_SSM_H
#define WALLCLOCK_SSM_H

#include <stddef.h>
#include <stdint.h>

enum { WC_CHANNEL_PANEL = 16 };

// mamba1, the selective scan (Gu and Dao, arXiv 2312.00752). For each token t, channel d and state n
//   Δ = softplus(delta[t][d] + delta_bias[d])
//   h[d][n] ← e^(Δ·A[d][n])·h[d][n] + Δ·u[t][d]·B[t][n]
//   y[t][d] = (Σ_n C[t][n]·h[d][n] + skip[d]·u[t][d]) · silu(z[t][d])
// Denormals count as zero. tokens = 0 leaves the state as it is.
typedef struct wc_mamba1_args {
  size_t tokens, channels, states;
  const float *u;  // tokens×channels
  size_t ldu;
  const float *delta;  // tokens×channels
  size_t ld_delta;
  const float *delta_bias;  // channels, or null: none
  const float *a;           // A·log₂e, A ≤ 0: panels of [states][16]
  const float *b, *c;       // tokens×states
  size_t ldb, ldc;
  const float *skip;  // channels, or null: none
  const float *z;     // tokens×channels, or null: no gate
  size_t ldz;
  float *y;  // tokens×channels
  size_t ldy;
  float *state;  // panels of [states][16]: before the first token, then after the last
  size_t bt;     // knob: tokens that a panel takes at a time, 1 to WC_LARGEST_BT
} wc_mamba1_args;

enum { WC_LARGEST_BT = 64 };

// causal_conv1d, one filter of `width` taps per channel:
//   y[t][c] = f(Σ_{i < width} weight[c][i]·x[t − width + 1 + i][c] + bias[c]),  f the identity or SiLU
// Rows before the first come from the state, which then holds the last width − 1 rows of all, the oldest first.
typedef struct wc_conv1d_args {
  size_t tokens, channels, width;  // width ≥ 1
  const float *x;                  // tokens×channels
  size_t ldx;
  const float *weight;  // panels of [width][16]
  const float *bias;    // channels, or null: none
  float *y;             // tokens×channels
  size_t ldy;
  float *state;  // panels of [width − 1][16]; any where width = 1
  uint32_t silu;  // whether f is SiLU
} wc_conv1d_args;

// long_conv, a causal convolution with a filter as long as the sequence (Poli et al., arXiv 2302.10866):
//   y[t][c] = Σ_{s ≤ t} filter[s][c]·x[t − s][c] + skip[c]·x[t][c]
typedef struct wc_long_conv_args {
  size_t tokens, channels;
  size_t length;   // taps that the filter was packed with, ≥ tokens
  const float *x;  // tokens×channels
  size_t ldx;
  const void *shared;  // made by the row's share for `length`, or null where that takes no bytes
  const void *filter;  // the panels made by the row's pack, panel_bytes apart
  const float *skip;   // channels, or null: none
  float *y;            // tokens×channels
  size_t ldy;
  void *scratch;  // the row's scratch_bytes, a thread's own
} wc_long_conv_args;

// rwkv4, the WKV operator of RWKV-4 (Peng et al., arXiv 2305.13048). For each token t and channel, in the order of time
//   y[t] = (N + e^(u + k[t])·v[t]) / (D + e^(u + k[t]))
//   N ← e^(−w)·N + e^(k[t])·v[t],  D ← e^(−w)·D + e^(k[t])
// with N = A·2^⌊P⌉ and D = B·2^⌊P⌉: P is the greatest exponent in the sums, in units of log 2, about, and ⌊P⌉ the whole
// number nearest to it (ties to even). Nothing overflows for k and u + k up to 2²⁰ in magnitude; k may be −∞, for 2¹⁸ tokens
// on end at most.
// Denormals count as zero. tokens = 0 leaves the state as it is.
typedef struct wc_rwkv4_args {
  size_t tokens, channels;
  const float *k, *v;  // tokens×channels
  size_t ldk, ldv;
  // Panels of [4][16]: e^(−w), w·log₂e, e^u, u·log₂e with 0 ≤ w·log₂e ≤ 2²¹. Where w·log₂e > 60, e^(−w)·2^⌊w·log₂e⌉ comes
  // in place of e^(−w); in place of e^u comes 0 throughout a panel that has a w·log₂e or |u·log₂e| above 60.
  const float *parameters;
  float *y;  // tokens×channels
  size_t ldy;
  float *state;  // panels of [3][16]: A, B, P; 0, 0, −10³⁸ before the first token, then after the last
  size_t bt;     // knob: tokens that a panel takes at a time, 1 to WC_LARGEST_BT
} wc_rwkv4_args;

// s4d, a diagonal state space held for the length of a step (Gu et al., arXiv 2206.11893), as a recurrence. For each token t,
// channel d and conjugate pair n, states being complex
//   h[d][n] ← λ[d][n]·h[d][n] + u[t][d]
//   y[t][d] = Σ_n Re(C[d][n]·h[d][n]) + skip[d]·u[t][d]
// where λ = e^(ΔA) and C is twice C·(e^(ΔA) − 1)/A of the continuous system. Denormals count as zero.
typedef struct wc_s4d_args {
  size_t tokens, channels, pairs;
  const float *u;  // tokens×channels
  size_t ldu;
  const float *lambda;  // panels of [pairs][2][16]: real and imaginary parts, |λ| ≤ 1
  const float *c;       // panels of [pairs][2][16]: the real part, and the imaginary part negated
  const float *skip;    // channels, or null: none
  float *y;             // tokens×channels
  size_t ldy;
  float *state;     // panels of [pairs][2][16]: before the first token, then after the last
  uint32_t begins;  // whether the sequence begins here: the state is written only
  size_t bt;        // knob: tokens that a panel takes at a time, 1 to WC_LARGEST_BT
} wc_s4d_args;

// Taps after which the filter's powers of λ are made anew, and f64 values of scratch that a pair takes.
enum { WC_S4D_FILTER_BLOCK = 64, WC_S4D_FILTER_SCRATCH = 2 * WC_S4D_FILTER_BLOCK + 2 };

#endif
