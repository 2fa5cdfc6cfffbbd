// OpenBLAS as a backend: f32, with a bias and a residual.
//
// OpenBLAS has no call that packs weights ahead, so each run packs them anew; that is part of its time. Bias and residual are
// written to C, to which the product is then added.
#define _GNU_SOURCE
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wallclock_backend.h"

typedef struct prepared {
  wallclock_gemm gemm;
  float *w;     // N×K, on large pages where there are any
  float *bias;  // N, or null
} prepared;

static void release(void *data) {
  prepared *p = data;
  free(p->w);
  free(p->bias);
  free(p);
}

static int32_t prepare(const wallclock_gemm *gemm, void **out, wallclock_message *message) {
  if (gemm->size < sizeof *gemm) return WALLCLOCK_INVALID_ARGUMENT;
  const int64_t most = (blasint)~((blasint)1 << (8 * sizeof(blasint) - 1));
  if (gemm->m > most || gemm->n > most || gemm->k > most || gemm->lda > most || gemm->ldc > most) {
    snprintf(message->text, sizeof message->text, "this build of OpenBLAS takes sizes up to %lld", (long long)most);
    return WALLCLOCK_UNSUPPORTED;
  }
  prepared *p = calloc(1, sizeof *p);
  if (!p) return WALLCLOCK_OUT_OF_MEMORY;
  p->gemm = *gemm;
  const size_t bytes = (size_t)gemm->n * (size_t)gemm->k * sizeof(float), page = bytes < (2 << 20) ? 4096 : 2 << 20;
  void *weights = NULL;
  if (posix_memalign(&weights, page, (bytes + page - 1) / page * page) == 0) {
    if (page > 4096) madvise(weights, bytes, MADV_HUGEPAGE);
    p->w = memcpy(weights, gemm->w, bytes);
  }
  if (gemm->bias) {
    p->bias = malloc((size_t)gemm->n * sizeof(float));
    if (p->bias) memcpy(p->bias, gemm->bias, (size_t)gemm->n * sizeof(float));
  }
  if (!p->w || (gemm->bias && !p->bias)) {
    release(p);
    return WALLCLOCK_OUT_OF_MEMORY;
  }
  openblas_set_num_threads((int)gemm->threads);
  *out = p;
  return WALLCLOCK_OK;
}

// C = bias + residual, as far as there are any.
static void begin(const prepared *p, const wallclock_gemm_operands *o) {
  const wallclock_gemm *g = &p->gemm;
  for (int64_t m = 0; m < g->m; m++) {
    float *c = o->c + m * g->ldc;
    const float *residual = g->epilogue & WALLCLOCK_RESIDUAL ? o->residual + m * g->ldr : NULL;
    if (residual && p->bias) {
      for (int64_t n = 0; n < g->n; n++) c[n] = residual[n] + p->bias[n];
    } else if (residual != c) {
      memcpy(c, residual ? residual : p->bias, (size_t)g->n * sizeof(float));
    }
  }
}

static int32_t run(void *data, const wallclock_gemm_operands *o, wallclock_message *message) {
  (void)message;
  const prepared *p = data;
  const wallclock_gemm *g = &p->gemm;
  if (g->epilogue) begin(p, o);
  cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)g->m, (blasint)g->n, (blasint)g->k, 1, o->a, (blasint)g->lda, p->w,
      (blasint)g->k, g->epilogue ? 1 : 0, o->c, (blasint)g->ldc);
  return WALLCLOCK_OK;
}

WALLCLOCK_EXPORT int32_t wallclock_backend_v1(wallclock_backend *backend) {
  if (backend->abi != WALLCLOCK_BACKEND_ABI || backend->size < sizeof *backend) return WALLCLOCK_UNSUPPORTED;
  backend->size = sizeof *backend;
  snprintf(backend->name, sizeof backend->name, "openblas");
  // "OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY Zen MAX_THREADS=64": the first two words, and what it picked for this CPU.
  char number[32] = "";
  sscanf(openblas_get_config(), "OpenBLAS %31s", number);
  snprintf(backend->version, sizeof backend->version, "OpenBLAS %s, %s", number, openblas_get_corename());
  backend->problem_count = 1;
  backend->problems[0] = (wallclock_problem){
      .op = WALLCLOCK_GEMM, .activations = WALLCLOCK_F32, .weights = WALLCLOCK_F32,
      .epilogues = WALLCLOCK_BIAS | WALLCLOCK_RESIDUAL};
  backend->prepare = prepare;
  backend->run = run;
  backend->release = release;
  return WALLCLOCK_OK;
}
