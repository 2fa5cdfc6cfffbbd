// oneDNN (libdnnl 2 and 3) as a backend: f32, bf16, and 8-bit weights with 8-bit activations.
//
// Weights are reordered once into the layout that oneDNN asks for. A bf16 or 8-bit product begins with rounding the
// rows of A, which this file does on oneDNN's own threads. Bias, GELU and residual are oneDNN's post-operations, but
// those of 8-bit products this file's: they follow a scale for each row, with which oneDNN falls back to plain loops.
//
// 8-bit rows: s = max|x|/127, q = rne(x/s) + 128 as u8, which the dot products of x86 want on this side. What the 128
// adds, 128·Σw, is taken off as a bias.
#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#include "wallclock_backend.h"

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

using dnnl::memory;

namespace {

using type = memory::data_type;
using tag = memory::format_tag;

// ---------------------------------------------------------------------------------------------
// threads: oneDNN's own, where they are OpenMP's

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
void use_threads(int threads) { omp_set_num_threads(threads); }

template <class Body>
void on_threads(int threads, const Body &body) {
#pragma omp parallel num_threads(threads)
  body(omp_get_thread_num(), omp_get_num_threads());
}
#else
void use_threads(int) {}

template <class Body>
void on_threads(int, const Body &body) {
  body(0, 1);
}
#endif

// ---------------------------------------------------------------------------------------------
// rounding rows; each loop is one that compilers vectorise for each of these

#if defined(__x86_64__)
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORISED
#endif

VECTORISED void round_to_bf16(const float *x, int64_t count, uint16_t *y) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    y[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
  }
}

VECTORISED float round_to_8_bits(const float *x, int64_t count, uint8_t *q) {
  // The bits of magnitudes order as the magnitudes do, infinities and NaN last.
  uint32_t greatest = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    greatest = bits > greatest ? bits : greatest;
  }
  float magnitude;
  memcpy(&magnitude, &greatest, 4);
  const bool is_finite = greatest < 0x7f800000, is_zero = magnitude < 127 * 1.17549435e-38f;
  const float scale = !is_finite ? NAN : is_zero ? 0 : magnitude / 127;
  const float reciprocal = is_finite && !is_zero ? 127 / magnitude : 0;
  if (!is_finite) {
    memset(q, 128, static_cast<size_t>(count));
    return scale;
  }
  for (int64_t i = 0; i < count; i++) {
    // Adding 1.5·2²³ leaves the nearest whole number, ties to even, in the low bits.
    const float shifted = x[i] * reciprocal + 12582912.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    q[i] = static_cast<uint8_t>(bits + 128);
  }
  return scale;
}

// x · Φ(x), erf by Abramowitz and Stegun 7.1.26: within 1.5·10⁻⁷.
__attribute__((always_inline)) inline float gelu(float x) {
  const float z = std::fabs(x) * 0.70710678f;
  const float t = 1 / (1 + 0.3275911f * z);
  // e^(−z²) = 2^i · 2^f, i whole and |f| ≤ ½; 2^f by its Taylor series.
  const float unbounded = z * z * -1.44269504f, power = unbounded < -126 ? -126 : unbounded;
  const float shifted = power + 12582912.0f;
  int32_t bits;
  memcpy(&bits, &shifted, 4);
  const float f = (power - (shifted - 12582912.0f)) * 0.69314718f;
  const float series =
      1 + f * (1 + f * (1 / 2.f + f * (1 / 6.f + f * (1 / 24.f + f * (1 / 120.f + f * (1 / 720.f))))));
  const int32_t exponent = (bits - 0x4b400000 + 127) * (1 << 23);
  float whole;
  memcpy(&whole, &exponent, 4);
  const float tail =
      t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))))
      * (series * whole);
  return x * 0.5f * (x < 0 ? tail : 2 - tail);
}

template <bool has_gelu, bool has_residual>
__attribute__((always_inline)) inline void finish(
    float *c, int64_t count, float scale, const float *bias, const float *residual) {
  for (int64_t i = 0; i < count; i++) {
    const float x = c[i] * scale + bias[i];
    const float y = has_gelu ? gelu(x) : x;
    c[i] = has_residual ? y + residual[i] : y;
  }
}

