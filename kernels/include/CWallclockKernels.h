// The kernel ABI: status codes, argument structs and the table of every kernel in this build.
//
// A kernel is a pure function over one block of a Problem on one ISA. It owns no memory, starts no
// thread, takes no lock, and touches nothing outside the ranges its arguments describe. The caller
// blocks, packs, schedules and supplies scratch.
//
// Letters are the field's own: M, N, K problem sizes; mr×nr register tile; kr = K values
// interleaved in packed B; mc/kc/nc cache blocks. Strides are in elements unless the name says
// bytes.
#ifndef CWALLCLOCKKERNELS_H
#define CWALLCLOCKKERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "wallclock_backend.h"
#include "wallclock_ssm.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------
// Vocabulary. The numbers are not stable across builds; the names are.

typedef enum wc_status {
  WC_OK = 0,
  WC_INVALID_ARGUMENT = 1,  // an argument is outside what the table row promises
  WC_UNSUPPORTED = 2,       // this build or this row does not do that
} wc_status;

typedef enum wc_isa {
  WC_ISA_scalar = 0,
  WC_ISA_avx2,  // AVX2 + FMA + F16C
  WC_ISA_avxvnni,
  WC_ISA_avx512,  // F + BW + DQ + VL
  WC_ISA_avx512vnni,
  WC_ISA_avx512bf16,
  WC_ISA_amxint8,
  WC_ISA_amxbf16,
  WC_ISA_neon,
  WC_ISA_neondot,
  WC_ISA_neoni8mm,
  WC_ISA_neonbf16,
} wc_isa;

typedef enum wc_type {
  WC_TYPE_none = 0,
  WC_TYPE_f32,
  WC_TYPE_f16,
  WC_TYPE_bf16,
  WC_TYPE_s8,
  WC_TYPE_u8,   // an s8 value plus 128
  WC_TYPE_s16,  // an s8 value widened
  WC_TYPE_s32,
  WC_TYPE_q4g32,  // unsigned 4-bit codes, value = scale·(code − 8), one f16 scale per 32 along K
  WC_TYPE_q4g64,
  WC_TYPE_q4g128,
  WC_TYPE_q4zg32,  // the same with a zero point per group: value = scale·(code − zero), zero 0 … 15
  WC_TYPE_q4zg64,
  WC_TYPE_q4zg128,
  WC_TYPE_s8g32,  // s8 codes, one f16 scale per 32 along K; A then has a scale per 32 too
} wc_type;

typedef enum wc_op {
  WC_OP_gemm = 0,
  WC_OP_attention,
  WC_OP_quantize,    // rows f32 → the A type of a GEMM kernel, with scales and group sums
  WC_OP_layer_norm,  // rows
  WC_OP_gelu,        // elementwise, erf form
  WC_OP_residual,    // elementwise sum
  WC_OP_embedding,   // gather and sum of rows
  WC_OP_mean_pool,   // mean over the rows of each sequence, then L2 normalisation if asked
  // Recurrences over a state of dk×dv, see wc_recurrence_args.
  WC_OP_linear_attention,
  WC_OP_retention,
  WC_OP_gla,
  WC_OP_rwkv6,
  WC_OP_rwkv7,
  WC_OP_delta_net,
  WC_OP_gated_delta_net,
  WC_OP_mamba2,
  WC_OP_mamba1,         // wallclock_ssm.h has this and the next ones' arguments
  WC_OP_causal_conv1d,
  WC_OP_long_conv,
  WC_OP_rwkv4,
  WC_OP_s4d,  // some rows are long_conv's functions, for the filter that wc_s4d_filter makes
  // Row-wise ops of a decoder, see wc_rowwise_args.
  WC_OP_rms_norm,
  WC_OP_silu,
  WC_OP_gelu_tanh,
  WC_OP_softplus,
  WC_OP_swiglu,
  WC_OP_softmax,
  WC_OP_rope,              // a pair is value i and value i + rotary/2 of a head
  WC_OP_rope_interleaved,  // a pair is values 2i and 2i + 1
  WC_OP_argmax,
  WC_OP_top_k,
  WC_OP_sampling,
} wc_op;

