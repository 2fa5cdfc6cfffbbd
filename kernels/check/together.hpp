// The same call on several threads at once, each on memory of its own: a kernel has no state but its
// arguments, so all of them give the bits of one that runs alone.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "call.hpp"

namespace check {

// Empty when every copy gave the bits `alone`, else what went wrong.
inline std::string run_together(
    const wc_kernel &kernel, const kernel_case &c, size_t copies, const std::vector<unsigned char> &alone) {
  std::vector<std::string> wrong(copies);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < copies; ++i) {
    threads.emplace_back([&, i] {
      call one(kernel, c, placement::start);
      wrong[i] = one.run();
      if (wrong[i].empty() && one.results() != alone) wrong[i] = "other bits than alone";
    });
  }
  for (std::thread &t : threads) t.join();
  for (const std::string &w : wrong) {
    if (!w.empty()) return w + " (one of " + std::to_string(copies) + " threads)";
  }
  return "";
}

}  // namespace check
