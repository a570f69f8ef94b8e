/* VeRA's matrices, which all modules share, from their key. */
#ifndef VKFT_VERA_MATRICES_H
#define VKFT_VERA_MATRICES_H

#include "formats/peft/adapter.h"

/* A [r,in] and B [out,r], malloc'ed: torch's random numbers for the key, as PEFT makes them. projection.c */
bool vkft_vera_matrices(uint32_t key, uint32_t r, uint32_t in, uint32_t out, float **a, float **b, vkft_err *err);

/* Whether those in an adapter's file serve modules with at most `in` columns and `out` rows. */
bool vkft_vera_matrices_check(const vkft_adapter *adapter, uint32_t in, uint32_t out, vkft_err *err);

#endif