// How the B operand lies in memory once packed.
typedef enum wc_layout {
  WC_LAYOUT_none = 0,
  // [N/nr][K/kr][nr][kr] elements of the row's B type; N padded with zeros to nr, K to kr.
  WC_LAYOUT_panel,
  // [N/nr][K/g] records of g·nr/2 bytes of codes followed by nr f16 scales and, for q4z, nr/2 bytes of zero
  // points, the even column's in the low nibble. Codes: k-steps of kr
  // values are taken in pairs; byte [nr][kr] of a pair holds step 2i in its low nibble and step
  // 2i+1 in its high nibble, so that unpacking needs an AND and a shift, no permute.
  WC_LAYOUT_q4_panel,
  // As q4_panel, but for each column eight codes along K (kr = 8) in four bytes: 16-bit word w holds
  // K value 2i + w from bit 4i up, so that one shift brings a pair of neighbours into place.
  WC_LAYOUT_q4_pair_panel,
  // [N/nr][K/g] records of [g/kr][nr][kr] 8-bit codes followed by nr f16 scales.
  WC_LAYOUT_s8_group_panel,
} wc_layout;

// Run-time knobs a kernel reads, and so what the tuner may vary. Bits.
typedef enum wc_knobs {
  WC_KNOBS_none = 0,
  WC_KNOB_mc = 1 << 0,        // rows per block
  WC_KNOB_nc = 1 << 1,        // columns per block, a multiple of nr
  WC_KNOB_kc = 1 << 2,        // K per block, a multiple of kr and of the quant group
  WC_KNOB_prefetch = 1 << 3,  // gemm: bytes ahead in packed B; attention: see there; 0 = none
  WC_KNOB_bq = 1 << 4,        // query rows per block (attention)
  WC_KNOB_bk = 1 << 5,        // keys per block (attention)
  WC_KNOB_rows = 1 << 6,      // rows per range handed to a thread (row-wise ops)
  WC_KNOB_split = 1 << 7,     // keys per part handed to a thread, 0 = all (attention over a cache)
  WC_KNOB_chunk = 1 << 8,     // tokens per pass over the state (recurrences)
  WC_KNOB_bt = 1 << 9,        // tokens per block (scans and convolutions)
  WC_KNOB_bc = 1 << 10,        // channels per range handed to a thread (the same)
} wc_knobs;

// What may follow the last K block, in this order: scale, bias, activation, gate, residual, conversion.
// Bits; at most one activation and one conversion.
typedef enum wc_epilogue {
  WC_EPILOGUE_none = 0,
  WC_EPILOGUE_bias = 1 << 0,
  WC_EPILOGUE_gelu = 1 << 1,  // erf form
  WC_EPILOGUE_residual = 1 << 2,
  WC_EPILOGUE_silu = 1 << 3,
  WC_EPILOGUE_relu = 1 << 4,
  WC_EPILOGUE_gelu_tanh = 1 << 5,
  // C[m, j] = activation(gate[m, j]) · up[m, j]: SwiGLU, GEGLU, … , bilinear without an activation. Half of W's
  // columns are gates, half ups, see wc_gemm_gated_column.
  WC_EPILOGUE_gated = 1 << 6,
  WC_EPILOGUE_bf16 = 1 << 7,  // C is bf16: to nearest even, NaN quieted
  WC_EPILOGUE_s8 = 1 << 8,    // C is codes of c_scale
  WC_EPILOGUE_u8 = 1 << 9,    // the same plus 128
  WC_ACTIVATIONS = WC_EPILOGUE_gelu | WC_EPILOGUE_silu | WC_EPILOGUE_relu | WC_EPILOGUE_gelu_tanh,
  WC_CONVERSIONS = WC_EPILOGUE_bf16 | WC_EPILOGUE_s8 | WC_EPILOGUE_u8,
  WC_EPILOGUES = WC_EPILOGUE_bias | WC_EPILOGUE_residual | WC_ACTIVATIONS | WC_EPILOGUE_gated | WC_CONVERSIONS,
} wc_epilogue;

