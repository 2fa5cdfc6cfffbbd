// Runs the cases of a file on the kernels of this build: `check-kernels [options] FILE`.
//
// Every case is called three times, with its arrays at the end, at the start and at an odd offset of
// guarded memory. Prints TAP, one line for each case and row, then what was done on each ISA and
// "N passed, N failed, N not run". What is not in the build, or not on this CPU, is said, never left
// out. Exit status: 0 when something ran and all of it passed, 1 otherwise, 64 to 66 as in sysexits(3)
// for wrong use, a file that is not valid and one that cannot be read.
#include <fcntl.h>
#include <sys/stat.h>

#include <map>

#include "bf16_model.hpp"
#include "call.hpp"
#include "cpu.hpp"

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

// A row the CPU lacks only BF16 for is run with those instructions modelled, when that was asked for.
enum class support { native, modelled, none };

support support_for(wc_isa isa, bool model) {
  if (has(isa)) return support::native;
  return model && isa == WC_ISA_avx512bf16 && has(WC_ISA_avx512) ? support::modelled : support::none;
}

void run(const kernel_case &c, const wc_kernel &kernel, bool model, report &out) {
  const std::string what = std::string(kernel.name) + " " + c.label;
  const char *isa = name_of(kernel.isa);
  const support supported = support_for(kernel.isa, model);
  if (supported == support::none) return out.not_run(what, isa, std::string("this CPU has no ") + isa);
  const std::pair<placement, const char *> places[] = {
      {placement::end, "before a guard page"},
      {placement::start, "after a guard page"},
      {placement::odd, "misaligned"},
  };
  for (const auto &[where, place] : places) {
    const std::string wrong = call(kernel, c, where).run();
    if (!wrong.empty()) return out.failed(what, isa, wrong + " (arrays " + place + ")");
  }
  out.passed(what, isa, supported == support::modelled ? " (bf16 instructions modelled)" : "");
}

void list(const wc_kernel *table, size_t count, bool model) {
  for (size_t i = 0; i < count; ++i) {
    const support supported = support_for(table[i].isa, model);
    const char *state = supported == support::native     ? "runs here"
                        : supported == support::modelled ? "runs here, bf16 instructions modelled"
                                                         : "not on this CPU";
    printf("%-12s %-32s %s\n", name_of(table[i].isa), table[i].name, state);
  }
}

const char usage[] =
    "usage: check-kernels [--model-bf16] [--list] [FILE]\n"
    "  --list        print the rows of this build and whether this CPU runs them\n"
    "  --model-bf16  on a CPU with AVX-512 but no BF16: execute its instructions in software\n";

}  // namespace

int main(int argc, char **argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  bool model = false, listing = false;
  const char *path = nullptr;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--model-bf16") {
      model = true;
    } else if (argument == "--list") {
      listing = true;
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
  for (const kernel_case &c : cases) {
    bool found = false;
    for (size_t i = 0; i < rows; ++i) {
      if (!fits(c.kernel.c_str(), table[i].name)) continue;
      found = true;
      run(c, table[i], model, out);
    }
    if (!found) out.not_run(c.kernel + " " + c.label, "not in this build", "no kernel of this build has that name");
  }
  return out.finish();
}
