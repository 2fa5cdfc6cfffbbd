// Instructions that this CPU lacks, executed in software: for tests of kernels that use them.
#ifndef CWALLCLOCKINSTRUCTIONMODEL_H
#define CWALLCLOCKINSTRUCTIONMODEL_H

#ifdef __cplusplus
extern "C" {
#endif

// From now on this process executes the instructions of AVX512_BF16 and of AMX in software where the CPU
// refuses them; other illegal instructions go to the handler that was there before. Returns 1, or 0 where
// nothing is modelled: without AVX-512, whose registers hold the kernels' other values.
int wc_model_instructions(void);

#ifdef __cplusplus
}
#endif
#endif