typedef enum wc_flags {
  WC_FLAGS_none = 0,
  WC_EXACT = 1 << 0,       // same bits as every other WC_EXACT row of the same A value type and B type
  WC_ACCUMULATE = 1 << 1,  // K may be split over calls through `acc`
} wc_flags;

// ---------------------------------------------------------------------------------------------
// gemm: C[M×N] = epilogue(A[M×K] · W[K×N])

enum {
  WC_GEMM_FIRST = 1 << 0,  // first K block: accumulators start from zero (or compensation)
  WC_GEMM_LAST = 1 << 1,   // last K block: apply scales and epilogue, write C
};

// One block of a GEMM: any m ≥ 0, n ≥ 0; k ≥ 0 is the extent of this K block.
//
// Between FIRST and LAST the accumulators live in `acc`; a call that is both never touches `acc`.
// k = 0 with FIRST|LAST writes what the epilogue makes of zero.
//
// Epilogue arithmetic, the same on every ISA (fma = fused, one rounding):
//   s8 weights, a8:  t = (float)acc_s32 · a_scale[m];  with a_offset t = fma(a_offset[m], (float)b_sum[n], t);
//                t = fma(t, b_scale[n], bias[n])
//   q4 weights, a8:  per group in ascending order g: f = fma((float)(Σ_s32 − 8·a_sum[m][g]),
//                scale[n][g], f);  t = fma(f, a_scale[m], bias[n])
//   q4z weights, a8: the same with zero[n][g] for 8. The s32 difference is below 2²⁴, so exact in f32
//   s8g32 weights:   per group in ascending order g: f = fma((float)Σ_s32 · a_scale[m][g], scale[n][g], f);
//                t = f + bias[n]
//   float weights:   t = acc + bias[n]
//   s8 weights, float a:  acc = Σ a·w in f32, codes widened exactly;  t = fma(acc, b_scale[n], bias[n])
// then the activation, with gated · the up's t, then + residual[m][j], then the conversion.
//
// Codes: q = clamp(rne(x · f), −127, 127), f = 1/c_scale in f32; 0 where x is NaN, and everywhere in a row
// whose scale is not a positive normal number. The scale is the caller's: one that follows the row's largest
// value is known only when all of N is, in a pass of its own (op quantize).
typedef struct wc_gemm_args {
  size_t m, n, k;
  const void *a;  // m×k, row-major, the row's A type; rows are padded with zeros to a multiple of kr
  size_t lda;
  const float *a_scale;   // m; A types s8, u8, s16. B type s8g32: m × (k/32)
  size_t lda_scale;       // from one row of scales to the next; B type s8g32
  const float *a_offset;  // m, or null: row m of A stands for a_scale[m]·q + a_offset[m]; B type s8, needs b_sum
  const int32_t *a_sum;   // m × (k/g): Σ of A's s8 values over each group of this K block; B types q4, q4z, s8g32
  size_t lda_sum;
  const void *b;          // packed; points at (first panel of the block, first k of the K block)
  size_t b_panel_bytes;   // from one nr-wide panel to the next
  const float *b_scale;   // n; B type s8
  const int32_t *b_sum;   // n: Σ over the whole K of the s8 weights; A type u8, or with a_offset
  const float *bias;      // n, or null
  const float *residual;  // m×n (gated: m×n/2), or null; may equal c when that is f32
  size_t ldr;
  void *c;  // m×n (gated: m×n/2) f32, or what the conversion makes; overwritten on the last K block
  size_t ldc;
  const float *c_scale;  // what one code counts, m of them; s8 and u8 outputs
  size_t c_scale_step;   // 1: a scale a row; 0: one for all
  void *acc;  // m×n s32 (s8 weights, a8) or f32 (others), n rounded up to nr columns, 64-byte aligned
  size_t ldacc;
  void *scratch;       // the row's gemm_scratch_bytes(k), 64-byte aligned, or null when that is 0
  uint32_t flags;      // WC_GEMM_FIRST | WC_GEMM_LAST
  uint32_t epilogue;   // WC_EPILOGUE_ bits
  uint32_t prefetch;   // knob
} wc_gemm_args;

