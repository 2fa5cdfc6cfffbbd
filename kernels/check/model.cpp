// The instruction models for a process that has its own handler of SIGILL.
#include "include/CWallclockInstructionModel.h"

#include <signal.h>

#include "instruction_model.hpp"

#if defined(__x86_64__)
namespace {

struct sigaction before;

void pass_on(int signal, siginfo_t *info, void *context) {
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  // The instruction is executed again, and the default is to end the process.
  struct sigaction fatal = {};
  fatal.sa_handler = SIG_DFL;
  sigaction(signal, &fatal, nullptr);
}

}  // namespace
#endif

extern "C" int wc_model_instructions(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return 0;
  }
  sigaction(SIGILL, nullptr, &before);
  check::handle_illegal_instructions(true, pass_on);
  return 1;
#else
  return 0;
#endif
}
