// The case file: kernel calls with their operands and expected results, written by the Swift tests
// and run by check.cpp on hosts, emulators and architectures where Swift does not go.
//
// Version 1. Little-endian; every part starts at a multiple of 8 bytes, gaps are zero; names are
// ASCII, zero-padded, with at least one zero at the end; numbers are f64 unless said otherwise.
//
//   header   char magic[8] = "wccases"      u32 version = 1     u32 byteOrder = 0x01020304
//            u64 cases                      u64 fileBytes       u64 checksum: FNV-1a, 64 bits, of
//                                                               all bytes after the header
//   case     u64 bytes, this field included
//            char kernel[64]                a row of the kernel table; a * stands for any characters,
//                                           and the case is then run on every row that fits
//            char label[64]                 shown in the report
//            u32 scalars   u32 arrays
//            scalars × { char name[16]   f64 value }
//            arrays × array
//   array    char name[16]                  the argument that points to it
//            char alias[16]                 a second argument that points to it, or empty
//            char type[8]                   f32 bf16 s8 u8 s16 s32 s64 f64
//            u32 role                       1 = input, 2 = output, 3 = both
//            u32 rule                       how an output is judged, 0 for an input
//            u64 rows   u64 columns   u64 stride (elements, ≥ columns)
//            f64 absolute   f64 relative
//            input                          role 1, 3: rows × columns elements
//            expected                       role 2, 3: the same (exact), else as many f64
//            bounds                         rule 3: rows × columns f64
//
//   rule 1   exact: the same bits
//   rule 2   |got − expected| ≤ absolute + relative·|expected|
//   rule 3   |got − expected| ≤ the element's own bound
//   rule 4   ‖got − expected‖ ≤ relative·‖expected‖ + absolute, Frobenius, the array as a whole
//   Rules 2 to 4: NaN is expected where the file has NaN and nowhere else; infinities must agree.
//
// Scalars and arrays are named as the fields of the argument struct. Leading dimensions are not
// scalars: they are the strides of the arrays. What a row's own layout decides is made by the runner:
//
//   gemm       scalars  m n k, epilogue (bits), prefetch, k_block (0 = all of K in one call; otherwise
//                       K is split over calls through `acc`, rounded up to what the row can split)
//              arrays   a (rows padded with zeros to a multiple of kr), a_scale (s8g32: m × k/32), a_offset, a_sum, bias,
//                       residual, c_scale (one a row), c; weights: n × k codes as wc_weights_quantize
//                       makes them; weight_scales: n × 1 or n × k/g. The runner packs; of a gated
//                       epilogue all gates come first, then all ups.
//   attention  scalars  tq tk d group q_first tq_total scale causal window sinks softcap bq bk, part (keys of a part
//                       whose results are merged; 0: all at once)
//              arrays   q o (rows of group·d) k v slopes. The runner appends k and v to a cache.
//   recurrence scalars  tokens dk dv chunk log_decay skip scale epsilon
//              arrays   q k v a b decay rate bonus o state z; the last two are both read and written
//   mamba1     scalars  tokens channels states bt
//              arrays   u delta delta_bias b c skip z y; a and state as panels without gaps
//   causal-conv1d  scalars  tokens channels width silu
//              arrays   x bias y; weight and state as panels without gaps
//   long-conv  scalars  tokens channels length
//              arrays   x taps skip y; the runner packs
//   rwkv4      scalars  tokens channels bt
//              arrays   k v y; parameters as panels without gaps, and the state to begin with as start
//   s4d        scalars  tokens channels pairs bt begins
//              arrays   u skip y; lambda, c and state as panels without gaps; the runner makes a convolution's filter
//   row-wise   scalars  rows columns epsilon group ld_scale table_count normalize head_dim rotary k temperature
//                       top_p
//              arrays   x y residual weight bias q scale offset sums table0 table1 table2 ids0 ids1 ids2 starts;
//                       rope: ids0 cosines sines; rms-norm: sum; argmax, top-k, sampling: indices uniform
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

namespace check {

enum class rule : uint32_t { none = 0, exact = 1, bound = 2, elementwise = 3, frobenius = 4 };

struct array {
  std::string name, alias, type;
  size_t element_bytes = 0;
  bool input = false, output = false;
  rule judged = rule::none;
  size_t rows = 0, columns = 0, stride = 0;
  double absolute = 0, relative = 0;
  // Into the file.
  const unsigned char *data = nullptr;      // input
  const unsigned char *expected = nullptr;  // elements (exact) or f64
  const unsigned char *bounds = nullptr;    // f64

  size_t count() const { return rows * columns; }
  // From the first element to the last one's end.
  size_t extent_bytes() const { return count() == 0 ? 0 : ((rows - 1) * stride + columns) * element_bytes; }
};

struct scalar {
  std::string name;
  double value;
};

struct kernel_case {
  std::string kernel, label;
  std::vector<scalar> scalars;
  std::vector<array> arrays;