// ---------------------------------------------------------------------------------------------
// attention: O = softmax(scale · Q·Kᵀ, capped, sloped, masked) · V for the query heads that share one head of K and V

enum { WC_MASK_full = 0, WC_MASK_causal = 1 };

// q, o: tq positions of `group` heads of d values each; position i, head h at i·ld + h·head. k, v: tk×d.
//
// Position i stands at p = q_first + i + tk − tq_total among the keys: the last query beside the last key. Key j is
// seen where j ≤ p (causal; full: j < p + window, or anywhere without one) and, with a window, where j > p − window
// or j < sinks. Its score is s = scale·q·k, then cap·tanh(s/cap), then − slope·|p − j|. A query that sees no key gets
// zeros. Deterministic for given bq, bk and parts.
typedef struct wc_attention_args {
  size_t tq, tk, d;
  size_t group;     // query heads
  size_t q_first;   // index of q's first position within its sequence
  size_t tq_total;  // positions in the sequence
  const float *q;
  size_t ldq, q_head;
  float *o;
  size_t ldo, o_head;
  const float *k, *v;  // the reference reads these, kernels the cache
  size_t ldk, ldv;
  float scale;
  float softcap;        // 0: none
  const float *slopes;  // ALiBi, one a head; null: none
  uint32_t mask;
  size_t window, sinks;  // window 0: none
  const void *cache;     // what the row's append made of k and v, 64-byte aligned
  size_t capacity;       // keys it has room for
  size_t k_first, k_end;  // the part of the keys to look at; k_first a multiple of nr
  // Null, or where to write a part of the keys' result instead of o: for each (position, head) d sums not yet divided,
  // then the greatest score in units of log₂e, then the sum of the weights. The row's `merge` makes o of all parts.
  float *partial;
  void *scratch;    // the row's scratch_bytes(bq, bk, group, d), 64-byte aligned
  size_t bq, bk;    // knobs: rows, which are (position, head) pairs, and keys per block
  // Knob. Not 0: panels are read one by one, and while keys are read their values are fetched, and while those are the
  // next block's keys: for a cache in memory and few rows.
  size_t prefetch;
} wc_attention_args;

// ---------------------------------------------------------------------------------------------
// row-wise ops: one struct, each op reads the fields its comment names