// c = epilogue(c · scale); residual may be null.
VECTORISED void finish_row(
    float *c, int64_t count, float scale, const float *bias, bool has_gelu, const float *residual) {
  if (has_gelu) {
    residual ? finish<true, true>(c, count, scale, bias, residual) : finish<true, false>(c, count, scale, bias, nullptr);
  } else {
    residual ? finish<false, true>(c, count, scale, bias, residual) : finish<false, false>(c, count, scale, bias, nullptr);
  }
}

// ---------------------------------------------------------------------------------------------

// Zeroed memory on pages of its own: large ones, where there are any, for as much as fills them.
struct pages {
  explicit pages(size_t count) {
    const size_t page = count < (2 << 20) ? 4096 : 2 << 20;
    bytes = (count + page - 1) / page * page;
    if (posix_memalign(&data, page, bytes)) throw std::bad_alloc();
    if (page > 4096) madvise(data, bytes, MADV_HUGEPAGE);
    memset(data, 0, bytes);
  }
  ~pages() { free(data); }
  pages(const pages &) = delete;
  pages &operator=(const pages &) = delete;

  void *data = nullptr;
  size_t bytes = 0;
};

constexpr struct {
  uint32_t activations, weights;
  type source, packed;
} forms[] = {
    {WALLCLOCK_F32, WALLCLOCK_F32, type::f32, type::f32},
    {WALLCLOCK_BF16, WALLCLOCK_BF16, type::bf16, type::bf16},
    {WALLCLOCK_S8, WALLCLOCK_S8, type::u8, type::s8},
};

memory::desc rows(int64_t m, int64_t n, type t, int64_t stride) {
  return {memory::dims{m, n}, t, memory::dims{stride, 1}};
}

class prepared_gemm {
 public:
  explicit prepared_gemm(const wallclock_gemm &g);
  void run(const wallclock_gemm_operands &o);
  int threads() const { return threads_; }

 private:
  template <class Body>
  void for_rows(int64_t columns, const Body &body);
  memory copied(const memory::desc &desc, const std::vector<float> &values);
  std::vector<float> offset_of(const wallclock_gemm &g);
  void set_column_scales(dnnl::primitive_attr &attributes, const wallclock_gemm &g);
  void set_epilogue(dnnl::primitive_attr &attributes);

  int threads_;
  int64_t m_, n_, k_, lda_, ldc_, ldr_;
  uint32_t activations_, epilogue_;
  // Bytes from row to row of A as this file rounds it.
  int64_t pitch_ = 0;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::unique_ptr<pages> weights_, rounded_, scratch_;
  // Of 8-bit products: by row, and what is added after it.
  std::vector<float> row_scale_, late_bias_;
  memory a_, c_, residual_;
  dnnl::matmul matmul_;
  std::unordered_map<int, memory> arguments_;
};

