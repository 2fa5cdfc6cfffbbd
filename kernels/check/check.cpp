// Runs the cases of a file on the kernels of this build: `check-kernels [options] FILE`.
//
// Every case is called with its arrays at the end, at the start and at an odd offset of guarded memory,
// then on two threads at once, which must not change a bit; and exact rows must give the bits of the
// first exact row that ran the same case. Prints TAP, one line for each case and row, then what was done
// on each ISA and "N passed, N failed, N not run". What is not in the build, or not on this CPU, is said, never left
// out. Exit status: 0 when something ran and all of it passed, 1 otherwise, 64 to 66 as in sysexits(3)
// for wrong use, a file that is not valid and one that cannot be read.
#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <set>

#include "call.hpp"
#include "cpu.hpp"
#include "instruction_model.hpp"
#include "together.hpp"

namespace {

using namespace check;

struct tally {
  size_t passed = 0, failed = 0, not_run = 0;
};

class report {
 public:
  void passed(const std::string &what, const char *isa, const char *note) {
    by_isa_[isa].passed += 1;
    printf("ok %zu - %s%s\n", ++lines_, what.c_str(), note);
  }
  void failed(const std::string &what, const char *isa, const std::string &why) {
    by_isa_[isa].failed += 1;
    printf("not ok %zu - %s: %s\n", ++lines_, what.c_str(), why.c_str());
  }
  void not_run(const std::string &what, const char *isa, const std::string &why) {
    by_isa_[isa].not_run += 1;
    printf("ok %zu - %s # SKIP not run: %s\n", ++lines_, what.c_str(), why.c_str());
  }

  int finish() const {
    printf("1..%zu\n", lines_);
    tally all;
    for (const auto &[isa, t] : by_isa_) {
      printf("# %s: %zu passed, %zu failed, %zu not run\n", isa.c_str(), t.passed, t.failed, t.not_run);
      all.passed += t.passed;
      all.failed += t.failed;
      all.not_run += t.not_run;
    }
    printf("%zu passed, %zu failed, %zu not run\n", all.passed, all.failed, all.not_run);
    return all.failed == 0 && all.passed > 0 ? 0 : 1;
  }