typedef struct wc_rowwise_args {
  size_t rows, columns;
  const float *x;  // rows×columns
  size_t ldx;
  float *y;  // rows×columns; may equal x except in mean_pool
  size_t ldy;

  // layer_norm: y = (x + residual − mean)/√(var + epsilon) · weight + bias;  residual may be null, or y
  // residual: y = x + residual
  const float *residual;
  size_t ldr;
  const float *weight, *bias;
  float epsilon;

  // quantize: q rows×columns of the row's output type, columns padded with zeros (u8: 128) to ldq;
  // symmetric, s = max|x|/127 in f32, 0 when that is subnormal; q = rne(x·(1/s)) with 1/s rounded to
  // f32 once a row, s = 0 ⇒ q = 0. |q| ≤ 127 follows.
  // A row holding a NaN or an infinity gets scale NaN and zeros, so that every output that uses it
  // is NaN. group > 0: also sums[row][column/group] = Σ of the s8 values (the last group may be short).
  // ld_scale > 0, which needs a group and no offsets: each group has a scale of its own, scale[row][column/group],
  // and stands for what a row is said to be above.
  // Output bf16: q = the nearest bf16, ties to even, NaN quieted; scale, sums, group unused.
  void *q;
  size_t ldq;
  float *scale;
  size_t ld_scale;
  // offset, when not null, asks for centred codes: offset[row] = ½·max + ½·min of the row in f32, and
  // q is made of x − offset[row]. The range of a row that is not symmetric is then used whole.
  float *offset;
  int32_t *sums;
  size_t ld_sums;
  size_t group;

  // embedding: y[r] = table[0][ids[0][r]] + table[1][ids[1][r]] + …, rows of a table `columns` apart;
  // 1 to 3 tables; ids are checked by the caller
  const float *tables[3];
  const int32_t *ids[3];
  size_t table_count;

  // mean_pool: rows = sequences; sequence s is x rows starts[s] ..< starts[s+1];
  // y[s] = mean of them (zeros when empty), divided by its L2 norm, unless that is 0, when normalize != 0
  const int64_t *starts;
  int32_t normalize;

  // rms_norm: h = x + residual, or x; y = h/√(mean of h² + epsilon) · weight. h goes to `sum` where that is not null;
  // sum may be residual or x, and no output another. Without residual sum must be null.
  // silu, gelu_tanh, softplus: y = f(x).  swiglu: y = silu(x) · residual.
  // softmax: y = e^(x − max)/Σ e^(x − max). −∞ weighs nothing, a row of nothing else is zeros, as a query that sees no
  // key; a row with a NaN or +∞ is NaN.
  float *sum;
  size_t ld_sum;

  // rope: columns = heads·head_dim; pair i of each head is turned by the angle whose cosine and sine are in row ids[0][r]
  // of the tables, ld_angles apart; values from `rotary` on stay as they are. rotary is even, ≤ head_dim.
  // rope: cosines, sines of rotary/2.  rope_interleaved: of rotary, each cosine twice, each sine as −sin, +sin.
  const float *cosines, *sines;
  size_t ld_angles;
  size_t head_dim, rotary;

  // argmax, top_k, sampling: indices rows×1, ×k, ×1. A row with a NaN has no order: −1, and y is NaN.
  // argmax: the greatest value's, the lowest of equal ones.
  // top_k: the k greatest, 1 ≤ k ≤ min(columns, WC_LARGEST_TOP_K), descending, equal ones by index; y rows×k their values.
  // sampling: w = e^((x − max)/temperature), to a multiple of 2⁻³², 0 below 2⁻³³; of the k greatest (k = 0: of all), as
  // top_k orders them, the fewest whose weights come to top_p of theirs, 0 < top_p ≤ 1. Of those, by ascending index,
  // the first whose weights so far exceed uniform[r] of them all, uniform in [0, 1). temperature 0 is argmax. −1 also
  // where the greatest is infinite.
  int32_t *indices;
  size_t ld_indices;
  size_t k;
  float temperature, top_p;
  const double *uniform;
} wc_rowwise_args;

enum { WC_LARGEST_TOP_K = 256 };

// ---------------------------------------------------------------------------------------------
// recurrences: linear attention and its family, one head and some columns of its state

// A state S of dk×dv and, for each token t, rows q, k of dk and v of dv:
//   linear_attention  S += φ(k)vᵀ, z += φ(k); o = φ(q)ᵀS / (φ(q)ᵀz + epsilon), φ(x) = elu(x) + 1
//   retention         S = e^{log_decay}·S + kvᵀ; o = scale·qᵀS
//   gla               S = Diag(e^decay)S + kvᵀ; o = scale·qᵀS
//   rwkv6             o = scale·qᵀ(S + Diag(bonus)kvᵀ), then S = Diag(e^decay)S + kvᵀ
//   rwkv7             S = Diag(e^decay)S + b(Sᵀa)ᵀ + kvᵀ, Sᵀa of the S before; o = scale·qᵀS
//   delta_net         S += rate·k(v − Sᵀk)ᵀ; o = scale·qᵀS
//   gated_delta_net   S = e^decay·S, then as delta_net; one decay a token
//   mamba2            S = e^{rate·log_decay}·S + rate·kvᵀ; o = scale·qᵀS + skip·v; rate is Δ, k is B, q is C
// Decays are given as logarithms, which must be ≤ 0; −∞ clears the state. Columns of S are independent: a
// call may take any dv of them, with v, o and state moved to the first. Subnormal numbers count as zero.
typedef struct wc_recurrence_args {
  size_t tokens, dk, dv;
  const float *q, *k;  // tokens×dk
  size_t ldq, ldk;
  const float *v;  // tokens×dv
  size_t ldv;
  const float *a, *b;  // tokens×dk; rwkv7
  size_t lda, ldb;
  const float *decay;  // gla, rwkv6, rwkv7: tokens×dk; gated_delta_net: tokens, ld_decay apart
  size_t ld_decay;
  const float *rate;  // delta rules, mamba2: tokens, ld_rate apart
  size_t ld_rate;
  const float *bonus;  // dk; rwkv6
  float log_decay;     // retention, mamba2
  float skip;          // mamba2
  float scale;
  float epsilon;  // linear_attention
  float *o;       // tokens×dv; overwritten
  size_t ldo;
  float *state;  // dk×dv: S before, then S after
  size_t ld_state;
  const float *z;  // dk; linear_attention: z before
  float *z_after;  // dk, or null; may equal z
  void *scratch;   // the row's recurrence_scratch_bytes(tokens, dk, dv), 64-byte aligned
  size_t chunk;    // knob: tokens per pass over the state, 1, 2, 4 or 8
} wc_recurrence_args;

