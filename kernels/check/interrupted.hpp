// The registers of a thread that a signal interrupted.
#pragma once

#include <signal.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <ucontext.h>

namespace check {

inline uint64_t general_register(const ucontext_t &context, unsigned index) {
  constexpr int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<uint64_t>(context.uc_mcontext.gregs[order[index]]);
}

}  // namespace check
#endif