prepared_gemm::prepared_gemm(const wallclock_gemm &g)
    : threads_(static_cast<int>(g.threads)), m_(g.m), n_(g.n), k_(g.k), lda_(g.lda), ldc_(g.ldc), ldr_(g.ldr),
      activations_(g.activations), epilogue_(g.epilogue) {
  const auto *form = forms;
  while (form->activations != g.activations || form->weights != g.weights) ++form;
  use_threads(threads_);
  const bool is_8_bit = g.weights == WALLCLOCK_S8;

  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  // The bias of the product itself.
  std::vector<float> bias(g.bias, g.bias ? g.bias + n_ : nullptr);
  if (is_8_bit) {
    late_bias_ = bias;
    late_bias_.resize(static_cast<size_t>(n_));
    bias = offset_of(g);
    row_scale_.resize(static_cast<size_t>(m_));
    set_column_scales(attributes, g);
  } else {
    set_epilogue(attributes);
  }

  int64_t stride = lda_;
  if (form->source != type::f32) {
    // A line apart from a multiple of 4 KiB, so that rows do not share a set of the cache.
    const int64_t width = is_8_bit ? 1 : 2;
    pitch_ = (k_ * width + 63) / 64 * 64;
    if (pitch_ % 4096 == 0) pitch_ += 64;
    stride = pitch_ / width;
    rounded_ = std::make_unique<pages>(static_cast<size_t>(m_ * pitch_));
  }
  const auto a = rows(m_, k_, form->source, stride), c = rows(m_, n_, type::f32, ldc_);
  const memory::desc any(memory::dims{k_, n_}, form->packed, tag::any);
  const auto b = bias.empty() ? memory::desc() : rows(1, n_, type::f32, n_);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc chosen(engine_, a, any, b, c, attributes);
#else
  const auto wanted = bias.empty() ? dnnl::matmul::desc(a, any, c) : dnnl::matmul::desc(a, any, b, c);
  const dnnl::matmul::primitive_desc chosen(wanted, attributes, engine_);
#endif
  matmul_ = dnnl::matmul(chosen);

  // W is N×K: as a K×N matrix its columns are dense.
  const memory::desc given(memory::dims{k_, n_}, form->packed, memory::dims{1, k_});
  memory from(given, engine_, const_cast<void *>(g.w));
  weights_ = std::make_unique<pages>(chosen.weights_desc().get_size());
  memory packed(chosen.weights_desc(), engine_, weights_->data);
  dnnl::reorder(from, packed).execute(stream_, from, packed);
  stream_.wait();

  scratch_ = std::make_unique<pages>(chosen.scratchpad_desc().get_size() + 1);
  a_ = memory(a, engine_, rounded_ ? rounded_->data : nullptr);
  c_ = memory(c, engine_, nullptr);
  arguments_.emplace(DNNL_ARG_SRC, a_);
  arguments_.emplace(DNNL_ARG_WEIGHTS, packed);
  arguments_.emplace(DNNL_ARG_DST, c_);
  arguments_.emplace(DNNL_ARG_SCRATCHPAD, memory(chosen.scratchpad_desc(), engine_, scratch_->data));
  if (!bias.empty()) arguments_.emplace(DNNL_ARG_BIAS, copied(b, bias));
}

// A memory of oneDNN's own that holds `values`.
memory prepared_gemm::copied(const memory::desc &desc, const std::vector<float> &values) {
  memory copy(desc, engine_);
  memcpy(copy.get_data_handle(), values.data(), values.size() * sizeof(float));
  return copy;
}

// What the 128 in the codes of A adds to each column, negated.
std::vector<float> prepared_gemm::offset_of(const wallclock_gemm &g) {
  std::vector<float> offset(static_cast<size_t>(n_));
  for (int64_t n = 0; n < n_; n++) {
    int64_t sum = 0;
    for (int64_t k = 0; k < k_; k++) sum += static_cast<const int8_t *>(g.w)[n * k_ + k];
    offset[n] = -128.0f * static_cast<float>(sum);
#if DNNL_VERSION_MAJOR >= 3
    // A bias is added after the scale of the column; oneDNN 2 adds it before.
    offset[n] *= g.w_scale[n];
#endif
  }
  return offset;
}

void prepared_gemm::set_column_scales(dnnl::primitive_attr &attributes, const wallclock_gemm &g) {
  const std::vector<float> scales(g.w_scale, g.w_scale + n_);
#if DNNL_VERSION_MAJOR >= 3
  attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
  const memory::desc desc(memory::dims{n_}, type::f32, tag::a);
  arguments_.emplace(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, copied(desc, scales));
#else
  attributes.set_output_scales(1 << 1, scales);
#endif
}

// GELU and residual as post-operations; the bias is an operand of the product.
void prepared_gemm::set_epilogue(dnnl::primitive_attr &attributes) {
  dnnl::post_ops after;
  const auto gelu = dnnl::algorithm::eltwise_gelu_erf;
#if DNNL_VERSION_MAJOR >= 3
  if (epilogue_ & WALLCLOCK_GELU) after.append_eltwise(gelu, 0, 0);
#else
  if (epilogue_ & WALLCLOCK_GELU) after.append_eltwise(1, gelu, 0, 0);
#endif
  if (epilogue_ & WALLCLOCK_RESIDUAL) {
    const auto desc = rows(m_, n_, type::f32, ldr_);
    after.append_binary(dnnl::algorithm::binary_add, desc);
    residual_ = memory(desc, engine_, nullptr);
    arguments_.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(after.len() - 1) | DNNL_ARG_SRC_1, residual_);
  }
  attributes.set_post_ops(after);
}

