// Instructions that this CPU lacks, in software: a handler of SIGILL decodes the instruction, executes it on
// the interrupted registers and steps over it. So the very instructions that ship are run, with their
// operands, masks, addresses and configuration.
#pragma once

#include <signal.h>

#include "amx_model.hpp"
#include "bf16_model.hpp"

namespace check {

using fault_handler = void (*)(int, siginfo_t *, void *);

inline fault_handler otherwise;  // for every other illegal instruction

inline void model_instruction(int signal, siginfo_t *info, void *context) {
#if defined(__x86_64__)
  ucontext_t &interrupted = *static_cast<ucontext_t *>(context);
  if (bf16_model::execute(interrupted) || amx_model::execute(interrupted)) return;
#endif
  otherwise(signal, info, context);
}

// SIGILL goes to `handler`, except, with `model`, for the instructions of the models.
inline void handle_illegal_instructions(bool model, fault_handler handler) {
  otherwise = handler;
  struct sigaction action = {};
  action.sa_sigaction = model ? model_instruction : handler;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace check
