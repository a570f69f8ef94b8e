/* A matrix [m,n] f32 as products of smaller ones, in double precision. */
#ifndef VKFT_DECOMPOSE_H
#define VKFT_DECOMPOSE_H

#include <stdbool.h>
#include <stdint.h>

/* left [m,r], values [r], falling, right [r,n]; the columns of left and the rows of right are orthonormal, but for
 * those of values that are 0, which may be anything. */
typedef struct vkft_factors {
    double *left, *values, *right;
} vkft_factors;

/* All return false when memory is out. 0 < r <= min(m, n). seed: of random vectors to begin with. */

/* The r largest singular values with their vectors, to 1e-9 of the largest. */
bool vkft_decompose_svd(const float *w, uint32_t m, uint32_t n, uint32_t r, uint64_t seed, vkft_factors *factors);
/* The same roughly, as torch.svd_lowrank has it with niter iterations. */
bool vkft_decompose_lowrank(const float *w, uint32_t m, uint32_t n, uint32_t r, uint32_t iterations, uint64_t seed,
                            vkft_factors *factors);
/* The first r columns of Q and rows of R of W = Q R; values are 1. */
bool vkft_decompose_qr(const float *w, uint32_t m, uint32_t n, uint32_t r, vkft_factors *factors);
void vkft_factors_free(vkft_factors *factors);

#endif