// ---------------------------------------------------------------------------------------------
// weights: quantising and packing, done once, ahead of the call

// f32 weights N×K (row n = output n, as PyTorch's Linear stores them) → codes of type b, row-major
// N×K, one byte per 4-bit code (two per bf16). s8: scales[n]; q4, q4z: scales[n][k/g], rounded to f16
// before the codes are chosen, and k must be a multiple of g. f32, bf16: scales unused.
// Symmetric: s8 s = max|w|/127; q4 s = (the entry of largest magnitude)/−8, code = clamp(rne(w/s) + 8, 0, 15).
// s8g32 as s8, by groups and with scales[n][k/32] rounded to f16 first, codes clamped to ±127.
// Asymmetric: q4z s = (max(w, 0) − min(w, 0))/15 of the group, zero = clamp(rne(−min(w, 0)/s), 0, 15),
// code = clamp(rne(w/s) + zero, 0, 15); each byte holds the code in its low and the group's zero in its high nibble.
wc_status wc_weights_quantize(
    wc_type b, size_t n, size_t k, const float *w, size_t ldw, void *codes, float *scales);

// Back to f32: the values a kernel multiplies by.
wc_status wc_weights_dequantize(
    wc_type b, size_t n, size_t k, const void *codes, const float *scales, float *w, size_t ldw);

// ---------------------------------------------------------------------------------------------
// the table

typedef wc_status (*wc_gemm_fn)(const wc_gemm_args *);
typedef wc_status (*wc_attention_fn)(const wc_attention_args *);
typedef wc_status (*wc_rowwise_fn)(const wc_rowwise_args *);
typedef wc_status (*wc_recurrence_fn)(const wc_recurrence_args *);
typedef wc_status (*wc_mamba1_fn)(const wc_mamba1_args *);
typedef wc_status (*wc_conv1d_fn)(const wc_conv1d_args *);
typedef wc_status (*wc_long_conv_fn)(const wc_long_conv_args *);
typedef wc_status (*wc_rwkv4_fn)(const wc_rwkv4_args *);
typedef wc_status (*wc_s4d_fn)(const wc_s4d_args *);
typedef wc_status (*wc_thread_fn)(void);  // AMX tile configuration, FTZ; null for most rows

// What an attention row needs beside its operands.
typedef struct wc_attention_memory {
  // Bytes of one head's cache of keys and values.
  size_t (*cache_bytes)(size_t capacity, size_t d);
  // Writes keys first ..< first + count, those before them written already. A cache needs no clearing first.
  wc_status (*append)(
      void *cache, size_t capacity, size_t d, size_t first, size_t count, const float *k, size_t ldk, const float *v,
      size_t ldv);
  size_t (*scratch_bytes)(size_t bq, size_t bk, size_t group, size_t d);
  // o from `parts` partial results, part_stride floats apart, in their order.
  wc_status (*merge)(
      size_t parts, size_t positions, size_t group, size_t d, const float *partial, size_t part_stride, float *o,
      size_t ldo, size_t o_head);
} wc_attention_memory;