  const array *find(const char *name) const {
    for (const array &a : arrays) {
      if (a.name == name || a.alias == name) return &a;
    }
    return nullptr;
  }
  double number(const char *name, double absent = 0) const {
    for (const scalar &s : scalars) {
      if (s.name == name) return s.value;
    }
    return absent;
  }
  size_t size(const char *name) const { return static_cast<size_t>(number(name)); }
};

// No array of a case is larger; keeps products of sizes far from overflow.
constexpr uint64_t largest_array_bytes = uint64_t{1} << 32;

inline size_t bytes_of_type(const std::string &type) {
  if (type == "s8" || type == "u8") return 1;
  if (type == "bf16" || type == "s16") return 2;
  if (type == "f32" || type == "s32") return 4;
  return type == "s64" || type == "f64" ? 8 : 0;
}

// Reads a mapped file. After a failure every read gives zero and `error` says what and where.
class reader {
 public:
  reader(const unsigned char *start, size_t bytes) : start_(start), bytes_(bytes) {}

  const char *error() const { return error_.empty() ? nullptr : error_.c_str(); }

  std::vector<kernel_case> read() {
    std::vector<kernel_case> cases;
    if (name(8) != "wccases") fail("this is not a case file: it does not start with \"wccases\"");
    const uint32_t version = number<uint32_t>();
    if (version != 1) fail("the file has version " + std::to_string(version) + ", this runner reads version 1");
    if (number<uint32_t>() != 0x01020304) fail("the file was written in another byte order");
    const uint64_t count = number<uint64_t>();
    if (number<uint64_t>() != bytes_) fail("the file is truncated: its length is not the one in its header");
    const uint64_t wanted = number<uint64_t>();
    if (error()) return cases;
    if (checksum() != wanted) fail("the file is damaged: its checksum is not the one in its header");
    for (uint64_t i = 0; i < count && !error(); ++i) cases.push_back(one());
    if (!error() && at_ != bytes_) fail("bytes are left after the last case");
    return cases;
  }

 private:
  const unsigned char *start_;
  size_t bytes_, at_ = 0;
  std::string error_;

  void fail(const std::string &what) {
    if (error_.empty()) error_ = what + " (at byte " + std::to_string(at_) + ")";
  }

  uint64_t checksum() const {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a's offset basis and prime for 64 bits
    for (size_t i = at_; i < bytes_; ++i) hash = (hash ^ start_[i]) * 0x100000001b3;
    return hash;
  }

  const unsigned char *take(uint64_t count) {
    static const unsigned char zeros[64] = {};
    if (error() || count > bytes_ - at_) {
      fail("the file ends inside a case");
      return zeros;  // no caller reads more than 64 bytes of what failed
    }
    const unsigned char *p = start_ + at_;
    at_ += count;
    return p;
  }

  template <class T>
  T number() {
    T value;
    memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }

  std::string name(size_t field) {
    const unsigned char *p = take(field);
    const size_t length = strnlen(reinterpret_cast<const char *>(p), field);
    if (length == field) fail("a name has no zero at its end");
    for (size_t i = 0; i < length; ++i) {
      if (p[i] < 0x20 || p[i] > 0x7e) fail("a name is not ASCII");
    }
    return std::string(reinterpret_cast<const char *>(p), length);
  }

  const unsigned char *block(uint64_t count) {
    const unsigned char *p = take(count);
    take((8 - count % 8) % 8);
    return error() ? nullptr : p;
  }

  kernel_case one() {
    kernel_case c;
    const size_t begin = at_;
    const uint64_t length = number<uint64_t>();
    c.kernel = name(64);
    c.label = name(64);
    const uint32_t scalars = number<uint32_t>(), arrays = number<uint32_t>();
    for (uint32_t i = 0; i < scalars && !error(); ++i) {
      const std::string field = name(16);
      c.scalars.push_back({field, number<double>()});
    }
    for (uint32_t i = 0; i < arrays && !error(); ++i) c.arrays.push_back(one_array());
    if (!error() && at_ - begin != length) fail("a case is not as long as it says");
    return c;
  }

  array one_array() {
    array a;
    a.name = name(16);
    a.alias = name(16);
    a.type = name(8);
    a.element_bytes = bytes_of_type(a.type);
    if (a.element_bytes == 0) fail("array " + a.name + " has the unknown type \"" + a.type + "\"");
    const uint32_t role = number<uint32_t>(), judged = number<uint32_t>();
    if (role < 1 || role > 3) fail("array " + a.name + " has the unknown role " + std::to_string(role));
    a.input = role & 1;
    a.output = role & 2;
    if (judged > 4 || (judged == 0) == a.output) fail("array " + a.name + " has no rule that fits its role");
    a.judged = static_cast<rule>(judged);
    const uint64_t rows = number<uint64_t>(), columns = number<uint64_t>(), stride = number<uint64_t>();
    a.absolute = number<double>();
    a.relative = number<double>();
    if (rows > largest_array_bytes || stride > largest_array_bytes || columns > stride ||
        (rows > 0 && stride > largest_array_bytes / 8 / rows)) {
      fail("array " + a.name + " is larger than a case may hold, or its stride is below its columns");
      return a;
    }
    a.rows = rows;
    a.columns = columns;
    a.stride = stride;
    const size_t elements = a.count() * a.element_bytes, doubles = a.count() * sizeof(double);
    if (a.input) a.data = block(elements);
    if (a.output) a.expected = block(a.judged == rule::exact ? elements : doubles);
    if (a.judged == rule::elementwise) a.bounds = block(doubles);
    return a;
  }
};

}  // namespace check