 private:
  size_t lines_ = 0;
  std::map<std::string, tally> by_isa_;
};

// `pattern` may hold * for any characters.
bool fits(const char *pattern, const char *name) {
  if (*pattern == '*') return fits(pattern + 1, name) || (*name && fits(pattern, name + 1));
  return *pattern == *name && (*name == 0 || fits(pattern + 1, name + 1));
}

// A row that the CPU lacks only BF16 or AMX for is run with their instructions modelled, when that was asked for.
enum class support { native, modelled, none };

support support_for(wc_isa isa, bool model) {
  if (has(isa)) return support::native;
  const bool known = isa == WC_ISA_avx512bf16 || isa == WC_ISA_amxint8 || isa == WC_ISA_amxbf16;
  return model && known && has(WC_ISA_avx512) ? support::modelled : support::none;
}

// What the first exact row of a case gave, for the others to be compared with.
struct exact_result {
  const char *kernel = nullptr;
  std::vector<unsigned char> bytes;
};

// Whether two results are the same; NaNs may differ in their bits.
bool agree(const kernel_case &c, const std::vector<unsigned char> &x, const std::vector<unsigned char> &y) {
  if (x == y) return true;
  size_t at = 0;
  for (const array &a : c.arrays) {
    for (size_t i = 0; a.output && i < a.count(); ++i, at += a.element_bytes) {
      if (memcmp(&x[at], &y[at], a.element_bytes) == 0) continue;
      if (a.type != "f32" || !isnan(value_at(a.type, &x[at], 0)) || !isnan(value_at(a.type, &y[at], 0))) return false;
    }
  }
  return true;
}

// Empty when the row did the case right, else what is wrong.
std::string failure(const kernel_case &c, const wc_kernel &kernel, exact_result &exact) {
  const std::pair<placement, const char *> places[] = {
      {placement::end, "before a guard page"},
      {placement::odd, "misaligned"},
      {placement::start, "after a guard page"},
  };
  std::vector<unsigned char> alone;
  for (const auto &[where, place] : places) {
    call one(kernel, c, where);
    const std::string wrong = one.run();
    if (!wrong.empty()) return wrong + " (arrays " + place + ")";
    alone = one.results();
  }
  if (kernel.flags & WC_EXACT) {
    // A row of another A type is another case.
    if (!exact.kernel) {
      exact = {kernel.name, alone};
    } else if (!agree(c, exact.bytes, alone)) {
      return std::string("other bits than ") + exact.kernel;
    }
  }
  return run_together(kernel, c, 2, alone);
}

// True when the row was run and right.
bool run(const kernel_case &c, const wc_kernel &kernel, bool model, exact_result &exact, report &out) {
  const std::string what = std::string(kernel.name) + " " + c.label;
  const char *isa = name_of(kernel.isa);
  const support supported = support_for(kernel.isa, model);
  if (supported == support::none) {
    out.not_run(what, isa, std::string("this CPU has no ") + isa);
    return false;
  }
  const std::string wrong = failure(c, kernel, exact);
  if (!wrong.empty()) {
    out.failed(what, isa, wrong);
  } else {
    out.passed(what, isa, supported == support::modelled ? " (its instructions modelled)" : "");
  }
  return wrong.empty();
}

// Every probe that the CPU can execute, for a few turns over a buffer: it must end and count something.
void run_probes(bool model, report &out) {
  size_t count = 0;
  const wc_probe *probes = wc_probe_table(&count);
  std::vector<unsigned char> data(size_t{1} << 16, 1);
  for (size_t i = 0; i < count; ++i) {
    const std::string what = std::string("probe ") + probes[i].name;
    const char *isa = name_of(probes[i].isa);
    if (support_for(probes[i].isa, model) == support::none) {
      out.not_run(what, isa, std::string("this CPU has no ") + isa);
      continue;
    }
    double amount = 0;
    if (sigsetjmp(fault_return, 1) != 0) {
      out.failed(what, isa, fault_signal == SIGILL ? "illegal instruction" : "memory fault");
      continue;
    }
    amount = probes[i].run(3, data.data(), data.size());
    const double twice = probes[i].run(6, data.data(), data.size());
    if (amount > 0 && twice == 2 * amount) {
      out.passed(what, isa, "");
    } else {
      out.failed(what, isa, "counted " + std::to_string(amount) + " in 3 turns, " + std::to_string(twice) + " in 6");
    }
  }
}

void list(const wc_kernel *table, size_t count, bool model) {
  for (size_t i = 0; i < count; ++i) {
    const support supported = support_for(table[i].isa, model);
    const char *state = supported == support::native     ? "runs here"
                        : supported == support::modelled ? "runs here, its instructions modelled"
                                                         : "not on this CPU";
    printf("%-12s %-32s %s\n", name_of(table[i].isa), table[i].name, state);
  }
}

const char usage[] =
    "usage: check-kernels [--model] [--probes] [--every] [--list] [FILE]\n"
    "  --list        print the rows of this build and whether this CPU runs them\n"
    "  --probes      run every ceiling probe, too\n"
    "  --every       a row that this CPU runs and no case came by is a failure\n"
    "  --model       on a CPU with AVX-512 but no BF16 or no AMX: execute their instructions in software\n";

}  // namespace

int main(int argc, char **argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  bool model = false, listing = false, probes = false, every = false;
  const char *path = nullptr;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--model") {
      model = true;
    } else if (argument == "--list") {
      listing = true;
    } else if (argument == "--probes") {
      probes = true;
    } else if (argument == "--every") {
      every = true;
    } else if (argument[0] != '-' && !path) {
      path = argv[i];
    } else {
      fputs(usage, stderr);
      return 64;
    }
  }
  if (!path && !listing) {
    fputs(usage, stderr);
    return 64;
  }
  size_t rows = 0;
  const wc_kernel *table = wc_kernel_table(&rows);
  if (listing) list(table, rows, model);
  if (!path) return 0;

  const int file = open(path, O_RDONLY);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) {
    perror(path);
    return 66;
  }
  const size_t bytes = static_cast<size_t>(info.st_size);
  void *map = bytes ? mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
  reader input(map == MAP_FAILED ? nullptr : static_cast<const unsigned char *>(map), map == MAP_FAILED ? 0 : bytes);
  const std::vector<kernel_case> cases = input.read();
  if (input.error()) {
    fprintf(stderr, "%s: %s\n", path, input.error());
    return 65;
  }

  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
  handle_illegal_instructions(model, on_fault);

  printf("TAP version 14\n");
  report out;
  std::set<const wc_kernel *> done;
  for (const kernel_case &c : cases) {
    bool found = false;
    exact_result exact;
    for (size_t i = 0; i < rows; ++i) {
      if (!fits(c.kernel.c_str(), table[i].name)) continue;
      found = true;
      if (run(c, table[i], model, exact, out)) done.insert(&table[i]);
    }
    if (!found) out.not_run(c.kernel + " " + c.label, "not in this build", "no kernel of this build has that name");
  }
  for (size_t i = 0; every && i < rows; ++i) {
    if (support_for(table[i].isa, model) == support::none || done.count(&table[i])) continue;
    out.failed(table[i].name, name_of(table[i].isa), "no case passed on this row");
  }
  if (probes) run_probes(model, out);
  return out.finish();
}