// What a long_conv row needs beside its operands. All memory is 64-byte aligned.
typedef struct wc_long_conv_memory {
  // Bytes of what all panels share, of a panel of a packed filter, and of scratch, for a filter of `length` taps.
  size_t (*shared_bytes)(size_t length);
  size_t (*panel_bytes)(size_t length);
  size_t (*scratch_bytes)(size_t length);
  wc_status (*share)(size_t length, void *shared);
  // A filter of length×channels, row-major, into panels.
  wc_status (*pack)(
      size_t length, size_t channels, const float *filter, size_t ld_filter, const void *shared, void *packed,
      void *scratch);
} wc_long_conv_memory;

typedef struct wc_kernel {
  const char *name;
  wc_op op;
  wc_isa isa;
  wc_type a, b, acc, c;  // gemm: A, B, accumulator, C; attention: Q, KV, accumulator, O; row-wise: in, –, –, out
  uint16_t mr, nr, kr;
  wc_layout layout;
  uint32_t knobs;
  uint32_t epilogues;
  uint32_t flags;
  wc_gemm_fn gemm;
  wc_attention_fn attention;
  wc_rowwise_fn rowwise;
  size_t (*gemm_scratch_bytes)(size_t k);  // gemm: scratch for a K block of k
  const wc_attention_memory *attention_memory;
  wc_mamba1_fn mamba1;
  wc_conv1d_fn conv1d;
  wc_long_conv_fn long_conv;
  const wc_long_conv_memory *long_conv_memory;
  wc_rwkv4_fn rwkv4;
  wc_s4d_fn s4d;
  wc_recurrence_fn recurrence;
  size_t (*recurrence_scratch_bytes)(size_t tokens, size_t dk, size_t dv);
  wc_thread_fn thread_enter, thread_leave;
} wc_kernel;

// The taps of the convolution that s4d is, filter[l][d] = Σ_n Re(C[d][n]·λ[d][n]^l), length×channels, from the panels of
// wc_s4d_args; skip is not in them. scratch: WC_S4D_FILTER_SCRATCH f64 for
// each pair.
wc_status wc_s4d_filter(
    size_t length, size_t channels, size_t pairs, const float *lambda, const float *c, float *filter, size_t ld_filter,
    void *scratch);

// The rows of this build, in a stable order; rows of other architectures are not in the build.
const wc_kernel *wc_kernel_table(size_t *count);

// What the packed B of an n×k matrix takes for this row, in bytes, and the stride between panels.
size_t wc_gemm_packed_bytes(const wc_kernel *kernel, size_t n, size_t k, size_t *panel_bytes);

// Packs codes (and, for q4, scales) as wc_weights_quantize made them into `packed` (64-byte
// aligned, wc_gemm_packed_bytes long); `sums`, when not null, gets Σ_k of the s8 weights per n.
wc_status wc_gemm_pack(
    const wc_kernel *kernel, size_t n, size_t k, const void *codes, const float *scales,
    void *packed, int32_t *sums);

// Gated: where row `row` of the n×k matrix that holds n/2 gates and then their n/2 ups goes among the packed
// columns. Each panel has the gates of nr/2 outputs and then their ups; the last may lack outputs in both
// halves, so what the call's n columns read (b, b_scale, b_sum, bias, acc) is whole panels, zeros where nothing
// is. Any row of the table can do it, for nr is even.
size_t wc_gemm_gated_column(const wc_kernel *kernel, size_t n, size_t row);

// Byte offset, within a packed panel, of K index k (a multiple of kr, of 2·kr and g for q4).
size_t wc_gemm_packed_offset(const wc_kernel *kernel, size_t k);

// ---------------------------------------------------------------------------------------------
// references: plain loops in f64, the oracle's twin. Used to check a kernel before it is timed.

