// One case on one row of the kernel table: builds the arguments in guarded memory, calls, compares.
#pragma once

#include <setjmp.h>
#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CWallclockKernels.h"
#include "case_file.hpp"
#include "guarded.hpp"

namespace check {

// A fault inside a kernel returns here, with its signal and address. The thread that faults handles it.
inline thread_local sigjmp_buf fault_return;
inline thread_local volatile sig_atomic_t fault_signal;
inline thread_local void *volatile fault_address;

inline void on_fault(int signal, siginfo_t *info, void *) {
  fault_signal = signal;
  fault_address = info->si_addr;
  siglongjmp(fault_return, 1);
}

inline double f64_at(const unsigned char *p, size_t i) {
  double value;
  memcpy(&value, p + i * sizeof value, sizeof value);
  return value;
}

// Element i of memory that holds `type`.
inline double value_at(const std::string &type, const unsigned char *p, size_t i) {
  const auto load = [&](auto value) {
    memcpy(&value, p + i * sizeof value, sizeof value);
    return value;
  };
  if (type == "f32") return load(0.0f);
  if (type == "s8") return load(int8_t{});
  if (type == "u8") return load(uint8_t{});
  if (type == "s16") return load(int16_t{});
  if (type == "s32") return load(int32_t{});
  if (type == "s64") return static_cast<double>(load(int64_t{}));
  if (type == "f64") return load(0.0);
  const uint32_t bits = static_cast<uint32_t>(load(uint16_t{})) << 16;  // bf16
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

inline const char *name_of(wc_type type) {
  switch (type) {
    case WC_TYPE_f32: return "f32";
    case WC_TYPE_f16: return "f16";
    case WC_TYPE_bf16: return "bf16";
    case WC_TYPE_s8: return "s8";
    case WC_TYPE_u8: return "u8";
    case WC_TYPE_s16: return "s16";
    case WC_TYPE_s32: return "s32";
    default: return "";
  }
}

inline size_t group_of(wc_type type) {
  switch (type) {
    case WC_TYPE_q4g32:
    case WC_TYPE_q4zg32:
    case WC_TYPE_s8g32: return 32;
    case WC_TYPE_q4g64:
    case WC_TYPE_q4zg64: return 64;
    case WC_TYPE_q4g128:
    case WC_TYPE_q4zg128: return 128;
    default: return 0;
  }
}

class call {
 public:
  call(const wc_kernel &kernel, const kernel_case &c, placement where)
      : kernel_(kernel), case_(c), where_(where) {}

  // Empty when the result is right, else what is wrong.
  std::string run() {
    if (!place()) return error_;
    // What is prepared here is the runner's and the packing's work; a fault in it is a failure too.
    std::string failed;
    if (sigsetjmp(fault_return, 1) == 0) {
      switch (kernel_.op) {
        case WC_OP_gemm: failed = gemm(); break;
        case WC_OP_attention: failed = attention(); break;
        case WC_OP_linear_attention:
        case WC_OP_retention:
        case WC_OP_gla:
        case WC_OP_rwkv6:
        case WC_OP_rwkv7:
        case WC_OP_delta_net:
        case WC_OP_gated_delta_net:
        case WC_OP_mamba2: failed = recurrence(); break;
        case WC_OP_mamba1: failed = mamba1(); break;
        case WC_OP_causal_conv1d: failed = conv1d(); break;
        case WC_OP_long_conv: failed = long_conv(); break;
        case WC_OP_rwkv4: failed = rwkv4(); break;
        case WC_OP_s4d: failed = kernel_.s4d ? s4d() : s4d_convolution(); break;
        default: failed = rowwise(); break;
      }
    } else {
      failed = describe_fault();
    }
    if (!failed.empty()) return failed;
    for (size_t i = 0; i < case_.arrays.size(); ++i) {
      failed = compare(case_.arrays[i], memory_[i]);
      if (!failed.empty()) return failed;
    }
    for (const auto &[name, memory] : extra_) {
      if (!memory->surroundings_intact()) return "wrote around " + name;
    }
    return "";
  }

  // The elements of all outputs after a run, without what lies between rows.
  std::vector<unsigned char> results() const {
    std::vector<unsigned char> bytes;
    for (size_t i = 0; i < case_.arrays.size(); ++i) {
      const array &a = case_.arrays[i];
      for (size_t r = 0; a.output && r < a.rows; ++r) {
        const unsigned char *row = memory_[i].data() + r * a.stride * a.element_bytes;
        bytes.insert(bytes.end(), row, row + a.columns * a.element_bytes);
      }
    }
    return bytes;
  }

 private:
  const wc_kernel &kernel_;
  const kernel_case &case_;
  placement where_;
  std::vector<guarded> memory_;                                            // one for each array of the case
  std::vector<std::pair<std::string, std::unique_ptr<guarded>>> extra_;  // packed B, acc, scratch
  std::string error_;

  bool place() {
    for (const array &a : case_.arrays) {
      memory_.emplace_back(a.extent_bytes(), a.element_bytes, false, where_);
      unsigned char *data = memory_.back().data();
      if (!data) return error_ = "no memory for " + a.name, false;
      const size_t row = a.columns * a.element_bytes;
      for (size_t r = 0; a.input && row > 0 && r < a.rows; ++r) {
        memcpy(data + r * a.stride * a.element_bytes, a.data + r * row, row);
      }
      if (!a.output && !memory_.back().make_read_only()) return error_ = "mprotect failed", false;
    }
    return true;
  }

  // Memory that is not an array of the case, 64-byte aligned; null for zero bytes.
  unsigned char *more(const char *name, size_t bytes) {
    if (bytes == 0) return nullptr;
    extra_.emplace_back(name, std::make_unique<guarded>(bytes, 1, true, where_));
    return extra_.back().second->data();
  }

  template <class T>
  T *pointer(const char *name, size_t *stride = nullptr) {
    for (size_t i = 0; i < case_.arrays.size(); ++i) {
      const array &a = case_.arrays[i];
      if (a.name != name && a.alias != name) continue;
      if (stride) *stride = a.stride;
      return reinterpret_cast<T *>(memory_[i].data());
    }
    return nullptr;
  }

  std::string describe_fault() const {
    const std::string what = fault_signal == SIGILL ? "illegal instruction" : "memory fault";
    for (size_t i = 0; i < memory_.size(); ++i) {
      if (!memory_[i].owns(fault_address)) continue;
      const array &a = case_.arrays[i];
      const ptrdiff_t offset = memory_[i].offset_of(fault_address);
      const bool inside = offset >= 0 && static_cast<size_t>(offset) < a.extent_bytes();
      return what + (inside ? ": wrote to the input " : ": outside ") + a.name + ", byte " +
             std::to_string(offset) + " of " + std::to_string(a.extent_bytes());
    }
    for (const auto &[name, memory] : extra_) {
      if (memory->owns(fault_address)) {
        return what + ": outside " + name + ", byte " + std::to_string(memory->offset_of(fault_address));
      }
    }
    char address[32];
    snprintf(address, sizeof address, "%p", fault_address);
    return what + " at " + address;
  }

  std::string compare(const array &a, const guarded &memory) const {
    if (!memory.surroundings_intact()) return "wrote around " + a.name;
    if (!a.output) return "";
    double error = 0, norm = 0;
    for (size_t r = 0; r < a.rows; ++r) {
      const unsigned char *row = memory.data() + r * a.stride * a.element_bytes;
      for (size_t j = 0; j < a.columns; ++j) {
        const size_t i = r * a.columns + j;
        const double got = value_at(a.type, row, j);
        const auto wrong = [&](double expected, double allowed) {
          char text[192];
          snprintf(
              text, sizeof text, "%s[%zu, %zu] is %.9g, expected %.9g, allowed difference %.3g", a.name.c_str(),
              r, j, got, expected, allowed);
          return std::string(text);
        };
        if (a.judged == rule::exact) {
          if (memcmp(row + j * a.element_bytes, a.expected + i * a.element_bytes, a.element_bytes) != 0) {
            return wrong(value_at(a.type, a.expected, i), 0);
          }
          continue;
        }
        const double expected = f64_at(a.expected, i);
        const double allowed = a.judged == rule::elementwise ? f64_at(a.bounds, i)
                                                             : a.absolute + a.relative * fabs(expected);
        if (isnan(expected) || isinf(expected) || isnan(got) || isinf(got)) {
          if (!(isnan(expected) && isnan(got)) && got != expected) return wrong(expected, allowed);
          continue;
        }
        if (a.judged == rule::frobenius) {
          error += (got - expected) * (got - expected);
          norm += expected * expected;
        } else if (!(fabs(got - expected) <= allowed)) {
          return wrong(expected, allowed);
        }
      }
      if (r + 1 == a.rows) break;
      for (size_t b = a.columns * a.element_bytes; b < a.stride * a.element_bytes; ++b) {
        if (row[b] != padding) return "wrote between the rows of " + a.name + ", after row " + std::to_string(r);
      }
    }
    if (a.judged == rule::frobenius && !(sqrt(error) <= a.relative * sqrt(norm) + a.absolute)) {
      char text[128];
      snprintf(
          text, sizeof text, "%s is %.3g off, relative to its norm; allowed %.3g", a.name.c_str(),
          sqrt(error / norm), a.relative);
      return text;
    }
    return "";
  }

  template <class Function, class Arguments>
  std::string invoke(Function function, const Arguments &arguments) {
    if (kernel_.thread_enter && kernel_.thread_enter() != WC_OK) return "thread_enter failed";
    const wc_status status = function(&arguments);
    if (kernel_.thread_leave && kernel_.thread_leave() != WC_OK) return "thread_leave failed";
    return status == WC_OK ? "" : "returned status " + std::to_string(status);
  }

  std::string gemm() {
    const size_t m = case_.size("m"), n = case_.size("n"), k = case_.size("k");
    const array *a = case_.find("a"), *weights = case_.find("weights"), *scales = case_.find("weight_scales");
    const size_t group = group_of(kernel_.b), code_bytes = kernel_.b == WC_TYPE_f32    ? 4
                                                           : kernel_.b == WC_TYPE_bf16 ? 2
                                                                                       : 1;
    if (!a || a->type != name_of(kernel_.a)) return std::string("bad case: a has to be ") + name_of(kernel_.a);
    if (!weights || weights->element_bytes != code_bytes || weights->rows != n || weights->columns != k ||
        weights->stride != k) {
      return "bad case: weights have to be n × k codes of the row's B type, without gaps";
    }
    const bool scaled = group || kernel_.b == WC_TYPE_s8;
    if (scaled && (!scales || scales->type != "f32" || scales->rows != n ||
                   scales->columns != (group ? k / group : 1) || scales->stride != scales->columns)) {
      return "bad case: weight_scales have to be f32, n × 1 or n × k/g, without gaps";
    }

    const uint32_t epilogue = static_cast<uint32_t>(case_.size("epilogue"));
    const bool gated = epilogue & WC_EPILOGUE_gated;
    // Gated: whole panels, gates beside their ups.
    const size_t columns = gated ? (n + kernel_.nr - 1) / kernel_.nr * kernel_.nr : n;
    const auto arranged = [&](const char *name, size_t row_bytes) -> const unsigned char * {
      const unsigned char *given = pointer<const unsigned char>(name);
      if (!gated || !given || row_bytes == 0) return given;
      unsigned char *to = more(name, columns * row_bytes);
      memset(to, 0, columns * row_bytes);
      for (size_t row = 0; row < n; ++row) {
        memcpy(to + wc_gemm_gated_column(&kernel_, n, row) * row_bytes, given + row * row_bytes, row_bytes);
      }
      return to;
    };
    size_t panel_bytes = 0;
    const size_t packed_bytes = wc_gemm_packed_bytes(&kernel_, columns, k, &panel_bytes);
    unsigned char *packed = more("packed weights", packed_bytes);
    int32_t *sums =
        reinterpret_cast<int32_t *>(more("b_sum", kernel_.b == WC_TYPE_s8 ? columns * sizeof(int32_t) : 0));
    const auto *scale_values =
        reinterpret_cast<const float *>(arranged("weight_scales", scaled ? scales->columns * sizeof(float) : 0));
    if (wc_gemm_pack(&kernel_, columns, k, arranged("weights", k * code_bytes), scale_values, packed, sums) != WC_OK) {
      return "packing failed";
    }

    wc_gemm_args g = {};
    g.m = m;
    g.n = n;
    const unsigned char *rows = pointer<const unsigned char>("a", &g.lda);
    const float *a_scales = pointer<const float>("a_scale", &g.lda_scale);
    g.a_scale = a_scales;
    g.a_offset = pointer<const float>("a_offset");
    const int32_t *group_sums = pointer<const int32_t>("a_sum", &g.lda_sum);
    g.b_panel_bytes = panel_bytes;
    g.b_scale = kernel_.b == WC_TYPE_s8 ? scale_values : nullptr;
    g.b_sum = sums;
    g.bias = reinterpret_cast<const float *>(arranged("bias", sizeof(float)));
    g.residual = pointer<const float>("residual", &g.ldr);
    g.c = pointer<void>("c", &g.ldc);
    g.c_scale = pointer<const float>("c_scale");
    g.c_scale_step = 1;
    g.prefetch = static_cast<uint32_t>(case_.size("prefetch"));
    g.epilogue = epilogue;
    if (g.epilogue & ~kernel_.epilogues) return "bad case: the row does not have this epilogue";

    size_t block = case_.size("k_block");
    const size_t unit = group ? (group > 2u * kernel_.kr ? group : 2u * kernel_.kr) : kernel_.kr;
    block = block == 0 || !(kernel_.flags & WC_ACCUMULATE) ? k : (block + unit - 1) / unit * unit;
    if (block < k) {
      g.ldacc = (n + kernel_.nr - 1) / kernel_.nr * kernel_.nr;
      g.acc = more("acc", m * g.ldacc * 4);
    }
    g.scratch = more("scratch", kernel_.gemm_scratch_bytes(block < k ? block : k));
    for (size_t first = 0; first == 0 || first < k; first += block) {
      const size_t left = k - first;
      g.k = block < left ? block : left;
      g.a = rows + first * a->element_bytes;
      g.a_sum = group_sums && group ? group_sums + first / group : group_sums;
      if (kernel_.b == WC_TYPE_s8g32) g.a_scale = a_scales + first / group;
      g.b = packed + (first ? wc_gemm_packed_offset(&kernel_, first) : 0);
      g.flags = (first == 0 ? WC_GEMM_FIRST : 0u) | (g.k == left ? WC_GEMM_LAST : 0u);
      const std::string failed = invoke(kernel_.gemm, g);
      if (!failed.empty() || block == 0) return failed;
    }
    return "";
  }

  // Keys are appended in two pieces; with a `part`, results of so many keys are merged.
  std::string attention() {
    wc_attention_args t = {};
    t.tq = case_.size("tq");
    t.tk = case_.size("tk");
    t.d = case_.size("d");
    t.group = case_.size("group");
    t.q_first = case_.size("q_first");
    t.tq_total = case_.size("tq_total");
    t.scale = static_cast<float>(case_.number("scale"));
    t.softcap = static_cast<float>(case_.number("softcap"));
    t.mask = case_.size("causal") ? WC_MASK_causal : WC_MASK_full;
    t.window = case_.size("window");
    t.sinks = case_.size("sinks");
    t.bq = case_.size("bq");
    t.bk = case_.size("bk");
    t.slopes = pointer<const float>("slopes");
    t.q = pointer<const float>("q", &t.ldq);
    t.k = pointer<const float>("k", &t.ldk);
    t.v = pointer<const float>("v", &t.ldv);
    t.o = pointer<float>("o", &t.ldo);
    t.q_head = t.o_head = t.d;
    t.capacity = t.tk;
    const wc_attention_memory &needs = *kernel_.attention_memory;
    if (unsigned char *cache = more("cache", needs.cache_bytes(t.capacity, t.d))) {
      const size_t half = t.tk / 2;
      if (needs.append(cache, t.capacity, t.d, 0, half, t.k, t.ldk, t.v, t.ldv) != WC_OK ||
          needs.append(
              cache, t.capacity, t.d, half, t.tk - half, t.k + half * t.ldk, t.ldk, t.v + half * t.ldv, t.ldv) != WC_OK) {
        return "appending failed";
      }
      t.cache = cache;
    }
    t.scratch = more("scratch", needs.scratch_bytes(t.bq, t.bk, t.group, t.d));
    t.k_end = t.tk;
    t.prefetch = case_.size("part") > 0;
    const size_t part = (case_.size("part") + kernel_.nr - 1) / kernel_.nr * kernel_.nr;
    if (part == 0) return invoke(kernel_.attention, t);
    const size_t parts = t.tk ? (t.tk + part - 1) / part : 1, part_floats = t.tq * t.group * (t.d + 2);
    float *partial = reinterpret_cast<float *>(more("partial", parts * part_floats * sizeof(float)));
    for (size_t p = 0; p < parts; ++p) {
      t.k_first = p * part;
      t.k_end = t.tk < (p + 1) * part ? t.tk : (p + 1) * part;
      t.partial = partial + p * part_floats;
      const std::string failed = invoke(kernel_.attention, t);
      if (!failed.empty()) return failed;
    }
    return needs.merge(parts, t.tq, t.group, t.d, partial, part_floats, t.o, t.ldo, t.o_head) == WC_OK ? "" : "merging failed";
  }

  std::string recurrence() {
    wc_recurrence_args r = {};
    r.tokens = case_.size("tokens");
    r.dk = case_.size("dk");
    r.dv = case_.size("dv");
    r.chunk = case_.size("chunk");
    r.log_decay = static_cast<float>(case_.number("log_decay"));
    r.skip = static_cast<float>(case_.number("skip"));
    r.scale = static_cast<float>(case_.number("scale"));
    r.epsilon = static_cast<float>(case_.number("epsilon"));
    r.q = pointer<const float>("q", &r.ldq);
    r.k = pointer<const float>("k", &r.ldk);
    r.v = pointer<const float>("v", &r.ldv);
    r.a = pointer<const float>("a", &r.lda);
    r.b = pointer<const float>("b", &r.ldb);
    r.decay = pointer<const float>("decay", &r.ld_decay);
    r.rate = pointer<const float>("rate", &r.ld_rate);
    r.bonus = pointer<const float>("bonus");
    r.o = pointer<float>("o", &r.ldo);
    r.state = pointer<float>("state", &r.ld_state);
    r.z = r.z_after = pointer<float>("z");
    r.scratch = more("scratch", kernel_.recurrence_scratch_bytes(r.tokens, r.dk, r.dv));
    return invoke(kernel_.recurrence, r);
  }

  std::string mamba1() {
    wc_mamba1_args m = {};
    m.tokens = case_.size("tokens");
    m.channels = case_.size("channels");
    m.states = case_.size("states");
    m.bt = case_.size("bt");
    m.u = pointer<const float>("u", &m.ldu);
    m.delta = pointer<const float>("delta", &m.ld_delta);
    m.delta_bias = pointer<const float>("delta_bias");
    m.a = pointer<const float>("a");
    m.b = pointer<const float>("b", &m.ldb);
    m.c = pointer<const float>("c", &m.ldc);
    m.skip = pointer<const float>("skip");
    m.z = pointer<const float>("z", &m.ldz);
    m.y = pointer<float>("y", &m.ldy);
    m.state = pointer<float>("state");
    return invoke(kernel_.mamba1, m);
  }

  std::string conv1d() {
    wc_conv1d_args c = {};
    c.tokens = case_.size("tokens");
    c.channels = case_.size("channels");
    c.width = case_.size("width");
    c.silu = static_cast<uint32_t>(case_.size("silu"));
    c.x = pointer<const float>("x", &c.ldx);
    c.weight = pointer<const float>("weight");
    c.bias = pointer<const float>("bias");
    c.y = pointer<float>("y", &c.ldy);
    c.state = pointer<float>("state");
    return invoke(kernel_.conv1d, c);
  }

  std::string long_conv() {
    wc_long_conv_args c = {};
    c.tokens = case_.size("tokens");
    c.channels = case_.size("channels");
    c.length = case_.size("length");
    c.x = pointer<const float>("x", &c.ldx);
    c.skip = pointer<const float>("skip");
    c.y = pointer<float>("y", &c.ldy);
    size_t ld = 0;
    const float *taps = pointer<const float>("taps", &ld);
    return convolve(c, taps, ld);
  }

  std::string convolve(wc_long_conv_args &c, const float *taps, size_t ld) {
    const wc_long_conv_memory &needs = *kernel_.long_conv_memory;
    unsigned char *shared = more("shared", needs.shared_bytes(c.length));
    const size_t panels = (c.channels + WC_CHANNEL_PANEL - 1) / WC_CHANNEL_PANEL;
    unsigned char *filter = more("filter", panels * needs.panel_bytes(c.length));
    unsigned char *scratch = more("scratch", needs.scratch_bytes(c.length));
    if (needs.share(c.length, shared) != WC_OK ||
        needs.pack(c.length, c.channels, taps, ld, shared, filter, scratch) != WC_OK) {
      return "packing failed";
    }
    c.shared = shared;
    c.filter = filter;
    c.scratch = scratch;
    return invoke(kernel_.long_conv, c);
  }

  // The state that is begun with stands in "start", since units of a state's sums are the kernel's choice.
  std::string rwkv4() {
    wc_rwkv4_args w = {};
    w.tokens = case_.size("tokens");
    w.channels = case_.size("channels");
    w.bt = case_.size("bt");
    w.k = pointer<const float>("k", &w.ldk);
    w.v = pointer<const float>("v", &w.ldv);
    w.parameters = pointer<const float>("parameters");
    w.y = pointer<float>("y", &w.ldy);
    const size_t bytes = (w.channels + WC_CHANNEL_PANEL - 1) / WC_CHANNEL_PANEL * 3 * WC_CHANNEL_PANEL * sizeof(float);
    w.state = reinterpret_cast<float *>(more("state", bytes));
    memcpy(w.state, pointer<const float>("start"), bytes);
    return invoke(kernel_.rwkv4, w);
  }

  std::string s4d() {
    wc_s4d_args s = {};
    s.tokens = case_.size("tokens");
    s.channels = case_.size("channels");
    s.pairs = case_.size("pairs");
    s.bt = case_.size("bt");
    s.begins = static_cast<uint32_t>(case_.size("begins"));
    s.u = pointer<const float>("u", &s.ldu);
    s.lambda = pointer<const float>("lambda");
    s.c = pointer<const float>("c");
    s.skip = pointer<const float>("skip");
    s.y = pointer<float>("y", &s.ldy);
    s.state = pointer<float>("state");
    return invoke(kernel_.s4d, s);
  }

  // The same as a convolution, with the filter that the library makes of it.
  std::string s4d_convolution() {
    wc_long_conv_args c = {};
    c.tokens = c.length = case_.size("tokens");
    c.channels = case_.size("channels");
    const size_t pairs = case_.size("pairs");
    c.x = pointer<const float>("u", &c.ldx);
    c.skip = pointer<const float>("skip");
    c.y = pointer<float>("y", &c.ldy);
    float *taps = reinterpret_cast<float *>(more("taps", c.length * c.channels * sizeof(float)));
    if (wc_s4d_filter(
            c.length, c.channels, pairs, pointer<const float>("lambda"), pointer<const float>("c"), taps, c.channels,
            more("powers", pairs * WC_S4D_FILTER_SCRATCH * sizeof(double))) != WC_OK) {
      return "making the filter failed";
    }
    return convolve(c, taps, c.channels);
  }

  std::string rowwise() {
    wc_rowwise_args r = {};
    r.rows = case_.size("rows");
    r.columns = case_.size("columns");
    r.epsilon = static_cast<float>(case_.number("epsilon"));
    r.group = case_.size("group");
    r.table_count = case_.size("table_count");
    r.normalize = static_cast<int32_t>(case_.size("normalize"));
    r.x = pointer<const float>("x", &r.ldx);
    r.y = pointer<float>("y", &r.ldy);
    r.residual = pointer<const float>("residual", &r.ldr);
    r.weight = pointer<const float>("weight");
    r.bias = pointer<const float>("bias");
    r.q = pointer<void>("q", &r.ldq);
    r.scale = pointer<float>("scale");
    r.ld_scale = case_.size("ld_scale");
    r.offset = pointer<float>("offset");
    r.sums = pointer<int32_t>("sums", &r.ld_sums);
    const char *const tables[] = {"table0", "table1", "table2"}, *const ids[] = {"ids0", "ids1", "ids2"};
    for (size_t i = 0; i < 3; ++i) {
      r.tables[i] = pointer<const float>(tables[i]);
      r.ids[i] = pointer<const int32_t>(ids[i]);
    }
    r.starts = pointer<const int64_t>("starts");
    r.sum = pointer<float>("sum", &r.ld_sum);
    r.cosines = pointer<const float>("cosines", &r.ld_angles);
    r.sines = pointer<const float>("sines");
    r.head_dim = case_.size("head_dim");
    r.rotary = case_.size("rotary");
    r.indices = pointer<int32_t>("indices", &r.ld_indices);
    r.k = case_.size("k");
    r.temperature = static_cast<float>(case_.number("temperature"));
    r.top_p = static_cast<float>(case_.number("top_p"));
    r.uniform = pointer<const double>("uniform");
    return invoke(kernel_.rowwise, r);
  }
};

}  // namespace check
