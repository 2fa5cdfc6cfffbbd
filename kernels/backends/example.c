// A backend to begin with: f32, on the calling thread, in plain loops. README.md beside this file goes with it.
//
//   cc -std=c11 -O3 -march=native -shared -fPIC -I kernels/include kernels/backends/example.c -o backends/example.so
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wallclock_backend.h"

// What `prepare` keeps: copies, since what it was given is gone when it returns.
typedef struct prepared {
  wallclock_gemm gemm;
  float *columns;  // K×N: W turned over, so that the innermost loop runs along a row of C
  float *bias;     // N zeros where there is none
} prepared;

static void release(void *data) {
  prepared *p = data;
  free(p->columns);
  free(p->bias);
  free(p);
}

static int32_t prepare(const wallclock_gemm *gemm, void **out, wallclock_message *message) {
  // A program older than this file would fill less of the struct than is read here.
  if (gemm->size < sizeof *gemm) return WALLCLOCK_INVALID_ARGUMENT;
  const size_t n = (size_t)gemm->n, k = (size_t)gemm->k;
  prepared *p = calloc(1, sizeof *p);
  if (p) {
    p->gemm = *gemm;
    p->columns = malloc(n * k * sizeof(float));
    p->bias = calloc(n, sizeof(float));
  }
  if (!p || !p->columns || !p->bias) {
    if (p) release(p);
    snprintf(message->text, sizeof message->text, "no memory for %zu×%zu weights", n, k);
    return WALLCLOCK_OUT_OF_MEMORY;
  }
  const float *w = gemm->w;
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < k; j++) p->columns[j * n + i] = w[i * k + j];
  }
  if (gemm->bias) memcpy(p->bias, gemm->bias, n * sizeof(float));
  *out = p;
  return WALLCLOCK_OK;
}

static int32_t run(void *data, const wallclock_gemm_operands *o, wallclock_message *message) {
  (void)message;
  const prepared *p = data;
  const wallclock_gemm *g = &p->gemm;
  for (int64_t m = 0; m < g->m; m++) {
    const float *restrict a = o->a + m * g->lda;
    float *restrict c = o->c + m * g->ldc;
    memcpy(c, p->bias, (size_t)g->n * sizeof(float));
    for (int64_t k = 0; k < g->k; k++) {
      const float *restrict row = p->columns + k * g->n;
      for (int64_t n = 0; n < g->n; n++) c[n] += a[k] * row[n];
    }
  }
  return WALLCLOCK_OK;
}

WALLCLOCK_EXPORT int32_t wallclock_backend_v1(wallclock_backend *backend) {
  if (backend->abi != WALLCLOCK_BACKEND_ABI || backend->size < sizeof *backend) return WALLCLOCK_UNSUPPORTED;
  backend->size = sizeof *backend;
  snprintf(backend->name, sizeof backend->name, "example");
  snprintf(backend->version, sizeof backend->version, "1.0");
  backend->problem_count = 1;
  backend->problems[0] = (wallclock_problem){
      .op = WALLCLOCK_GEMM, .activations = WALLCLOCK_F32, .weights = WALLCLOCK_F32, .epilogues = WALLCLOCK_BIAS};
  backend->prepare = prepare;
  backend->run = run;
  backend->release = release;
  return WALLCLOCK_OK;
}