// One element of C as a kernel should make it, and what its tolerance is taken of.
typedef struct wc_gemm_element {
  double value;  // of codes: in units of the scale, clamped, not rounded, without the 128 of u8
  double magnitude;  // Σ of the absolute products and |bias| behind what the activation takes
  double activated;  // what the activation gives
  double up, up_magnitude;  // the gated factor, and as `magnitude` for it; 1 and 0 without
  double residual;
} wc_gemm_element;

// codes and scales as wc_weights_quantize made them (gated: all gates, then all ups); a and bias as the
// kernel takes them.
wc_status wc_gemm_reference(
    const wc_kernel *kernel, size_t m, size_t n, size_t k, const wc_gemm_args *args,
    const void *codes, const float *scales, size_t row, size_t column, wc_gemm_element *element);

// All of o (tq×group×d, row-major, f64) for the arguments of an attention call.
wc_status wc_attention_reference(const wc_attention_args *args, double *o);

// What a cache of `type` gives back of rows of d keys or values: y, rows×d. WC_UNSUPPORTED: no cache has that type.
wc_status wc_attention_kept(wc_type type, size_t rows, size_t d, const float *x, size_t ldx, float *y);

// All of y (or, for quantize, the dequantised q: of bf16 when scale is null, else of the 8-bit values)
// as f64, rows×columns, row-major. argmax rows×1 and top_k rows×k make indices. sampling makes rows×2: of the answer
// in args->indices the share of all weights that lies before it, and with it; −1 twice where it may not be drawn.
wc_status wc_rowwise_reference(wc_op op, const wc_rowwise_args *args, double *y);

// What a call should make, in f64, row-major. z is made, and needed, by linear_attention alone.
typedef struct wc_recurrence_result {
  double *o;      // tokens×dv
  double *state;  // dk×dv: S after
  double *z;      // dk: z after
  // The size of what o and S are sums of, which their rounding goes with: S the largest that each element or
  // what a token adds to it ever was, and o's summands as if S were that. As o and S.
  double *o_size, *state_size;
} wc_recurrence_result;

// For the arguments of a call of `op`; args' own o, state and z_after are not written.
wc_status wc_recurrence_reference(wc_op op, const wc_recurrence_args *args, const wc_recurrence_result *result);

// Sequences and state as the kernels take them; y tokens×channels, row-major, and the state after the last token in
// the panels' layout, both f64. Where a state is read it is args->state, which is left as it is.
wc_status wc_mamba1_reference(const wc_mamba1_args *args, double *y, double *state);
wc_status wc_conv1d_reference(const wc_conv1d_args *args, double *y, double *state);
wc_status wc_rwkv4_reference(const wc_rwkv4_args *args, double *y, double *state);
wc_status wc_s4d_reference(const wc_s4d_args *args, double *y, double *state);

// Σ_{s ≤ t} filter[s]·x[t − s] of one channel, strides in elements.
double wc_long_conv_reference(size_t t, const float *x, size_t ldx, const float *filter, size_t ld_filter);

// ---------------------------------------------------------------------------------------------
// probes: instruction streams and read streams whose rate is a ceiling

typedef enum wc_probe_kind { WC_PROBE_int8 = 0, WC_PROBE_int4, WC_PROBE_bf16, WC_PROBE_f32, WC_PROBE_read } wc_probe_kind;

typedef struct wc_probe {
  const char *name;     // "int8.avx512vnni.24chains", "read.avx2.4streams.prefetch512"
  wc_probe_kind kind;
  wc_isa isa;
  // Compute: runs `iterations` turns and returns arithmetic operations done (a MAC is two).
  // Read: reads `bytes` at `data` once per iteration and returns bytes read.
  double (*run)(size_t iterations, const void *data, size_t bytes);
} wc_probe;

const wc_probe *wc_probe_table(size_t *count);

// Writes one byte of every 64-byte line in bytes [0, bytes) at `data`, its value unchanged: the caller's
// core then owns the lines, as if it had just computed them.
void wc_rewrite_lines(void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