// Calls body(row) for every row, shared among the threads where they have enough to do to be worth waking.
template <class Body>
void prepared_gemm::for_rows(int64_t columns, const Body &body) {
  const auto share = [&](int thread, int count) {
    for (int64_t row = m_ * thread / count; row < m_ * (thread + 1) / count; row++) body(row);
  };
  if (threads_ == 1 || m_ * columns < 16384) {
    share(0, 1);
  } else {
    on_threads(threads_, share);
  }
}

void prepared_gemm::run(const wallclock_gemm_operands &o) {
  const bool is_8_bit = activations_ == WALLCLOCK_S8;
  if (rounded_) {
    for_rows(k_, [&](int64_t row) {
      uint8_t *to = static_cast<uint8_t *>(rounded_->data) + row * pitch_;
      if (is_8_bit) {
        row_scale_[row] = round_to_8_bits(o.a + row * lda_, k_, to);
      } else {
        round_to_bf16(o.a + row * lda_, k_, reinterpret_cast<uint16_t *>(to));
      }
    });
  } else {
    a_.set_data_handle(const_cast<float *>(o.a));
  }
  c_.set_data_handle(o.c);
  if (residual_) residual_.set_data_handle(const_cast<float *>(o.residual));
  matmul_.execute(stream_, arguments_);
  stream_.wait();
  if (is_8_bit) {
    const bool has_gelu = epilogue_ & WALLCLOCK_GELU;
    for_rows(n_, [&](int64_t row) {
      const float *residual = epilogue_ & WALLCLOCK_RESIDUAL ? o.residual + row * ldr_ : nullptr;
      finish_row(o.c + row * ldc_, n_, row_scale_[row], late_bias_.data(), has_gelu, residual);
    });
  }
}

// ---------------------------------------------------------------------------------------------

template <class Body>
int32_t guarded(wallclock_message *message, const Body &body) {
  try {
    body();
    return WALLCLOCK_OK;
  } catch (const dnnl::error &e) {
    snprintf(message->text, sizeof message->text, "oneDNN: %s", e.message);
    return e.status == dnnl_unimplemented ? WALLCLOCK_UNSUPPORTED
           : e.status == dnnl_out_of_memory ? WALLCLOCK_OUT_OF_MEMORY
                                            : WALLCLOCK_FAILED;
  } catch (const std::bad_alloc &) {
    return WALLCLOCK_OUT_OF_MEMORY;
  } catch (const std::exception &e) {
    snprintf(message->text, sizeof message->text, "%s", e.what());
    return WALLCLOCK_FAILED;
  }
}

int32_t prepare(const wallclock_gemm *gemm, void **prepared, wallclock_message *message) {
  if (gemm->size < sizeof *gemm) return WALLCLOCK_INVALID_ARGUMENT;
  return guarded(message, [&] { *prepared = new prepared_gemm(*gemm); });
}

int32_t run(void *prepared, const wallclock_gemm_operands *operands, wallclock_message *message) {
  return guarded(message, [&] { static_cast<prepared_gemm *>(prepared)->run(*operands); });
}

void release(void *prepared) { delete static_cast<prepared_gemm *>(prepared); }

int32_t parallel(void *prepared, wallclock_body_fn body, void *context) {
  on_threads(static_cast<prepared_gemm *>(prepared)->threads(), [&](int thread, int count) {
    body(context, static_cast<uint32_t>(thread), static_cast<uint32_t>(count));
  });
  return WALLCLOCK_OK;
}

}  // namespace

extern "C" WALLCLOCK_EXPORT int32_t wallclock_backend_v1(wallclock_backend *backend) {
  if (backend->abi != WALLCLOCK_BACKEND_ABI || backend->size < sizeof *backend) return WALLCLOCK_UNSUPPORTED;
  backend->size = sizeof *backend;
  snprintf(backend->name, sizeof backend->name, "onednn");
  const dnnl_version_t *version = dnnl_version();
  snprintf(backend->version, sizeof backend->version, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
  for (const auto &form : forms) {
    wallclock_problem &problem = backend->problems[backend->problem_count++];
    problem.op = WALLCLOCK_GEMM;
    problem.activations = form.activations;
    problem.weights = form.weights;
    problem.epilogues = WALLCLOCK_BIAS | WALLCLOCK_GELU | WALLCLOCK_RESIDUAL;
  }
  backend->prepare = prepare;
  backend->run = run;
  backend->release = release;
  backend->parallel = parallel;
  return WALLCLOCK_OK;
}
