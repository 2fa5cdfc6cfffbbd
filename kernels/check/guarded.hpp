// Memory with an unreadable page at both ends, so that a kernel that strays faults instead of passing.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace check {

// Where an array lies between its guard pages.
enum class placement {
  end,    // its last byte just before the guard page
  start,  // its first byte just after one
  odd,    // one element past a 64-byte boundary, the worst alignment that is still the element's own
};

// Padding is 0xff throughout: a NaN as f32 and bf16, −1 as an integer.
constexpr unsigned char padding = 0xff;

class guarded {
 public:
  // `aligned`: the ABI promises 64 bytes for this array, in every placement.
  guarded(size_t bytes, size_t element_bytes, bool aligned, placement where) : bytes_(bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    inner_ = (bytes + 64 + page - 1) / page * page;
    whole_ = inner_ + 2 * page;
    void *map = mmap(nullptr, whole_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return;
    map_ = static_cast<unsigned char *>(map);
    first_ = map_ + page;
    if (mprotect(first_, inner_, PROT_READ | PROT_WRITE) != 0) return;
    memset(first_, padding, inner_);
    size_t offset = 0;
    if (where == placement::end) offset = inner_ - bytes;
    if (where == placement::odd) offset = element_bytes;
    if (aligned) offset = where == placement::end ? offset / 64 * 64 : 0;
    data_ = first_ + offset;
  }
  guarded(guarded &&other) noexcept { *this = static_cast<guarded &&>(other); }
  guarded &operator=(guarded &&other) noexcept {
    // Swaps, so that the other's destructor releases what this one held.
    auto swap = [](auto &a, auto &b) { auto t = a; a = b; b = t; };
    swap(map_, other.map_);
    swap(first_, other.first_);
    swap(data_, other.data_);
    swap(bytes_, other.bytes_);
    swap(inner_, other.inner_);
    swap(whole_, other.whole_);
    return *this;
  }
  ~guarded() {
    if (map_) munmap(map_, whole_);
  }

  // Null when memory is exhausted.
  unsigned char *data() const { return data_; }

  // From now on a write faults.
  bool make_read_only() { return mprotect(first_, inner_, PROT_READ) == 0; }

  // No byte around the array has changed. (Between its rows is for the caller to look at.)
  bool surroundings_intact() const {
    for (const unsigned char *p = first_; p < data_; ++p) {
      if (*p != padding) return false;
    }
    for (const unsigned char *p = data_ + bytes_; p < first_ + inner_; ++p) {
      if (*p != padding) return false;
    }
    return true;
  }

  bool owns(const void *address) const {
    const unsigned char *p = static_cast<const unsigned char *>(address);
    return map_ && p >= map_ && p < map_ + whole_;
  }

  // How far an address is from the array's first byte.
  ptrdiff_t offset_of(const void *address) const { return static_cast<const unsigned char *>(address) - data_; }

 private:
  unsigned char *map_ = nullptr, *first_ = nullptr, *data_ = nullptr;
  size_t bytes_ = 0, inner_ = 0, whole_ = 0;
};

}  // namespace check
