// The plug-in ABI, version 1: how a library that is no part of Wallclock computes its Problems.
//
// A backend is a shared library that exports `wallclock_backend_v1`. Wallclock loads it into a process of its own,
// checks what it computes against the oracle, and times it there; kernels/backends/README.md tells how to write one.
//
// Pure C, and no memory changes hands: Wallclock reads nothing but what it allocated itself and the library filled
// in. A library may read what it is given until the call returns, unless a line says otherwise, and keeps copies of
// what it needs longer. Every size is checked before a field behind it is read, on both sides: each struct begins
// with the bytes its maker knows, and a later version of this ABI may append fields, never change one.
#ifndef WALLCLOCK_BACKEND_H
#define WALLCLOCK_BACKEND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WALLCLOCK_BACKEND_ABI 1u

// What every call returns. The numbers are part of the ABI, as are all below.
enum {
  WALLCLOCK_OK = 0,
  WALLCLOCK_UNSUPPORTED = 1,       // this host or this size cannot be served; no fault
  WALLCLOCK_INVALID_ARGUMENT = 2,  // the caller broke a promise of this file
  WALLCLOCK_OUT_OF_MEMORY = 3,
  WALLCLOCK_FAILED = 4,            // anything else; say what in the message
};

enum { WALLCLOCK_GEMM = 1 };

// Element types. Each is little-endian and dense.
enum {
  WALLCLOCK_F32 = 1,
  WALLCLOCK_BF16 = 2,
  WALLCLOCK_S8 = 3,
  WALLCLOCK_Q4 = 4,  // one byte a code, 0 to 15; value = scale · (code − 8), one scale per `group` values along K
};

// What follows the product, in this order.
enum {
  WALLCLOCK_BIAS = 1,      // + bias[n]
  WALLCLOCK_GELU = 2,      // x · Φ(x), the form with erf
  WALLCLOCK_RESIDUAL = 4,  // + residual[m][n]
};

// UTF-8 for people, ended by a zero; one line, no newline. Wallclock shows it where a call fails.
typedef struct wallclock_message {
  char text[256];
} wallclock_message;

// A row of the table of problems a backend takes: C[M×N] f32 = epilogue(A[M×K] f32 · W[N×K]ᵀ).
//
// activations is the type that A's values are brought to before they are multiplied, as part of `run`:
//   F32   none: products and sums in f32
//   BF16  the nearest bf16, ties to even; sums in f32
//   S8    8 bits a value, with a scale, and an offset if it likes, for each row of A, found in that row. Which grid is the
//         backend's choice, as long as its steps are no wider than max|row|/127; sums are exact.
typedef struct wallclock_problem {
  uint32_t op;           // WALLCLOCK_GEMM
  uint32_t activations;  // F32, BF16, S8
  uint32_t weights;      // F32, BF16, S8, Q4
  uint32_t group;        // Q4: 32, 64 or 128; else 0
  uint32_t epilogues;    // every bit that it takes, in any combination
  uint32_t reserved[3];  // 0
} wallclock_problem;

// One GEMM to prepare for. All of it is the caller's, and gone when `prepare` returns.
typedef struct wallclock_gemm {
  uint32_t size;  // bytes of this struct that the caller filled
  uint32_t op, activations, weights, group;  // of one row of the table
  uint32_t epilogue;                         // bits of that row
  uint32_t threads;  // that may compute at a time, the caller's among them; the process has so many CPUs. ≥ 1
  uint32_t reserved;
  int64_t m, n, k;       // ≥ 1; Q4: K is a multiple of `group`
  int64_t lda, ldc, ldr;  // from row to row of the operands of every run, in elements; ≥ K, N, N
  const void *w;         // N×K, row-major: row n holds the weights of output n
  const float *w_scale;  // S8: n, value = scale[n] · code; Q4: N×(K/group), row-major; else null
  const float *bias;     // n, or null without WALLCLOCK_BIAS
} wallclock_gemm;

// The operands of one run, row-major. The ranges do not overlap, except that residual may be c.
typedef struct wallclock_gemm_operands {
  uint32_t size;
  uint32_t reserved;
  const float *a;         // M×K
  float *c;               // M×N; overwritten
  const float *residual;  // M×N; null without WALLCLOCK_RESIDUAL
} wallclock_gemm_operands;

// Packs the weights, starts threads, compiles: whatever is done once. Its time is reported apart from that of the
// runs. On WALLCLOCK_OK, *prepared is the backend's own until it is given to `release`; else there is nothing to
// release. Several may live at once.
typedef int32_t (*wallclock_prepare_fn)(const wallclock_gemm *gemm, void **prepared, wallclock_message *message);

// Computes C, by at most `threads` threads, and returns when C is written. Called from the thread that prepared, one at a
// time. Allocates nothing if it can help it: this is what is timed. Operands differ from call to call.
typedef int32_t (*wallclock_run_fn)(
    void *prepared, const wallclock_gemm_operands *operands, wallclock_message *message);

// Calls body(context, i, threads) once on each thread i of those that `run` computes with, and returns when all are
// done. With it Wallclock leaves activations in the caches of these threads, as other operations in a model would.
typedef void (*wallclock_body_fn)(void *context, uint32_t thread, uint32_t threads);
typedef int32_t (*wallclock_parallel_fn)(void *prepared, wallclock_body_fn body, void *context);

// Gives back all that `prepare` took.
typedef void (*wallclock_release_fn)(void *prepared);

enum { WALLCLOCK_MOST_PROBLEMS = 64 };

typedef struct wallclock_backend {
  uint32_t abi;   // first in every version. In: the program's WALLCLOCK_BACKEND_ABI. Out: the library's
  uint32_t size;  // in: bytes the program has room for. Out: bytes the library filled, no more than that
  char name[32];  // what users call it: a to z, 0 to 9, - and _, a letter first; ended by a zero
  char version[64];  // of what computes, for people
  uint32_t problem_count;
  uint32_t reserved;
  wallclock_problem problems[WALLCLOCK_MOST_PROBLEMS];
  wallclock_prepare_fn prepare;
  wallclock_run_fn run;
  wallclock_release_fn release;
  wallclock_parallel_fn parallel;  // or null: only the calling thread is to be had
} wallclock_backend;

// The entry point. *backend comes zeroed but for abi and size. A library that does not know that abi, or needs more
// room, returns WALLCLOCK_UNSUPPORTED. Called once, before anything else, with the CPUs of the process already limited
// to as many as there will be threads.
int32_t wallclock_backend_v1(wallclock_backend *backend);
typedef int32_t (*wallclock_backend_v1_fn)(wallclock_backend *backend);

#if defined(__GNUC__)
#define WALLCLOCK_EXPORT __attribute__((visibility("default")))
#else
#define WALLCLOCK_EXPORT
#endif

#ifdef __cplusplus
}
#endif
#endif
